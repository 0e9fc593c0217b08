"""The project's tree as the contract's rules read it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.ops.runbook.plugins.plugin_utils import catalogue

COLLECTION = Path("collections/ansible_collections/ops/runbook")
IMPORTS = ("ansible.builtin.import_role", "ansible.builtin.include_role")


class Loader(yaml.SafeLoader):
    """YAML with Ansible's tags (!vault, !unsafe) read as plain values."""


def _plain(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> Any:
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


Loader.add_multi_constructor("!", _plain)


def walk(data: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in parsed YAML, at any depth."""
    if isinstance(data, dict):
        yield data
        for value in data.values():
            yield from walk(value)
    elif isinstance(data, list):
        for item in data:
            yield from walk(item)


@dataclass(frozen=True)
class Project:
    """A checkout; paths that its methods return are relative to it."""

    root: Path

    @cached_property
    def catalogue(self) -> catalogue.Catalogue:
        return catalogue.read(self.root / "runbook_docs")

    @cached_property
    def tracked(self) -> tuple[Path, ...]:
        """Files that git has or would take; what it ignores is no part of the project."""
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listing = subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout
        paths = (Path(name) for name in listing.split("\0") if name)
        return tuple(sorted(path for path in paths if (self.root / path).exists()))

    def files(self, *patterns: str) -> list[Path]:
        """Tracked files at one of the patterns, which have as many parts as the path."""
        return [
            path
            for path in self.tracked
            if any(path.match(pattern) and pattern.count("/") == len(path.parts) - 1 for pattern in patterns)
        ]

    def below(self, *folders: str, suffix: str = ".yml") -> list[Path]:
        """Tracked files in one of the folders, at any depth."""
        return [path for path in self.tracked if path.parts[0] in folders and path.suffix == suffix]

    def text(self, path: Path) -> str:
        return (self.root / path).read_text(encoding="utf-8")

    def yaml(self, path: Path) -> Any:
        return yaml.load(self.text(path), Loader=Loader)

    @cached_property
    def playbooks(self) -> tuple[Path, ...]:
        return tuple(self.below("playbooks"))

    @cached_property
    def roles(self) -> tuple[str, ...]:
        return tuple(sorted({path.parts[1] for path in self.below("roles")}))

    @cached_property
    def scenarios(self) -> tuple[str, ...]:
        return tuple(sorted(path.parts[1] for path in self.files("molecule/*/molecule.yml")))

    @cached_property
    def pages(self) -> tuple[Path, ...]:
        return tuple(self.below("runbook_docs", suffix=".md"))

    def calls(self, path: Path) -> set[tuple[str, str]]:
        """The roles, with entry point, that a playbook or task file calls."""
        found = set()
        for mapping in walk(self.yaml(path)):
            for module in IMPORTS:
                if module in mapping:
                    call = mapping[module]
                    found.add((call["name"], Path(call.get("tasks_from", "main")).stem))
            for role in mapping.get("roles") or ():
                if "hosts" in mapping:
                    found.add((role if isinstance(role, str) else role["role"], "main"))
        return found

    def roles_behind(self, playbook: Path) -> set[str]:
        """The roles that a playbook calls, directly, through an imported playbook, or through other roles."""
        found: set[str] = set()
        waiting = [playbook]
        while waiting:
            path = waiting.pop()
            waiting += [
                path.parent / mapping["ansible.builtin.import_playbook"]
                for mapping in walk(self.yaml(path))
                if "ansible.builtin.import_playbook" in mapping
            ]
            for role, _entry in self.calls(path):
                if role not in found:
                    found.add(role)
                    waiting += [task for task in self.below("roles") if task.parts[1:3] == (role, "tasks")]
        return found

    def specs(self, role: str) -> dict[str, Any]:
        """A role's argument specs by entry point; empty where it has none."""
        path = Path("roles", role, "meta/argument_specs.yml")
        return self.yaml(path)["argument_specs"] if path in self.tracked else {}

    def defaults(self, role: str) -> dict[str, Any]:
        path = Path("roles", role, "defaults/main.yml")
        return (self.yaml(path) or {}) if path in self.tracked else {}


#: Yields one line for each violation: what is wrong, and where.
Rule = Callable[[Project], Iterator[str]]


def sections(markdown: str) -> dict[str, str]:
    """The second-level sections of a page: heading → what stands below it."""
    parts = re.split(r"^## (.+)$", without_code(markdown, keep=True), flags=re.MULTILINE)
    return {heading.strip(): body.strip() for heading, body in zip(parts[1::2], parts[2::2], strict=True)}


def without_code(markdown: str, *, keep: bool = False) -> str:
    """The Markdown without its fenced blocks; with ``keep``, their lines are indented so that no # starts a line."""

    def replace(block: re.Match[str]) -> str:
        return re.sub(r"^", " ", block[0], flags=re.MULTILINE) if keep else ""

    return re.sub(r"^```.*?^```$", replace, markdown, flags=re.MULTILINE | re.DOTALL)


def anchor(heading: str) -> str:
    """The anchor that the site gives a heading."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip())

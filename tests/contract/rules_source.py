"""Rules about the source as such."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.contract.project import Project, Rule, walk

MAX_PLAYBOOK_LINES = 60
#: Tasks that always fail.
FAILING = {"ansible.builtin.fail", "ops.runbook.fail_as"}
#: Put together here, so that this file is none of those that it finds.
UNWANTED = {
    "a path of one machine": re.compile("/wo" + "rk/|/Us" + "ers/"),
    "the address of a package index": re.compile(
        r"pypi\.o" + r"rg|pythonho" + r"sted|deb\.deb" + r"ian\.org|registry\.np" + "mjs"
    ),
    "work that is left": re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b"),
}


def playbook_fits_on_a_screen(project: Project) -> Iterator[str]:
    """A playbook reads as prose on one screen."""
    for path in project.playbooks:
        lines = project.text(path).count("\n")
        if lines > MAX_PLAYBOOK_LINES:
            yield f"{path} has {lines} lines; at most {MAX_PLAYBOOK_LINES}"


def failure_is_never_ignored(project: Project) -> Iterator[str]:
    """No ``ignore_errors``, no ``failed_when: false``: a failure is handled or it is one."""
    for path in project.below("roles", "playbooks", "molecule", "tests"):
        for mapping in walk(project.yaml(path)):
            name = mapping.get("name", "?")
            if mapping.get("ignore_errors"):
                yield f"{path}: task {name!r} ignores errors"
            if "failed_when" in mapping and str(mapping["failed_when"]).lower() in ("false", "['false']", "[false]"):
                yield f"{path}: task {name!r} never fails"


def _fails(task: Mapping[str, Any]) -> bool:
    """Whether it always fails; of a block, whether its ``always`` does, to which a barred way back comes too."""
    end = task["always"][-1] if task.get("always") else task
    return bool(FAILING & end.keys()) and "when" not in task and "when" not in end


def rescue_ends_in_failure(project: Project) -> Iterator[str]:
    """A rescued play exits 0: every rescue ends in a task that fails, so that AWX and CI see what happened."""
    for path in project.below("roles", "playbooks"):
        for mapping in walk(project.yaml(path)):
            last = mapping.get("rescue", [None])[-1]
            if last is not None and not _fails(last):
                name, ends = mapping.get("name", "?"), " or ".join(sorted(FAILING))
                yield f"{path}: the rescue of {name!r} does not end in {ends}"


def there_are_no_symlinks(project: Project) -> Iterator[str]:
    """Collection builds skip symlinks and AWX hides them."""
    yield from (f"{path} is a symlink" for path in project.tracked if (project.root / path).is_symlink())


def text_speaks_of_the_project_alone(project: Project) -> Iterator[str]:
    """No machine's paths, no package index's address, no note of work that is left."""
    for path in project.tracked:
        try:
            text = project.text(path)
        except UnicodeDecodeError:
            continue  # a picture
        for meaning, pattern in UNWANTED.items():
            for match in pattern.finditer(text):
                yield f"{path}:{text.count('\n', 0, match.start()) + 1}: {match[0]} is {meaning}"


def inventories_promise_the_same(project: Project) -> Iterator[str]:
    """Lab and production template set the same objectives, so that what works in one works in the other."""
    paths = project.files("inventories/*/group_vars/all/objectives.yml")
    named = {path: set(project.yaml(path)) for path in paths}
    every = set().union(*named.values())
    for path, names in named.items():
        yield from (f"{path} lacks {name}" for name in sorted(every - names))


def collections_are_pinned(project: Project) -> Iterator[str]:
    """Every collection has one exact version."""
    for collection in project.yaml(Path("requirements.yml"))["collections"]:
        if not re.fullmatch(r"\d+\.\d+\.\d+", str(collection.get("version"))):
            yield f"requirements.yml: {collection['name']} has version {collection.get('version')}, which pins nothing"


RULES: tuple[Rule, ...] = (
    playbook_fits_on_a_screen,
    failure_is_never_ignored,
    rescue_ends_in_failure,
    there_are_no_symlinks,
    text_speaks_of_the_project_alone,
    inventories_promise_the_same,
    collections_are_pinned,
)

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The managed configuration of one host as the inventory has it, with every template filled in."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.template import trust_as_template
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_layers import Layers
from ansible_collections.ops.runbook.plugins.plugin_utils.configuration_resolve import (
    VARIABLES,
    Merged,
    merge_entries,
    resolve_all,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.redact import Redactor
from ansible_collections.ops.runbook.plugins.plugin_utils.run_record_secrets import SecretFinder

#: A candidate that is larger is no configuration, and a program that carries it would be slow.
MOST_BYTES = 4 << 20


class HostConfiguration:
    """What one host has to be like."""

    def __init__(
        self, name: str, layers: Layers, hosts: list[str], *, templar: Any, loader: Any, folders: Iterable[Path]
    ) -> None:
        self.name = name
        self.errors: list[str] = []
        self.entries: list[dict[str, Any]] = []
        self._layers = layers
        self._variables = layers.variables(name, hosts)
        self._templar = templar.copy_with_new_env(available_variables=self._variables)
        self._loader = loader
        self._folders = tuple(folders)

    def option(self, name: str, default: Any) -> Any:
        """One of the host's variables."""
        return self._template(self._variables[name], name) if name in self._variables else default

    def resolve(self) -> None:
        """Merge every contribution, check the result, render the contents."""
        merged: dict[str, dict[str, Merged]] = {}
        for variable in VARIABLES:
            layers = []
            for origin, value in self._layers.of(self.name, variable):
                where = f"{variable} of {origin}"
                layers.append((origin, self._template(value, where) if isinstance(value, str) else value))
            merged[variable], errors = merge_entries(variable, layers)
            self.errors += errors
            for name, entry in merged[variable].items():
                if entry.enabled:
                    filled = self._template(entry.spec, entry.describe(variable, name))
                    entry.enabled, entry.spec = filled is not None, filled or {}
        entries, wrong = resolve_all(merged)
        self.errors += wrong
        files = [entry for entry in entries if entry["kind"] == "file"]
        for file in files:
            self._fill(file)
        if files and not self.errors:
            self._find_secrets(files)
        self.entries = entries

    def _fill(self, entry: dict[str, Any]) -> None:
        """Replace template, content or source by the content itself."""
        if entry.get("absent"):
            return
        content = self._content(entry)
        if content is None:
            return
        if not content.strip():
            self.errors.append(
                f"{entry['variable']} is empty; write absent: true to remove the file, or a comment where it has to be"
            )
        elif len(content) > MOST_BYTES:
            self.errors.append(f"{entry['variable']} has {len(content)} bytes; at most {MOST_BYTES} are allowed")
        entry["content"] = base64.b64encode(content).decode("ascii")

    def _content(self, entry: dict[str, Any]) -> bytes | None:
        given = {kind: str(entry.pop(kind)) for kind in ("template", "source", "content") if kind in entry}
        if "content" in given:
            text = given["content"]
            return (text if text.endswith("\n") or not text else f"{text}\n").encode()
        kind, name = next(iter(given.items()))
        path = self._find(kind, name)
        if path is None:
            places = ", ".join(str(folder) for folder in self._folders) or "no inventory folder"
            self.errors.append(f"{entry['variable']} has the {kind} {name!r}, which is in none of {places}")
            return None
        if kind == "source":
            return path.read_bytes()
        return self._render(entry, path)

    def _find(self, kind: str, name: str) -> Path | None:
        """The file, in group_vars of one of the inventories: in its folder for templates or files, or in itself."""
        below = "templates" if kind == "template" else "files"
        places = (
            [Path(name)] if Path(name).is_absolute() else [f / b / name for f in self._folders for b in (below, ".")]
        )
        return next((path for path in places if path.is_file()), None)

    def _render(self, entry: Mapping[str, Any], path: Path) -> bytes | None:
        variables = {"ansible_managed": "Ansible managed", **self._variables, "template_path": str(path)}
        search = [str(path.parent), *(str(folder / "templates") for folder in self._folders)]
        templar = self._templar.copy_with_new_env(searchpath=search, available_variables=variables)
        text = trust_as_template(self._loader.get_text_file_contents(str(path)))
        try:
            made = templar.template(text, escape_backslashes=False, overrides={"trim_blocks": True})
        except AnsibleError as error:
            self.errors.append(
                f"{entry['variable']}, template {path}: {getattr(error, 'message', None) or error}".strip()
            )
            return None
        return str(made if made is not None else "").encode()

    def _find_secrets(self, files: list[dict[str, Any]]) -> None:
        """A file that holds the value of a secret variable is secret, also where nobody has said so."""
        open_files = [entry for entry in files if not entry["secret"] and "content" in entry]
        if not open_files:
            return
        redactor = Redactor()
        SecretFinder(redactor, self._loader).variables(self._variables)
        for entry in open_files:
            text = base64.b64decode(entry["content"]).decode("utf-8", "replace")
            entry["secret"] = redactor.text(text) != text

    def _template(self, value: Any, where: str) -> Any:
        try:
            return self._templar.template(value)
        except AnsibleError as error:
            self.errors.append(f"{where}: {getattr(error, 'message', None) or error}".strip())
            return None

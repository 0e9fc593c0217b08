# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The secrets that a run knows: vaulted values, and values of variables whose names say that they are secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible._internal._datatag._tags import Origin, VaultedValue
from ansible._internal._templating._engine import TemplateEngine
from ansible.errors import AnsibleError
from ansible.parsing.vault import EncryptedString
from ansible_collections.ops.runbook.plugins.plugin_utils.redact import Redactor, is_secret_name, is_trivial

_VAULT_HEADER = b"$ANSIBLE_VAULT"
#: Facts of a host and Ansible's own tables: large, and never secret.
_NOT_SEARCHED = frozenset({"ansible_facts", "ansible_local", "groups", "hostvars", "vars", "ansible_version"})


class SecretFinder:
    """Walks through variables and makes the secrets in them known to a redactor."""

    def __init__(self, redactor: Redactor, loader: Any) -> None:
        self._redactor = redactor
        self._loader = loader
        # The objects are kept, so that an id is not given to another one.
        self._seen: dict[tuple[int, bool], Any] = {}
        self._vault_files: dict[str, bool] = {}

    def variables(self, variables: Mapping[str, Any]) -> None:
        """Search one scope of variables."""
        facts = variables.get("ansible_facts")
        skipped = {f"ansible_{name}" for name in facts} if isinstance(facts, Mapping) else set()
        for name, value in variables.items():
            if name not in _NOT_SEARCHED and name not in skipped:
                self._walk(value, named=is_secret_name(name), scope=variables)

    def hosts(self, hosts: Iterable[Any], variable_manager: Any, play: Any = None) -> None:
        """Search what the hosts see: inventory, set_fact, include_vars, extra variables, files of the play."""
        for host in hosts:
            try:
                found = variable_manager.get_vars(
                    play=play, host=host, include_hostvars=False, _hosts=[], _hosts_all=[]
                )
            except AnsibleError:
                # A file of another group, say, whose vault password was not given: no task can have read it either.
                continue
            self.variables(found)

    def play(self, play: Any, hosts: Iterable[Any], variable_manager: Any) -> None:
        """Search what the play adds: its variables, files of variables, and its roles."""
        self.variables(play.get_vars())
        if play.get_vars_files():
            # Their names may depend on the host.
            self.hosts(hosts, variable_manager, play)
        # Answers to prompts, where the play does not declare them as public.
        private = {prompt["name"] for prompt in play.vars_prompt or () if prompt.get("private", True)}
        self.variables({f"{name}_secret": play.vars.get(name) for name in private})
        for role in play.roles:
            self.role(role)

    def role(self, role: Any) -> None:
        """Search defaults, variables and parameters of the role."""
        self.variables(role.get_default_vars())
        self.variables(role.get_vars())

    def task(self, task: Any) -> None:
        """Search the variables of the task and of the blocks around it, and its literal arguments."""
        self.variables(task.get_vars())
        if isinstance(task.args, Mapping):
            self.variables(task.args)

    def _walk(self, value: Any, *, named: bool, scope: Mapping[str, Any]) -> None:
        if value is None or isinstance(value, bool):
            return
        key = (id(value), named)
        if key in self._seen:
            return
        self._seen[key] = value
        if isinstance(value, Mapping):
            for name, item in value.items():
                self._walk(item, named=named or is_secret_name(str(name)), scope=scope)
        elif isinstance(value, (list, tuple, set)):
            for item in value:
                self._walk(item, named=named, scope=scope)
        else:
            self._scalar(value, named=named, scope=scope)

    def _scalar(self, value: Any, *, named: bool, scope: Mapping[str, Any]) -> None:
        if isinstance(value, EncryptedString):
            try:
                self._redactor.add(str(value))
            except AnsibleError:
                # Without its password nobody in this run can read it either.
                return
        elif VaultedValue.is_tagged_on(value) or self._from_vault_file(value):
            if not is_trivial(str(value)):
                self._redactor.add(str(value))
        elif named and isinstance(value, str):
            text = self._rendered(value, scope)
            if not is_trivial(text):
                self._redactor.add(text)

    def _from_vault_file(self, value: Any) -> bool:
        origin = Origin.get_tag(value)
        if origin is None or not origin.path:
            return False
        path = origin.path
        if path not in self._vault_files:
            try:
                with Path(path).open("rb") as file:
                    self._vault_files[path] = file.read(len(_VAULT_HEADER)) == _VAULT_HEADER
            except OSError:
                self._vault_files[path] = False
        return self._vault_files[path]

    def _rendered(self, value: str, scope: Mapping[str, Any]) -> str:
        """The value of a template; a lookup is not repeated, because it may do anything."""
        if "{{" not in value or any(word in value for word in ("lookup(", "query(", "q(")):
            return value
        try:
            return str(TemplateEngine(loader=self._loader, variables=dict(scope)).template(value))
        except AnsibleError:
            # What cannot be rendered here was not rendered for a task either.
            return value

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each group, and then the host, says about a variable whose contributions add up.

ansible-core hands a task only the last value. The layers are therefore collected here, in ansible-core's own order of
precedence, from the same sources that it reads. This is the only place that touches ansible-core's variable manager.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ansible.inventory.helpers import sort_groups
from ansible.vars.plugins import get_vars_from_inventory_sources, get_vars_from_path

Contribution = tuple[str, Any]


class Layers:
    """Reads variables as the inventory's entities give them, before one replaces the other."""

    def __init__(self, task: Any, names: Iterable[str]) -> None:
        self._manager = task.get_variable_manager()
        self._inventory = self._manager._inventory
        self._loader = self._manager._loader
        self._task = task
        self._names = tuple(names)
        self._cache: dict[str, list[dict[str, Any]]] = {}

    def variables(self, host: str, hosts: list[str]) -> dict[str, Any]:
        """All variables as a task on this host sees them, role defaults included, not templated."""
        entity = self._inventory.get_host(host)
        play = self._task.get_play()
        found: dict[str, Any] = self._manager.get_vars(
            play=play, host=entity, task=self._task, _hosts=hosts, _hosts_all=hosts
        )
        return found

    def rules(self, host: str, hosts: list[str]) -> dict[str, Any]:
        """The same without the command line: what binds its author cannot be given there."""
        given, self._manager._extra_vars = self._manager._extra_vars, {}
        try:
            return self.variables(host, hosts)
        finally:
            self._manager._extra_vars = given

    def sources(self) -> list[str]:
        """The inventories, as they were given."""
        return [str(source) for source in self._inventory._sources]

    def of(self, host: str, name: str) -> list[Contribution]:
        """What the host's groups, the host, the play and the command line say, lowest precedence first."""
        return [(origin, values[name]) for origin, values in self._entities(host) if name in values]

    def _entities(self, host: str) -> Iterator[tuple[str, dict[str, Any]]]:
        entity = self._inventory.get_host(host)
        groups = [group for group in entity.get_groups() if group.name != "all"]
        for group in [self._inventory.groups["all"], *sort_groups(groups)]:
            yield from ((f"group {group.name}", values) for values in self._read(f"group {group.name}", group))
        yield from ((f"host {host}", values) for values in self._read(f"host {host}", entity))
        yield "the play", self._task.get_play().get_vars()
        yield "--extra-vars", self._manager.extra_vars

    def _read(self, key: str, entity: Any) -> list[dict[str, Any]]:
        """The entity's values: inline, beside each inventory source, beside the playbook."""
        if key not in self._cache:
            layers = [
                entity.get_vars(),
                *(
                    get_vars_from_inventory_sources(self._loader, [source], [entity], "task")
                    for source in self._inventory._sources
                ),
                get_vars_from_path(self._loader, self._loader.get_basedir(), [entity], "task"),
            ]
            known = [{name: values[name] for name in self._names if name in values} for values in layers]
            # An inventory folder is both a source and, often, beside the playbook: the same file counts once.
            self._cache[key] = [
                values for number, values in enumerate(known) if values and values not in known[:number]
            ]
        return self._cache[key]

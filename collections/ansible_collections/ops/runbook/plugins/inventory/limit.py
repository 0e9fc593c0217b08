# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Refuses a --limit that names unknown hosts, and records the refusal."""

from __future__ import annotations

DOCUMENTATION = r"""
name: limit
short_description: Refuses an unknown host in --limit
description:
  - Adds no host. It compares the elements of C(--limit) with what the inventory knows and refuses the run, before
    anything else happens, when one of them matches nothing.
  - ansible-core itself goes on without the host that was mistyped, and, where nothing is left, stops before any
    callback could record that somebody tried.
  - Put its file last in the inventory's folder, since it sees what the files before it have added.
version_added: 0.1.0
author: The ops.runbook authors (@ops-runbook)
extends_documentation_fragment:
  - ops.runbook.signing_key
  - ops.runbook.state_dir
options:
  plugin:
    description: Name of this plugin.
    type: str
    required: true
    choices: [ops.runbook.limit]
"""

EXAMPLES = r"""
# inventories/production/zz_limit.yml
plugin: ops.runbook.limit
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ansible import context
from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.utils.collection_loader._collection_finder import _get_collection_playbook_path
from ansible.utils.display import Display
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import LedgerError
from ansible_collections.ops.runbook.plugins.plugin_utils.limit import unknown
from ansible_collections.ops.runbook.plugins.plugin_utils.run_record import EXIT_REFUSED, open_ledger, record_refusal

if TYPE_CHECKING:
    from ansible.inventory.data import InventoryData
    from ansible.parsing.dataloader import DataLoader


def _runs_playbooks(arguments: Mapping[str, Any]) -> bool:
    """Whether this process is going to run playbooks, and not to list or to check something."""
    only_shows = any(arguments.get(option) for option in ("listhosts", "listtasks", "listtags", "syntax"))
    return "start_at_task" in arguments and not only_shows


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]
    """Compares --limit with the inventory."""

    NAME = "ops.runbook.limit"

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Refuse the run when an element of --limit matches nothing."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        limit = context.CLIARGS.get("subset")
        if not limit or not _runs_playbooks(context.CLIARGS):
            return
        try:
            missing = unknown(limit, inventory.hosts, inventory.groups)
        except OSError as error:
            raise AnsibleParserError(f"--limit {limit}: cannot read {error.filename}: {error.strerror}") from error
        if missing:
            self._refuse(f"--limit {limit}", missing, inventory)

    def _refuse(self, option: str, missing: list[str], inventory: Any) -> None:
        groups = sorted(set(inventory.groups) - {"all", "ungrouped"})
        reason = (
            f"{option}: the inventory has no host or group {', '.join(map(repr, missing))}. "
            f"Known hosts: {', '.join(sorted(inventory.hosts))}. Known groups: {', '.join(groups)}."
        )
        Display().error(reason, wrap_text=False)
        sources = context.CLIARGS.get("inventory") or ()
        known = SimpleNamespace(_sources=sources, groups=inventory.groups, hosts=inventory.hosts)
        ledger = open_ledger(self.get_option("state_dir"), self.get_option("signing_key"))
        try:
            for playbook in context.CLIARGS["args"]:
                resource = _get_collection_playbook_path(playbook)
                record_refusal(ledger, resource[1] if resource else playbook, known, self.loader, reason)
        except LedgerError as error:
            Display().error(f"The refusal is not recorded: {error}", wrap_text=False)
        # An error of an inventory plugin is only a warning, and the run would go on without the unknown host.
        raise SystemExit(EXIT_REFUSED)

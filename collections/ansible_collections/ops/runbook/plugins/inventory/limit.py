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
author: The ops.runbook authors
extends_documentation_fragment: ops.runbook.state_dir
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

import sys
from typing import TYPE_CHECKING, Any

from ansible import context
from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.utils.display import Display
from ansible_collections.ops.runbook.plugins.plugin_utils.limit import unknown

if TYPE_CHECKING:
    from ansible.inventory.data import InventoryData
    from ansible.parsing.dataloader import DataLoader


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]
    """Compares --limit with the inventory."""

    NAME = "ops.runbook.limit"

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Refuse the run when an element of --limit matches nothing."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        limit = context.CLIARGS.get("subset")
        if not limit:
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
        sys.exit(4)

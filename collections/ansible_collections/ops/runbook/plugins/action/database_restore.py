# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.database_restore: a lost host fails the task, so that the way back begins."""

from __future__ import annotations

from ansible_collections.ops.runbook.plugins.plugin_utils.lost_host import ActionModule

__all__ = ["ActionModule"]

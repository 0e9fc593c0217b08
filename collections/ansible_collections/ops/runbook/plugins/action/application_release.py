# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.application_release: brings the archive to the host, where the host needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.ops.runbook.plugins.plugin_utils.lost_host import lost_is_failed

MODULE = "ops.runbook.application_release"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Run one step of a release."""

    TRANSFERS_FILES = True
    _supports_check_mode = True
    _supports_diff = True

    @lost_is_failed
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send the archive if there is one, and run the module."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        archive = str(arguments.pop("bundle", None) or "")
        sent: str | None = None
        if archive and not self._task.check_mode:
            if not Path(archive).is_file():
                raise AnsibleActionFail(f"There is no archive {archive} on the controller")
            sent = self._connection._shell.join_path(self._connection._shell.tmpdir, "bundle.tar")
            self._transfer_file(archive, sent)
            self._fixup_perms2((self._connection._shell.tmpdir, sent))
            arguments["bundle"] = sent
        try:
            result: dict[str, Any] = self._execute_module(MODULE, arguments, task_vars=task_vars)
        finally:
            if sent is not None:
                self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

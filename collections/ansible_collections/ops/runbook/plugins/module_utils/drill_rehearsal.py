# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restore into a folder that is nobody's: a server of its own comes up in it, without network and without an archive.

Python 3.9.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.database_restore import RestoreError, Run, Server
from ansible_collections.ops.runbook.plugins.module_utils.drill_content import content

#: Says that a folder is a rehearsal's, and may be emptied by the next.
MARK = ".ops-runbook-rehearsal"
PORT = 5499
_CONFIGURATION = """
# A rehearsal of a restore: it reaches nobody, and nobody reaches it but its own user.
listen_addresses = ''
unix_socket_directories = '{folder}'
port = {port}
archive_mode = off
hot_standby = off
max_connections = 50
shared_buffers = 128MB
hba_file = '{folder}/pg_hba.conf'
ident_file = '{folder}/pg_ident.conf'
logging_collector = off
"""


class Rehearsal:
    """One restore into a scratch folder."""

    def __init__(self, run: Run, folder: Path, version: str, owner: str = "postgres") -> None:
        self.folder = folder
        cluster = {"cluster": f"{version}/rehearsal", "port": PORT, "owner": owner, "data": str(folder / "data")}
        self.server = Server(run, cluster)
        self._run = run

    def prepare(self) -> bool:
        """An empty folder; whether there was something of an earlier rehearsal in it."""
        left = self.remove()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.folder / MARK).touch()
        self.server.make_folder()
        shutil.chown(str(self.folder), self.server.owner, self.server.owner)
        return left

    def restore(self, stanza: str, target: Mapping[str, Any]) -> dict[str, float]:
        """Fetch a backup and recover it; how long both took, in seconds."""
        began = time.time()
        server = self.server
        words = ["pgbackrest", f"--stanza={stanza}", "--log-level-console=error", f"--pg1-path={server.data}"]
        words += [f"--set={target['backup']}", "--archive-mode=off", "--no-delta"]
        # It tries each file again that does not arrive whole, and waits a quarter of a minute before the last time.
        words.append("--job-retry-interval=2")
        if target.get("type", "default") != "default":
            words += [f"--type={target['type']}", f"--target={target['target']}", "--target-action=promote"]
            words += ["--target-exclusive"] if target.get("exclusive") else []
        words += [f"--target-timeline={target['timeline']}"] if target.get("timeline") else []
        words += [f"--db-include={name}" for name in target.get("databases", [])]
        server.run([*words, "restore"], "pgBackRest cannot restore", cwd=str(self.folder))
        fetched = time.time()
        (self.folder / "pg_hba.conf").write_text("local all all peer\n", encoding="ascii")
        (self.folder / "pg_ident.conf").write_text("", encoding="ascii")
        text = _CONFIGURATION.format(folder=self.folder, port=PORT)
        (server.data / "postgresql.conf").write_text(text, encoding="ascii")
        for path in (self.folder / "pg_hba.conf", self.folder / "pg_ident.conf", server.data / "postgresql.conf"):
            shutil.chown(str(path), server.owner, server.owner)
        self._start(int(target.get("seconds", 14400)))
        return {"fetched": round(fetched - began, 1), "recovered": round(time.time() - fetched, 1)}

    def _start(self, seconds: int) -> None:
        server, log = self.server, self.folder / "log"
        words = [server.binary("pg_ctl"), "-D", str(server.data), "-w", "-t", str(seconds), "-l", str(log), "start"]
        try:
            server.run(words, "the restored server does not come up")
        except RestoreError as error:
            tail = log.read_text(encoding="utf-8", errors="replace")[-1500:] if log.exists() else ""
            raise RestoreError(f"{error}\n{tail}") from error
        # pg_ctl is content with a server that still recovers and lets nobody in.
        self.server.wait(lambda: self._answers() or not self._runs(), "the end of recovery", seconds)
        if not self._runs():
            said = log.read_text(encoding="utf-8", errors="replace")
            fatal = [line for line in said.splitlines() if "FATAL" in line and "not accepting" not in line]
            raise RestoreError(f"the restored server does not come up: {(fatal or [said])[-1][-500:]}")

    def _runs(self) -> bool:
        return (self.server.data / "postmaster.pid").exists()

    def _answers(self) -> bool:
        words = [self.server.binary("pg_isready"), "-q", "-h", str(self.folder), "-p", str(PORT)]
        code, _out, _err = self._run(words)
        return bool(code == 0)

    def content(self) -> dict[str, Any]:
        """What is in the restored databases."""
        return content(self.server, str(self.folder))

    def verify_pages(self) -> None:
        """Read every page with amcheck."""
        server = self.server
        words = [server.binary("pg_amcheck"), "-h", str(self.folder), "-p", str(PORT), "--install-missing", "--all"]
        server.run([*words, "--heapallindexed"], "pg_amcheck finds the restored database damaged")

    def remove(self) -> bool:
        """Stop the server and remove all of it; whether there was anything. RestoreError for somebody else's folder."""
        if not self.folder.exists():
            return False
        reason = foreign(self.folder)
        if reason:
            raise RestoreError(reason)
        server = self.server
        if (server.data / "postmaster.pid").exists():
            words = [server.binary("pg_ctl"), "-D", str(server.data), "-m", "immediate", "-w", "stop"]
            self._run(["runuser", "-u", server.owner, "--", *words], cwd="/")
        left = any(self.folder.iterdir())
        shutil.rmtree(str(self.folder))
        return left


def foreign(folder: Path) -> Optional[str]:
    """Why the folder must not be restored into; None where it may."""
    if not folder.exists() or (folder / MARK).exists():
        return None
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return None
    held = ", ".join(names[:5])
    return f"{folder} is not empty and is no rehearsal's: it holds {held}; name another folder, or empty it"

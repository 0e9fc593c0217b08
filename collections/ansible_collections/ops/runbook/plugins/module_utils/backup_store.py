# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The store's part of the program that backs up files: it looks after what all hosts have stored, and lets it go."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import (
    BackupError,
    History,
    amount,
    certificate_finding,
    finding,
    replace,
    served_certificate,
    space,
    timer_finding,
)
from ansible_collections.ops.runbook.plugins.module_utils.backup_objects import digest, unlike_their_names
from ansible_collections.ops.runbook.plugins.module_utils.backup_receipt import ahead, behind
from ansible_collections.ops.runbook.plugins.module_utils.backup_restic import Restic
from ansible_collections.ops.runbook.plugins.module_utils.backup_retention import Backup, expirable_snapshots

MOST_NAMED = 20
#: What restic writes when all that it names is stored.
LAST = ("index", "snapshots")
#: Seconds after which an object that is not whole is none that is still coming in.
LONGEST_UPLOAD = 3600.0


class Store:
    """What all hosts have stored, seen by who keeps it."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings["store"]
        self.root = Path(self.settings["repositories"])
        self.state = Path(settings["state"])
        self.history = History(self.state / "history.jsonl")
        self.now = time.time()

    def hosts(self) -> list[str]:
        """Hosts that have a repository."""
        return sorted(path.parent.name for path in self.root.glob("*/config"))

    def restic(self, host: str) -> Restic:
        """Restic on the repository of a host, past the server that removes nothing."""
        passphrase = Path(self.settings["passphrases"], host).read_text(encoding="utf-8").strip()
        variables = {"RESTIC_REPOSITORY": str(self.root / host), "RESTIC_PASSWORD": passphrase, "HOME": str(self.root)}
        return Restic({**variables, "RESTIC_CACHE_DIR": "/var/cache/restic-store"}, str(self.settings["user"]))

    def snapshots(self, host: str) -> list[dict[str, Any]]:
        """The snapshots of a host, each with the time at which it came in: the store's clock, which no host sets."""
        found = self.restic(host).snapshots()
        for each in found:
            path = self.root / host / "snapshots" / each["id"]
            each["received"] = path.stat().st_mtime if path.exists() else each["made"]
        return found

    def expire(self, *, dry: bool) -> dict[str, Any]:
        """Forget what may go, by the clock of the store. A host whose objects are damaged keeps everything."""
        damaged = {name.split("/")[0] for name in self.damaged}
        made, findings = [], []
        for host in self.hosts():
            snapshots, said = self.looked(host)
            cut, gone = ([], []) if host in damaged else (self.abandoned(host), self.expirable(snapshots))
            for name in [] if dry else cut:
                (self.root / name).unlink()
            if gone and not dry:
                self.restic(host).demand("unlock")
                self.restic(host).demand("forget", "--prune", *gone)
                self.history.add(event="expired", host=host, labels=gone)
            made += [f"{host}: {name.rsplit('/', 1)[-1][:8]} removed, it was never finished" for name in cut]
            made += [f"{host}: {label[:8]} forgotten" for label in gone]
            findings.append(said)
        return {"changed": bool(made), "made": made, "findings": [*findings, self.about_objects()]}

    @functools.cached_property
    def unlike(self) -> list[str]:
        """Stored objects that are not what their names say, read once: nobody's passphrase is needed for it."""
        return unlike_their_names(self.root, self.configs)

    @functools.cached_property
    def unfinished(self) -> list[str]:
        """Those of them that never were whole: a full disk or a lost connection has ended their upload.

        An append-only server keeps them for ever, and no backup depends on them: what is written last names what is
        needed, so it names none of these, or is one of them and empty.
        """
        found = []
        for host in sorted({name.split("/")[0] for name in self.unlike}):
            own = [name for name in self.unlike if name.startswith(f"{host}/")]
            empty = [name for name in own if name.split("/")[1] in LAST and not (self.root / name).stat().st_size]
            packs = [name for name in own if name.startswith(f"{host}/data/")]
            try:
                needed = self.packs(host) if packs else set()
            except BackupError:
                continue  # nobody knows what is needed, so all of it is
            found += [*empty, *(name for name in packs if name.rsplit("/", 1)[-1] not in needed)]
        return found

    def packs(self, host: str) -> set[str]:
        """The packs that the indexes of a repository name."""
        restic, folder = self.restic(host), self.root / host / "index"
        whole = [path.name for path in sorted(folder.iterdir()) if path.stat().st_size]
        indexes = [json.loads(restic.demand("cat", "index", name, "--no-lock", "--no-cache")) for name in whole]
        return {pack["id"] for index in indexes for pack in index["packs"]}

    def abandoned(self, host: str) -> list[str]:
        """What was not finished, and no longer can be."""
        own = [name for name in self.unfinished if name.startswith(f"{host}/")]
        return [name for name in own if self.now - (self.root / name).stat().st_mtime > LONGEST_UPLOAD]

    @functools.cached_property
    def damaged(self) -> list[str]:
        """Stored objects that are not what they were."""
        return [name for name in self.unlike if name not in self.unfinished]

    @functools.cached_property
    def configs(self) -> dict[str, str]:
        """The config of each repository to its hash when it was first seen: its name says nothing of it."""
        path = self.state / "configs.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def note_configs(self) -> None:
        """Note the configs of repositories that are new."""
        names = [f"{host}/config" for host in self.hosts()]
        new = {name: digest(self.root / name)[1] for name in names if name not in self.configs}
        if new:
            self.configs.update(new)
            replace(self.state / "configs.json", json.dumps(self.configs))

    def looked(self, host: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The snapshots of a host, and what there is to say of them; none of a repository that cannot be read."""
        try:
            snapshots = self.snapshots(host)
        except BackupError as error:
            return [], finding(f"snapshots of {host}", "critical", str(error), "verification")
        return snapshots, self.about(host, snapshots)

    def expirable(self, snapshots: list[dict[str, Any]]) -> list[str]:
        """Ids of what may be forgotten, set by set; a set that no objective names keeps everything.

        What bears a time that its receipt belies is no proof of a good backup, now or later.
        """
        gone: list[str] = []
        for name, keep in self.settings["keep"].items():
            own = [
                Backup(each["id"], max(each["made"], each["received"]), good=not (ahead(each) or behind(each)))
                for each in snapshots
                if name in (each.get("tags") or ())
            ]
            gone += expirable_snapshots(own, self.now, float(keep))
        return gone

    def about(self, host: str, snapshots: list[dict[str, Any]]) -> dict[str, Any]:
        """Snapshots that a host cannot have made at the time that they bear."""
        check = f"snapshots of {host}"
        late, early = ([each["short_id"] for each in snapshots if wrong(each)] for wrong in (ahead, behind))
        if late:
            names = ", ".join(late[:MOST_NAMED])
            title = f"{names} bear a time after they came in: the host's clock is wrong, or they are forged"
            return finding(check, "critical", title, "forged")
        if early:
            names = ", ".join(early[:MOST_NAMED])
            title = f"{names} bear a time long before they came in: copied to this store, or forged"
            return finding(check, "warning", title, "forged")
        return finding(check, "ok", f"{len(snapshots)} snapshots", "forged", metrics={"snapshots": len(snapshots)})

    def about_objects(self) -> dict[str, Any]:
        """Whether each stored object is what its name says."""
        wrong = self.damaged
        free, whole = space(self.root)
        metrics = {"free_bytes": free, "used_percent": round(100 - 100 * free / whole, 1) if whole else 0.0}
        if wrong:
            title = f"{len(wrong)} stored objects are damaged: {', '.join(wrong[:3])}"
            detail = "\n".join(wrong[:MOST_NAMED])
            return finding("stored files", "critical", title, "verification", detail=detail, metrics=metrics)
        title = f"every object is what its name says; {amount(free)} are free"
        if self.unfinished:
            title += f"; {len(self.unfinished)} uploads were never finished: no backup needs them, and they are removed"
        return finding("stored files", "ok", title, "verification", metrics=metrics)

    def about_service(self) -> list[dict[str, Any]]:
        """Whether hosts can go on to store, and whether anything is let go."""
        address = f"localhost:{self.settings['port']}"
        timer = timer_finding("file backup retention timer", self.settings["timer"], "nothing is let go by itself")
        return [timer, certificate_finding("file backup certificate", address, served_certificate(address))]

    def findings(self) -> list[dict[str, Any]]:
        """What there is to say of what is stored, without changing anything."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = [said for _snapshots, said in pool.map(self.looked, self.hosts())]
        return [*found, self.about_objects()]

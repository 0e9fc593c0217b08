# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Areas of packages: downloaded archives, and packages that were installed for others that have gone."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from pathlib import Path

from ansible_collections.ops.runbook.plugins.module_utils.maintenance import (
    Area,
    Item,
    MaintenanceError,
    Remover,
    area,
    entries,
    occupied,
    run,
)

ARCHIVES = "/var/cache/apt/archives"
APT = "/usr/bin/apt-get"
#: Seconds to wait for another program that works with packages.
LOCK_TIMEOUT = 60
#: For a simulation. Who needs whom among what is installed stands in dpkg's list; the archives' lists, which apt would
#: read and cache, take fifty times as long.
_SIMULATED = [
    word
    for option in (
        "Dir::Etc::SourceList=/dev/null",
        "Dir::Etc::SourceParts=/dev/null",
        "Dir::Cache::pkgcache=",
        "Dir::Cache::srcpkgcache=",
        "Debug::NoLocking=1",
    )
    for word in ("-o", option)
] + ["--simulate"]
_REMOVED = re.compile(r"^(?:Remv|Purg) (\S+) \[([^\]]*)\]", re.MULTILINE)


@area
class PackageCache(Area):
    """Archives of packages that are installed already: they can be downloaded again."""

    name = "package_cache"

    def plan(self) -> list[Item]:
        """Every archive, whole or in part."""
        items = []
        for folder in (ARCHIVES, f"{ARCHIVES}/partial"):
            for entry, status in entries(folder):
                partial = folder != ARCHIVES
                if stat.S_ISREG(status.st_mode) and (partial or entry.name.endswith(".deb")):
                    why = "half a download" if partial else "downloaded archive"
                    items.append(Item(self.name, entry.path, occupied(status), why))
        return items

    def apply(self, items: list[Item]) -> None:
        """Remove them while no package tool reads them."""
        with open(f"{ARCHIVES}/lock", "a", encoding="ascii") as lock:  # noqa: PTH123 - the lock's file stays open
            _wait_for(lock.fileno())
            for item in items:
                Remover(ARCHIVES).remove(item.subject)


@area
class Orphans(Area):
    """Packages that were installed for others which have gone."""

    name = "orphans"

    def plan(self) -> list[Item]:
        """What apt would remove, without the running kernel and without what is held."""
        if not Path(APT).exists():
            return []
        # Not `apt-mark showhold`, which may write its cache.
        selections = run(["dpkg", "--get-selections"]).splitlines()
        held = {line.split()[0] for line in selections if line.endswith("hold")}
        self.seen["held"] = sorted(held)
        broken = run(["dpkg", "--audit"])
        if broken.strip():
            raise MaintenanceError("dpkg was interrupted: run `dpkg --configure -a` on the host, then run again")
        kernel = os.uname().release
        wanted = dict(_REMOVED.findall(run([APT, *_SIMULATED, "autoremove"])))
        spared = {name for name in wanted if name.split(":")[0] in held or kernel in name}
        for name in sorted(spared):
            self.note("orphans", f"{name} is held or belongs to the running kernel {kernel}: it stays")
        names = sorted(set(wanted) - spared)
        # What stays may need others of them: only what goes without taking along anything else does.
        while names:
            taken = set(_simulated_removal(names))
            if taken == set(names):
                break
            needed = {name for name in names if set(_simulated_removal([name])) - set(names)}
            if not needed:
                needed = set(names)
            names = sorted(set(names) - needed)
        sizes = _installed_bytes(names)
        return [
            Item(self.name, f"{name} {wanted[name]}", sizes.get(name.split(":")[0], 0), "no package needs it any more")
            for name in names
        ]

    def apply(self, items: list[Item]) -> None:
        """Remove exactly these."""
        names = [item.subject.split()[0] for item in items]
        run(
            [APT, "-y", "-q", "-o", "Dpkg::Use-Pty=0", "-o", f"DPkg::Lock::Timeout={LOCK_TIMEOUT}", "remove", *names],
            # Nothing is restarted behind the operator's back: restarts have an area of their own.
            env={"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"},
        )
        left = set(names) & set(_installed_bytes(names))
        if left:
            raise MaintenanceError(f"apt-get ended well, but did not remove {', '.join(sorted(left))}")


def _simulated_removal(names: list[str]) -> list[str]:
    return [name for name, _version in _REMOVED.findall(run([APT, *_SIMULATED, "remove", *names]))]


def _installed_bytes(names: list[str]) -> dict[str, int]:
    """Package → bytes, of those that are installed."""
    if not names:
        return {}
    listing = run(["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status} ${Installed-Size}\n"])
    wanted = {name.split(":")[0] for name in names}
    found = {}
    for line in listing.splitlines():
        name, status, *size = line.split(" ")
        if name in wanted and status == "installed":
            found[name] = int(size[0] or 0) * 1024 if size else 0
    return found


def _wait_for(descriptor: int) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                raise MaintenanceError(
                    f"another program has held {ARCHIVES}/lock for {LOCK_TIMEOUT} s: wait until it ends, then run again"
                ) from None
            time.sleep(0.5)
        else:
            return

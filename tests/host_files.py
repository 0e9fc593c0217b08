"""What lies on a host's disk, and how two looks at it differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

#: What a living host writes all the time, whatever a procedure does.
ALIVE = (
    "/proc",
    "/sys",
    "/dev/pts",
    "/dev/shm",
    "/run/systemd",  # sessions, units
    "/run/sudo",  # when the login used sudo last
    "/run/motd.dynamic",  # made for each login
    "/run/log",  # the journal: the login and its sudo are logged
    "/run/postgresql",
    "/var/log",
    "/var/lib/chrony",  # the drift of the clock
    "/var/cache/apt/pkgcache.bin",  # apt's index of its lists: who reads them makes it
    "/var/cache/apt/srcpkgcache.bin",
    "/home/ops/.ansible",  # where modules are put while they run
    "/root/.ansible",
)
#: Of a database at work, only its settings and signal files. Its content is compared by queries.
CLUSTERS = "/var/lib/postgresql"
#: One look at all of the disk, in one process. A read of 300 MB takes less than a second.
PROGRAM = """
import grp, hashlib, json, os, pwd, stat, sys
ALIVE, CLUSTERS, content = json.loads(sys.argv[1])
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}

def name(lookup, number):
    try:
        return lookup(number)[0]
    except KeyError:
        return str(number)

def look(path):
    state = os.lstat(path)
    kind = KINDS.get(stat.S_IFMT(state.st_mode), "other")
    owner = "%s:%s" % (name(pwd.getpwuid, state.st_uid), name(grp.getgrgid, state.st_gid))
    digest, size, touched = "", 0, 0
    if kind != "directory":
        touched = state.st_ctime_ns
    if kind == "link":
        digest = os.readlink(path)
    if kind == "file":
        size = state.st_size
        if content:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
    return [kind, "%04o" % stat.S_IMODE(state.st_mode), owner, size, digest, touched]

def wanted(path):
    return path not in ALIVE and (not path.startswith(CLUSTERS) or path.endswith((".conf", ".signal")))

found = {}
for folder, folders, files in os.walk("/"):
    folders[:] = [one for one in folders if os.path.join(folder, one) not in ALIVE]
    for one in folders + files:
        path = os.path.join(folder, one)
        if wanted(path):
            try:
                found[path] = look(path)
            except FileNotFoundError:
                pass
json.dump(found, sys.stdout)
"""


@dataclass(frozen=True)
class HostFile:
    """One file, directory or link."""

    kind: str
    mode: str
    owner: str
    #: In bytes.
    size: int
    #: SHA-256 of a file; where a link leads.
    digest: str
    #: When it was last written or its owner or mode set, in nanoseconds; 0 for a directory.
    touched: int = field(compare=False)

    def differences(self, other: HostFile) -> str:
        """What is different in the other one."""
        names = ("kind", "mode", "owner", "size", "digest")
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in names)
        return ", ".join(f"{name} {old} → {new}" for name, old, new in pairs if old != new) or "written anew"


def command(*, content: bool = True) -> str:
    """The shell script that prints the state of all files as JSON."""
    arguments = json.dumps([ALIVE, CLUSTERS, content])
    return f"python3 -IB - '{arguments}' <<'PROGRAM_ENDS'\n{PROGRAM}\nPROGRAM_ENDS\n"


def parse(text: str) -> dict[str, HostFile]:
    """Path → file, from what the script printed."""
    return {path: HostFile(*row) for path, row in sorted(json.loads(text).items())}


def changed_files(
    before: Mapping[str, HostFile], after: Mapping[str, HostFile], *, touched: bool = False
) -> dict[str, str]:
    """Path → what is different. With `touched`, also files that were written anew with the same content."""
    found = dict.fromkeys(after.keys() - before.keys(), "is new")
    found |= dict.fromkeys(before.keys() - after.keys(), "is gone")
    for path in before.keys() & after.keys():
        old, new = before[path], after[path]
        if old != new or (touched and old.touched != new.touched):
            found[path] = old.differences(new)
    return dict(sorted(found.items()))

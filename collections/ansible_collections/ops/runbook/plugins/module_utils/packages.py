# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Debian packages of a host: what is installed, what is pending, and the way back to what was installed.

Runs on managed hosts: Python 3.9, the standard library alone. Apt decides what is installed; nothing of its resolver is
repeated here.
"""

# The inspection starts faster without pathlib.
# ruff: noqa: PTH103, PTH110, PTH112, PTH114, PTH116, PTH118, PTH119, PTH120, PTH123, PTH202, PTH207, PTH208, PTH211

from __future__ import annotations

import fnmatch
import glob
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.apt_archives import newest_from, origins

#: Where the way back is kept on the host.
STORE = "/var/lib/ops-runbook/updates"
#: Packages' files: of the versions before an update, and of the new ones, which are the way back of the next.
FILES = f"{STORE}/packages"
CACHE = "/var/cache/apt/archives"
LISTS = "/var/lib/apt/lists"
SETTINGS = "/etc/apt"
HELPER = "/usr/lib/apt/apt-helper"
#: What must stay free beyond what the update needs.
RESERVE = 64 << 20
_INST = re.compile(r"^Inst (\S+) (?:\[(\S+)\] )?\((\S+) ([^)]*)\)", re.MULTILINE)
_REMV = re.compile(r"^Remv (\S+)", re.MULTILINE)
_URI = re.compile(r"^'[^']+' (\S+) (\d+)", re.MULTILINE)
_CVE = re.compile(r"\bCVE-\d{4}-\d{4,}\b")
_ENTRY = re.compile(r"^\S+ \(([^)]+)\) ", re.MULTILINE)
_FETCHED = re.compile(r"^(Get|Hit|Ign|Err):(\d+) ", re.MULTILINE)
_WILDCARD = re.compile(r"[*?[]")
#: Unattended, in words that can be parsed.
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C", "APT_LISTCHANGES_FRONTEND": "none"}


class PackageError(Exception):
    """Something about packages that an operator has to know; the text says what."""


def call(command: Sequence[str], timeout: float = 600.0, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program; its output as text."""
    environment = {**os.environ, **ENVIRONMENT, **more}
    # pylint: disable-next=ansible-bad-function
    return subprocess.run(
        list(command),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=timeout,
        check=False,
        text=True,
        errors="replace",
    )


def complaints(done: subprocess.CompletedProcess[str]) -> str:
    """What apt or dpkg complained about."""
    lines = (done.stderr + done.stdout).splitlines()
    bad = [line for line in lines if re.match(r"(E|W|Err):|Err:|dpkg: error|.*returned error exit status", line)]
    kept = [line for line in bad if not line.startswith("W: Download is performed unsandboxed")]
    return "\n".join(dict.fromkeys(line.strip() for line in kept or lines[-3:]))[:1500]


class Installed:
    """One installed package."""

    def __init__(self, version: str, architecture: str, size: int, *, held: bool, good: bool) -> None:
        self.version = version
        self.architecture = architecture
        self.size = size
        self.held = held
        self.good = good


def installed() -> dict[str, Installed]:
    """Every installed package by the name that apt uses: with its architecture only where it is a foreign one."""
    native = call(["dpkg", "--print-architecture"]).stdout.strip()
    fields = ["${Package}", "${Version}", "${Architecture}", "${Installed-Size}", "${db:Status-Abbrev}"]
    done = call(["dpkg-query", "--show", "--showformat", "\t".join(fields) + "\n"])
    if done.returncode != 0:
        raise PackageError(f"dpkg-query: {done.stderr.strip()}")
    found = {}
    for line in done.stdout.splitlines():
        name, version, architecture, size, status = line.split("\t")
        if status[1:2] in "n" or status[1:2] == "c":  # not installed, or only its configuration is left
            continue
        key = name if architecture in (native, "all") else f"{name}:{architecture}"
        found[key] = Installed(
            version,
            architecture,
            int(size or 0) << 10,
            held=status[0] == "h",
            good=status[1:2] == "i" and status[2:3] in " ",
        )
    return found


class Apt:
    """Apt with lists and caches that may lie in a private folder."""

    def __init__(self, *options: str) -> None:
        self.options = [word for option in options for word in ("-o", option)]

    def get(self, *words: str, timeout: float = 600.0) -> subprocess.CompletedProcess[str]:
        """Run apt-get."""
        return call(["apt-get", *self.options, *words], timeout)

    def simulate(self, *words: str) -> tuple[list[dict[str, str]], list[str]]:
        """What a command would install, and what it would remove."""
        done = self.get("-s", "-qq", "-o", "Debug::NoLocking=1", "-o", "APT::Get::Show-User-Simulation-Note=0", *words)
        if done.returncode != 0:
            raise PackageError(complaints(done))
        found = [
            {"name": name, "from": old, "to": new, "origin": re.sub(r" \[[^]]*\]$", "", origin)}
            for name, old, new, origin in _INST.findall(done.stdout)
        ]
        return found, _REMV.findall(done.stdout)

    def policy(self, *names: str) -> str:
        """What apt prefers of these packages; without names, of its archives."""
        done = call(["apt-cache", *self.options, "policy", *names])
        if done.returncode != 0:
            raise PackageError(complaints(done))
        return done.stdout


@contextmanager
def fresh_apt(timeout: float) -> Iterator[tuple[Apt, bool]]:
    """Apt with fresh lists, made in a private folder that goes away: the host's own lists and caches stay as they are.

    With it, whether the archives have lists that the host has not.

    Lists that have not changed are links to the host's own and are not fetched.
    """
    folder = tempfile.mkdtemp(prefix="ops-runbook-")
    try:
        os.chmod(folder, 0o755)  # noqa: PTH101, S103 - apt fetches as a user of its own
        lists, cache = f"{folder}/lists", f"{folder}/cache"
        os.makedirs(f"{lists}/partial")
        os.makedirs(f"{cache}/archives/partial")
        for path in glob.glob(f"{LISTS}/*_*"):
            os.symlink(path, f"{lists}/{os.path.basename(path)}")
        options = [f"Dir::Cache={cache}", "Debug::NoLocking=1"]
        refresh(Apt(f"Dir::State::lists={lists}", *options), timeout)
        names = [name for name in os.listdir(lists) if "_" in name]
        # Of an archive in a folder, apt's list is a link of its own.
        if all(os.path.islink(f"{lists}/{name}") and os.path.lexists(f"{LISTS}/{name}") for name in names):
            for name in ("pkgcache.bin", "srcpkgcache.bin"):  # still valid, if the host has them
                if os.path.exists(f"/var/cache/apt/{name}"):
                    shutil.copy2(f"/var/cache/apt/{name}", cache)
            yield Apt(*options), False
        else:
            yield Apt(f"Dir::State::lists={lists}", *options), True
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def refresh(apt: Apt, timeout: float) -> None:
    """Fetch the lists. One that cannot be fetched is an error: old lists say nothing about what is pending.

    The caches are made by the command that needs them.
    """
    limits = [f"Acquire::{method}::Timeout={max(1, int(timeout / 3))}" for method in ("http", "https")]
    options = (
        "APT::Update::Error-Mode=any",
        "APT::Sandbox::User=root",
        "Acquire::Languages=none",
        "pkgCacheFile::Generate=false",
        *limits,
    )
    try:
        done = apt.get("update", "-q", *(word for option in options for word in ("-o", option)), timeout=timeout)
    except subprocess.TimeoutExpired:
        raise PackageError(f"the package lists cannot be refreshed within {timeout:g} s") from None
    said = done.stdout + done.stderr
    if done.returncode != 0 or re.search(r"^(W: Failed|E:)", said, re.MULTILINE) or _not_fetched(said):
        raise PackageError(f"the package lists cannot be refreshed: {complaints(done)}")


def _not_fetched(said: str) -> list[str]:
    """What an update tried last without success. Of an archive in a folder it tries one compression after the other."""
    last = {number: state for state, number in _FETCHED.findall(said)}
    return [number for number, state in last.items() if state == "Err"]


class Choice:
    """Which of the pending updates are wanted."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.security_only = request["scope"] == "security"
        self.origins = list(request["origins"])
        self.only = list(request["only"])
        self.exclude = list(request["exclude"])

    def names(self) -> list[str]:
        """What the lists name without wildcards."""
        return [name for name in (*self.only, *self.exclude) if not _WILDCARD.search(name)]

    def unmatched(self, known: Iterable[str]) -> list[str]:
        """The patterns of packages to update that no installed package matches: they would update nothing, silently."""
        names = list(known)
        return [word for word in self.only if _WILDCARD.search(word) and not fnmatch.filter(names, word)]

    def is_security(self, update: Mapping[str, str]) -> bool:
        """Whether one of the update's origins is one of security updates."""
        return any(self.is_of_security(part.strip()) for part in update["origin"].split(","))

    def is_of_security(self, origin: str) -> bool:
        """Whether it is an origin of security updates."""
        return any(fnmatch.fnmatchcase(origin, wanted) for wanted in self.origins)

    def marked(self, updates: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
        """The updates by name, with the mark `security`."""
        every: list[dict[str, Any]] = [{**update, "security": self.is_security(update)} for update in updates]
        return sorted(every, key=lambda update: str(update["name"]))

    def reason_against(self, update: Mapping[str, Any], known: Mapping[str, Installed]) -> str:
        """Why an update is not wanted; empty for one that is."""
        name = update["name"]
        if name in known and known[name].held:
            return "held"
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in self.exclude):
            return "excluded"
        if self.only and not any(fnmatch.fnmatchcase(name, pattern) for pattern in self.only):
            return "not in security_updates_only"
        if self.security_only and not self.is_security(update):
            return "no security update"
        return ""


def pending(apt: Apt, choice: Choice, known: Mapping[str, Installed]) -> dict[str, list[dict[str, Any]]]:
    """The updates to install, with all that they need, and those that stay pending, each with the reason."""
    found, removed = apt.simulate("--ignore-hold", "--allow-change-held-packages", "dist-upgrade")
    shown = with_security(apt, choice, found) if choice.security_only else found
    every = choice.marked(shown)
    kept: list[dict[str, Any]] = []
    wanted: list[dict[str, Any]] = []
    for update in every:
        reason = choice.reason_against(update, known)
        if reason:
            kept.append({**update, "reason": reason})
        elif update["from"]:  # what is new comes with whatever needs it
            wanted.append(update)
    planned = every
    if kept or removed or shown != found:  # where all of it is wanted, apt needs not be asked again
        planned = choice.marked(apt.simulate(*install_words(wanted))[0] if wanted else [])
    unwanted = {update["name"]: update["reason"] for update in kept if update["reason"] in ("held", "excluded")}
    for update in planned:
        if update["name"] in unwanted:
            raise PackageError(
                f"{update['name']} is {unwanted[update['name']]}, but other updates need its version {update['to']}"
            )
    names = {update["name"] for update in planned}
    return {"updates": planned, "kept": [update for update in kept if update["name"] not in names and update["from"]]}


def with_security(apt: Apt, choice: Choice, updates: list[dict[str, str]]) -> list[dict[str, str]]:
    """The updates, where a newer version of another archive hides the security update of a package with this one."""
    names = [update["name"] for update in updates if update["from"] and not choice.is_security(update)]
    if not names:
        return updates
    hidden = newest_from(apt.policy(*names), origins(apt.policy()), choice.is_of_security)
    better = {name: {"to": version, "origin": origin} for name, (version, origin) in hidden.items()}
    return [{**update, **better.get(update["name"], {})} for update in updates]


def install_words(updates: Iterable[Mapping[str, Any]]) -> list[str]:
    """The words of the apt-get command that installs exactly these versions, and removes nothing."""
    return ["install", "--no-remove", *(f"{update['name']}={update['to']}" for update in updates)]


def file_name(name: str, version: str, architecture: str) -> str:
    """The name that apt gives to a package's file."""
    return f"{name.partition(':')[0]}_{version.replace(':', '%3a')}_{architecture}.deb"


def saved_file(name: str, version: str, architecture: str) -> Optional[str]:
    """Where the host has a package's file already."""
    for folder in (FILES, CACHE):
        path = f"{folder}/{file_name(name, version, architecture)}"
        if os.path.exists(path):
            return path
    return None


def files_needed(apt: Apt, updates: Sequence[Mapping[str, str]], known: Mapping[str, Installed]) -> dict[str, Any]:
    """Which packages' files the host lacks, the installed versions and the new ones, and what they need.

    C(fetch) are the files as apt names them, C(lost) the installed versions that can be had nowhere, C(space) pairs of
    a folder and bytes: the files, and what is unpacked beside what is there.
    """
    missing: dict[str, list[str]] = {"from": [], "to": []}
    for update in updates:
        architecture = known[update["name"]].architecture if update["name"] in known else ""
        for which, versions in missing.items():
            if update[which] and not saved_file(update["name"], update[which], architecture):
                versions.append(f"{update['name']}={update[which]}")
    fetch = [*missing["from"], *missing["to"]]
    sizes = _sizes(apt, fetch)
    lost: list[str] = []
    if len(sizes) < len(fetch):  # apt gives up at the first that it does not know: ask for each
        lost = [words.replace("=", " ") for words in missing["from"] if not _sizes(apt, [words])]
    unpacked = sum(known[update["name"]].size for update in updates if update["name"] in known)
    return {"fetch": fetch, "lost": lost, "space": [(FILES, sum(sizes)), ("/usr", unpacked)]}


def _sizes(apt: Apt, versions: Sequence[str]) -> list[int]:
    """The sizes of the files of these versions, as far as the archives have them."""
    if not versions:
        return []
    out = apt.get("-qq", "--print-uris", "download", *versions).stdout
    return [int(size) for _name, size in _URI.findall(out)]


def space_errors(needs: Iterable[tuple[str, int]]) -> list[str]:
    """What lacks room for these bytes in these folders; folders of one file system add up."""
    devices: dict[int, tuple[str, int]] = {}
    for folder, amount in needs:
        existing = folder
        while not os.path.isdir(existing):
            existing = os.path.dirname(existing)
        device = os.stat(existing).st_dev
        first, total = devices.get(device, (existing, 0))
        devices[device] = (first, total + amount)
    errors = []
    for folder, amount in devices.values():
        info = os.statvfs(folder)
        free = info.f_bavail * info.f_frsize
        if free < amount + RESERVE:
            errors.append(
                f"{folder} has {free / 2**20:.0f} MiB free; the update and its way back need {amount / 2**20:.0f} MiB"
                f" and {RESERVE >> 20} MiB must stay free"
            )
    return errors


def cves_fixed(name: str, old: str, new: str, architecture: str) -> list[str]:
    """CVEs that the installed package's changelog names between two versions."""
    return cves_between(_changelog(name, new, architecture), old, new)


def _changelog(name: str, version: str, architecture: str) -> str:
    """From the host's documentation, or from the package's file where the host leaves documentation out."""
    folder = f"/usr/share/doc/{name.partition(':')[0]}"
    for path in (f"{folder}/changelog.Debian.gz", f"{folder}/changelog.gz"):
        if os.path.exists(path):
            with gzip.open(path, "rt", encoding="utf-8", errors="replace") as handle:
                return handle.read()
    saved = saved_file(name, version, architecture)
    if not saved:
        return ""
    script = 'dpkg-deb --fsys-tarfile "$1" | tar --extract --to-stdout --wildcards ".$2/changelog*.gz" | gzip -dc'
    return call(["bash", "-c", script, "bash", saved, folder]).stdout


def cves_between(changelog: str, old: str, new: str) -> list[str]:
    """CVEs named in a changelog's entries after the old version, up to the new one."""
    heads = list(_ENTRY.finditer(changelog))
    found: set[str] = set()
    for head, after in zip(heads, [*heads[1:], None]):  # noqa: B905 - Python 3.9
        if _epochless(head[1]) == _epochless(old):
            return sorted(found)
        if not _newer(head[1], new) and _newer(head[1], old):
            found.update(_CVE.findall(changelog[head.end() : after.start() if after else None]))
    return sorted(found)


def _epochless(version: str) -> str:
    return version.rpartition(":")[2]


def _newer(one: str, other: str) -> bool:
    return call(["dpkg", "--compare-versions", one, "gt", other]).returncode == 0


def unknown_names(apt: Apt, names: Iterable[str], known: Mapping[str, Installed]) -> list[str]:
    """The names that are packages neither of this host nor of its archives."""
    asked = [name for name in names if name not in known]
    if not asked:
        return []
    listed = {line.rstrip(":") for line in apt.policy(*asked).splitlines() if line and not line.startswith(" ")}
    return [name for name in asked if name not in listed]


def sources_digest() -> str:
    """What apt is set to and which lists it has: hosts that are alike in both learn the same from a refresh."""
    digest = hashlib.sha256()
    settings = sorted(os.path.join(folder, name) for folder, _folders, names in os.walk(SETTINGS) for name in names)
    for path in filter(os.path.isfile, settings + sorted(glob.glob(f"{LISTS}/*Release"))):
        with open(path, "rb") as handle:
            digest.update(f"{path}\0".encode() + hashlib.sha256(handle.read()).digest())
    for path in sorted(glob.glob(f"{LISTS}/*_Packages*")):
        digest.update(f"{path} {os.path.getsize(path)}\0".encode())
    return digest.hexdigest()


def newer_listed(versions: Mapping[str, Iterable[str]]) -> Optional[set[tuple[str, str]]]:
    """Which of these versions of packages are older than one that the host's own lists name: (name, version).

    None where the lists cannot be read: they may name anything, and apt has to say. It takes many times as long.
    """
    lists = glob.glob(f"{LISTS}/*_Packages*")
    asked = {name: set(some) for name, some in versions.items()}
    script = f"{HELPER} cat-file \"$@\" | grep -E '^(Package|Version): '"
    done = call(["bash", "-o", "pipefail", "-c", script, "bash", *lists])
    if not lists or done.returncode != 0:
        return None
    listed = set()
    for line in done.stdout.splitlines():
        field, _colon, text = line.partition(": ")
        if field == "Package":
            name = text
        elif name in asked and asked[name] - {text}:
            listed.add((name, text))
    pairs = {(name, old, new) for name, new in listed for old in asked[name] if old != new}
    return {(name, old) for name, old, new in pairs if _newer(new, old)}


def listing_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be known of a host so that another one with the same lists can say whether it has anything to do.

    Not C(plain) is a host whose own apt has to say.
    """
    known = installed()
    choice = Choice(request)
    plain = all(package.good for package in known.values()) and not os.path.exists(f"{SETTINGS}/preferences")
    plain = plain and not glob.glob(f"{SETTINGS}/preferences.d/*") and all(name in known for name in choice.names())
    plain = plain and not any(":" in name for name in known)  # two architectures may have two versions of a package
    versions = {name: package.version for name, package in known.items()}
    nothing: dict[str, list[Any]] = {"updates": [], "kept": [], "against": [], "unknown": choice.unmatched(known)}
    return {**nothing, "plain": plain, "sources": sources_digest(), "versions": versions}


def packages_of(request: Mapping[str, Any], interrupted: bool) -> dict[str, Any]:
    """What is pending, and what stands against installing it: the answer of an inspection, which changes nothing.

    Where the request has C(versions) of hosts with the same lists, C(older) are those of which the lists have newer
    ones, and apt is not asked where none of this host's is among them. Where the archives have newer lists nothing is
    said of C(older).
    """
    known = installed()
    choice = Choice(request)
    broken = [name for name, package in known.items() if not package.good]
    if broken and not interrupted:
        raise PackageError(f"dpkg left {', '.join(broken[:5])} half installed: run `dpkg --configure -a` and look why")
    with fresh_apt(request["timeout"]) as (apt, news):
        asked = request.get("versions") or {}
        older = newer_listed(asked) if asked and not news else None
        answer = {} if older is None else {"older": sorted(older)}
        if older is not None and not any((name, package.version) in older for name, package in known.items()):
            return {**answer, "updates": [], "kept": [], "unknown": choice.unmatched(known), "against": []}
        return {**answer, **_pending_of(apt, choice, known, broken)}


def _pending_of(apt: Apt, choice: Choice, known: Mapping[str, Installed], broken: Sequence[str]) -> dict[str, Any]:
    unknown = [*unknown_names(apt, choice.names(), known), *choice.unmatched(known)]
    try:
        found = pending(apt, choice, known)
    except PackageError:
        if not broken:
            raise
        found = {"updates": [], "kept": []}  # the interrupted update is finished first; the next run sees the rest
    against = []
    if found["updates"]:
        needed = files_needed(apt, found["updates"], known)
        against = [f"there is no way back for {name}" for name in needed["lost"]]
        against += space_errors(needed["space"])
    return {**found, "unknown": unknown, "against": against}

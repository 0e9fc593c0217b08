# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One update of a host from its beginning to its end: saved, applied, rolled back or closed.

The transaction is a file on the host. It is written before anything is changed and removed when all is well, so whoever
finds it knows that an update was interrupted, and which versions were there before.
"""

# Modules start faster without pathlib.
# ruff: noqa: PTH103, PTH107, PTH110, PTH119, PTH123, PTH204, PTH207

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils import packages, stale
from ansible_collections.ops.runbook.plugins.module_utils.packages import Apt, PackageError

TRANSACTION = f"{packages.STORE}/transaction.json"
DEFERRED = f"{packages.STORE}/deferred"
POLICY = "/usr/sbin/policy-rc.d"
VARIABLE = "OPS_RUNBOOK_DEFERRED"
#: While this collection installs packages their scripts restart nothing: the procedure does, once and in its way.
#: Left behind by a run that was killed, this file allows everything.
POLICY_TEXT = f"""#!/bin/sh
# Written by ops.runbook while it updates packages. It concerns no other program.
[ -n "${VARIABLE}" ] || exit 0
echo "$1 $2" >>"${VARIABLE}"
exit 101
"""
_KEEP = ("Dpkg::Options::=--force-confdef", "Dpkg::Options::=--force-confold", "DPkg::Lock::Timeout=120")


def _apt() -> Apt:
    """Apt that keeps the host's configuration, and downloaded files with those that are kept for the way back."""
    return Apt(*_KEEP, f"Dir::Cache::archives={packages.FILES}")


def read() -> Optional[dict[str, Any]]:
    """The open transaction, if there is one."""
    try:
        with open(TRANSACTION, encoding="utf-8") as handle:
            found: dict[str, Any] = json.load(handle)
            return found
    except FileNotFoundError:
        return None


def write(transaction: Mapping[str, Any]) -> None:
    """Write the transaction in one step, on disk before anything else happens."""
    os.makedirs(packages.STORE, mode=0o700, exist_ok=True)
    draft = f"{TRANSACTION}.draft"
    with open(draft, "w", encoding="utf-8") as handle:
        json.dump(transaction, handle, indent=2)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(draft, TRANSACTION)  # noqa: PTH105


def save(updates: Sequence[Mapping[str, str]], run: str, timeout: float) -> bool:
    """Keep the files of the installed versions, fetch the new ones, open the transaction. Whether anything was done.

    Raises PackageError before anything is changed if a file cannot be had or there is no room.
    """
    if not updates:
        return False
    known = packages.installed()
    apt = _apt()
    packages.refresh(apt, timeout)
    needed = packages.files_needed(apt, updates, known)
    if needed["lost"]:
        raise PackageError(no_way_back(needed["lost"]))
    errors = packages.space_errors(needed["space"])
    if errors:
        raise PackageError("; ".join(errors))
    changed = _fetch(updates, known, needed["fetch"])
    opened = read() or {
        "run": run,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "packages": [],
        "running": stale.running_services(),
    }
    names = {package["name"] for package in opened["packages"]}
    added = [
        dict(update, architecture=_architecture(update, known)) for update in updates if update["name"] not in names
    ]
    if added:
        write({**opened, "packages": [*opened["packages"], *added]})
    return changed or bool(added)


def no_way_back(lost: Iterable[str]) -> str:
    """What is said where old versions cannot be had."""
    return (
        f"there is no way back for {', '.join(lost)}: the installed version's file is neither on the host nor in its"
        f" archives. Put the file into {packages.FILES}, or leave the package out (security_updates_exclude)"
    )


def _architecture(update: Mapping[str, str], known: Mapping[str, packages.Installed]) -> str:
    return known[update["name"]].architecture if update["name"] in known else ""


def _fetch(updates: Sequence[Mapping[str, str]], known: Mapping[str, packages.Installed], missing: list[str]) -> bool:
    """Have all files together: the archives' and those that apt has in its cache."""
    os.makedirs(f"{packages.FILES}/partial", mode=0o700, exist_ok=True)
    if missing:
        done = packages.call(["sh", "-c", 'cd "$0" && exec apt-get -qq download "$@"', packages.FILES, *missing])
        if done.returncode != 0:
            raise PackageError(f"packages cannot be fetched: {packages.complaints(done)}")
    for update in updates:
        for version in (update["from"], update["to"]):
            path = packages.saved_file(update["name"], version, _architecture(update, known))
            if path is None and version and version == update["from"]:
                raise PackageError(no_way_back([f"{update['name']} {version}"]))
            if path and not path.startswith(packages.FILES):
                shutil.copy2(path, packages.FILES)
    return bool(missing)


class _RestartsDeferred:
    """While it lasts, package scripts restart nothing; what they asked for is written down."""

    def __enter__(self) -> None:
        self.own = not os.path.exists(POLICY) or _is_ours(POLICY)
        if self.own:
            draft = f"{POLICY}.ops-runbook"
            with open(draft, "w", encoding="utf-8") as handle:
                handle.write(POLICY_TEXT)
            os.chmod(draft, 0o755)  # noqa: PTH101, S103
            os.replace(draft, POLICY)  # noqa: PTH105
        os.environ[VARIABLE] = DEFERRED

    def __exit__(self, *_exception: object) -> None:
        del os.environ[VARIABLE]
        if self.own:
            os.remove(POLICY)


def _is_ours(path: str) -> bool:
    with open(path, encoding="utf-8", errors="replace") as handle:
        return handle.read() == POLICY_TEXT


def apply(updates: Sequence[Mapping[str, str]], timeout: float) -> list[dict[str, Any]]:
    """Install; what was installed, with the CVEs that its changelogs name. Finishes first what was interrupted."""
    before = packages.installed()
    with _RestartsDeferred():
        finish_interrupted(before, timeout)
        if updates:
            done = _apt().get("--yes", "-q", *packages.install_words(updates), timeout=timeout)
            if done.returncode != 0:
                raise PackageError(packages.complaints(done))
    return differences(before, packages.installed())


def finish_interrupted(known: Mapping[str, packages.Installed], timeout: float) -> None:
    """Configure what an interrupted dpkg has left unpacked."""
    if all(package.good for package in known.values()):
        return
    command = ["dpkg", "--force-confdef", "--force-confold", "--configure", "--pending"]
    done = packages.call(command, timeout)
    if done.returncode != 0:
        raise PackageError(f"an interrupted installation cannot be finished: {packages.complaints(done)}")


def differences(
    before: Mapping[str, packages.Installed], after: Mapping[str, packages.Installed]
) -> list[dict[str, Any]]:
    """Every package whose version is another one now."""
    changed = []
    for name in sorted({*before, *after}):
        old = before[name].version if name in before else ""
        new = after[name].version if name in after else ""
        if old != new:
            cves = packages.cves_fixed(name, old, new, after[name].architecture) if old and new else []
            changed.append({"name": name, "from": old, "to": new, "cves": cves})
    return changed


def roll_back(timeout: float) -> list[dict[str, Any]]:
    """Install the saved versions again, all in one call of dpkg; what was changed by that."""
    transaction = read()
    if transaction is None:
        return []
    before = packages.installed()
    files = [path for path in (_old_file(package, before) for package in transaction["packages"]) if path]
    added = [
        package["name"] for package in transaction["packages"] if not package["from"] and package["name"] in before
    ]
    keep = ("--force-confdef", "--force-confold")
    with _RestartsDeferred():
        for command in (
            ["dpkg", *keep, "--install", *files] if files else [],
            ["dpkg", "--remove", *added] if added else [],
        ):
            done = packages.call(command, timeout) if command else None
            if done and done.returncode != 0:
                raise PackageError(f"the saved versions cannot be installed: {packages.complaints(done)}")
        finish_interrupted(packages.installed(), timeout)
    return differences(before, packages.installed())


def _old_file(package: Mapping[str, str], known: Mapping[str, packages.Installed]) -> Optional[str]:
    """The saved file, if the package is not what it was."""
    now = known.get(package["name"])
    if not package["from"] or (now and now.good and now.version == package["from"]):
        return None
    path = packages.saved_file(package["name"], package["from"], package["architecture"])
    if path is None:
        raise PackageError(no_way_back([f"{package['name']} {package['from']}"]))
    return path


def close(keep_days: int) -> bool:
    """End the transaction and remove saved files that are too old; whether there was anything to do."""
    changed = False
    for path in (TRANSACTION, DEFERRED):
        if os.path.exists(path):
            os.remove(path)
            changed = True
    current = {
        packages.file_name(name, package.version, package.architecture)
        for name, package in packages.installed().items()
    }
    for path in glob.glob(f"{packages.FILES}/*.deb"):
        if os.path.basename(path) not in current and os.path.getmtime(path) < time.time() - keep_days * 86400:
            os.remove(path)
            changed = True
    return changed


def running_before() -> list[str]:
    """The services that ran when the open transaction began."""
    found: list[str] = (read() or {}).get("running", [])
    return found


def deferred_units() -> list[str]:
    """The services that package scripts asked to start or restart, as names of units."""
    try:
        with open(DEFERRED, encoding="utf-8") as handle:
            lines = handle.read().splitlines()
    except FileNotFoundError:
        return []
    names = {line.split()[0] for line in lines if re.search(r" (re|try-re)?(start|load|stop)|upgrade", line)}
    return sorted(name if "." in name else f"{name}.service" for name in names)

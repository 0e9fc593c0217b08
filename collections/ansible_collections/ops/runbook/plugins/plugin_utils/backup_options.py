# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a host's options of its backups, beyond their types."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

#: A length of time as objectives have it.
_LENGTH = re.compile(r"[1-9]\d*[smhd]")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Shorter secrets can be guessed.
SHORTEST = 32


def length(text: str) -> int:
    """Seconds of a length of time."""
    return int(text[:-1]) * _SECONDS[text[-1]]


def _objective(variable: str, objective: Any) -> Iterator[str]:
    """What is wrong with an objective."""
    if not isinstance(objective, Mapping):
        yield f"{variable} is missing: it says how often (every) and how long (keep)"
        return
    for key in ("every", "keep"):
        if not _LENGTH.fullmatch(str(objective.get(key, ""))):
            yield f"{variable}.{key} is {objective.get(key)!r}; write a number with s, m, h or d"
            return
    if length(objective["keep"]) < length(objective["every"]):
        made = f"made every {objective['every']} and kept for {objective['keep']}"
        yield f"{variable}: {made}, so that there would be none at times"


def _certificate(variable: str, path: str, what: str) -> Iterator[str]:
    """What is wrong with a certificate on the controller."""
    if not path or not Path(path).is_file():
        yield f"{variable}: there is no file {path or '(empty)'}, the {what}"
        return
    checked = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-checkend", "0", "-in", path],
        capture_output=True,
        text=True,
        check=False,
    )
    if checked.returncode:
        ended = checked.stdout.strip().partition("notAfter=")[2].partition("\n")[0]
        told = f"has expired ({ended})" if ended else f"is no certificate: {checked.stderr.strip()[:200]}"
        yield f"{variable}: {path}, the {what}, {told}. Renew it before anything is set up with it"


def _secret(variable: str, value: str) -> Iterator[str]:
    if len(value) < SHORTEST:
        yield f"{variable} has {len(value)} characters; it needs at least {SHORTEST} random ones, from the vault"


def _log(objectives: Mapping[str, Any]) -> Iterator[str]:
    """Log without the full backup before it restores nothing, so it goes when that goes."""
    log, full = objectives["log"]["keep"], objectives["full"]["keep"]
    if length(log) > length(full):
        yield (
            f"database_backup_objectives.log.keep is {log}, but the full backups that the log continues are kept for "
            f"{full}; keep full backups as long"
        )


def database_problems(host: str, options: Mapping[str, Any]) -> list[str]:
    """What is wrong with the backups of the database, as far as this host has to do with them."""
    store = options["database_backup_store"]
    known = {store, *options["database_backup_servers"], *options["database_backup_readers"]}
    if not store or host not in known:
        return []
    problems = []
    if not options["database_backup_servers"]:
        problems.append("database_backup_servers is empty: there is nothing to back up")
    for name in ("full", "differential", "log"):
        problems += _objective(
            f"database_backup_objectives.{name}", (options["database_backup_objectives"] or {}).get(name)
        )
    if not problems:
        problems += _log(options["database_backup_objectives"])
    what = "certificate of this host"
    problems += _certificate("database_backup_authority", options["database_backup_authority"], "authority")
    problems += _certificate("database_backup_certificate", options["database_backup_certificate"], what)
    if not Path(options["database_backup_private_key"] or "/").is_file():
        problems.append("database_backup_private_key: there is no such file on the controller")
    if host == store:
        problems += _secret("database_backup_cipher_passphrase", options["database_backup_cipher_passphrase"])
    return problems


def file_problems(host: str, options: Mapping[str, Any]) -> list[str]:
    """What is wrong with the backups of files, as far as this host has to do with them."""
    store, sets = options["file_backup_store"], options["file_backup_sets"]
    if not store:
        return []
    objectives = options["file_backup_objectives"] or {}
    problems: list[str] = []
    for name, entry in sets.items():
        problems += _set(f"file_backup_sets['{name}']", entry, objectives)
    if sets:
        problems += _secret("file_backup_login", options["file_backup_login"])
        problems += _secret("file_backup_password", options["file_backup_password"])
    if not _LENGTH.fullmatch(options["file_backup_read_every"]):
        problems.append(
            f"file_backup_read_every is {options['file_backup_read_every']!r}; write a number with s, m, h or d"
        )
    if host == store:
        problems += _certificate("file_backup_certificate", options["file_backup_certificate"], "store's certificate")
        for name, objective in options["file_backup_kept"].items():
            problems += _objective(f"file_backup_kept['{name}']: {objective}", objectives.get(objective))
    return problems


def _set(variable: str, entry: Any, objectives: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a set of files."""
    if not isinstance(entry, Mapping) or not entry.get("paths"):
        yield f"{variable} has no paths"
        return
    if unknown := sorted(set(entry) - {"paths", "exclude", "objective", "optional"}):
        yield f"{variable} has the unknown option {unknown[0]!r}"
    if wrong := [path for path in entry["paths"] if not str(path).startswith("/")]:
        yield f"{variable} has the path {wrong[0]!r}; it has to be absolute"
    name = entry.get("objective", "")
    if name not in objectives:
        yield f"{variable} has the objective {name!r}; objectives_backups has {', '.join(map(repr, objectives))}"
    else:
        yield from _objective(f"objectives_backups['{name}']", objectives[name])

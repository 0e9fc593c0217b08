# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restic and its server: run it without waiting for ever, and say what its messages mean."""

from __future__ import annotations

import calendar
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.backup_basics import BackupError, Done

#: How often restic may try the same thing again before it is ended. By itself it does so for a quarter of an hour.
MOST_RETRIES = 3
_CAUSES = (
    (
        r"is damaged|ciphertext verification failed|invalid data returned|Unmarshal",
        "damaged",
        "the repository is damaged on the store. Run backup_procedures_verify.yml, which names the objects",
    ),
    (r"wrong password or no key found", "cipher", "the passphrase is not the one that the repository was made with"),
    (
        r"\b401\b|Unauthorized",
        "login",
        "the store refuses this host: its password is another one there",
    ),
    (r"certificate has expired", "certificate", "the store's certificate has expired. Renew it on the store"),
    (r"x509:|tls:", "certificate", "the store's certificate is not accepted"),
    # Before the next one: what a full disk has cut off is refused when it is sent again.
    (
        r"no space left|\b50[07]\b|Internal Server Error|Insufficient",
        "full",
        "the store cannot write: its repository is most likely full. Look at /var/lib/restic there; nothing was"
        " removed to make room",
    ),
    (
        r"\b403\b|Forbidden",
        "append-only",
        "the store only takes in: nothing that is stored can be altered or removed from here",
    ),
    (
        r"connection refused|no such host|i/o timeout|dial tcp|no route|EOF|Temporary failure|connection reset",
        "unreachable",
        "the store does not answer. Look at rclone-restic.service there, and at the network",
    ),
    (r"Is there a repository at", "missing", "there is no repository. Run backup_procedures.yml"),
    (r"already locked", "busy", "another restic works on the repository. Wait for its end"),
)


def explain(said: str, what: str) -> BackupError:
    """The error that a message of restic stands for."""
    words = "; ".join(_words(said))
    for pattern, cause, meaning in _CAUSES:
        if re.search(pattern, words, re.IGNORECASE):
            return BackupError(f"{what}: {meaning}. It said: {words[:400]}", cause)
    return BackupError(f"{what}: restic said: {words[-400:] or 'nothing'}")


def _words(said: str) -> Iterator[str]:
    """The lines that say why; the others are progress, in JSON and with names of files, and traces of the program."""
    for line in said.splitlines():
        if '"message_type":"exit_error"' in line:
            yield str(json.loads(line)["message"])
        elif line.strip() and not line.startswith(("{", "[", "github")):
            yield line.strip()


def environment(path: Path) -> dict[str, str]:
    """The variables of a file with one NAME=value in each line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


class Restic:
    """Restic with the repository that its environment names."""

    def __init__(self, variables: Mapping[str, str], user: str = "") -> None:
        self._variables = {**os.environ, "LC_ALL": "C.UTF-8", **variables}
        self._prefix = ["runuser", "-u", user, "--"] if user else []

    def call(self, *words: str) -> Done:
        """Run it; end it when it tries the same thing again and again."""
        # Its output goes to a file: a pipe that nobody reads would hold it up.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            # pylint: disable-next=ansible-bad-function
            process = subprocess.Popen(
                [*self._prefix, "restic", *words],
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                cwd="/",
            )
            errors: list[str] = []
            for line in process.stderr or ():
                errors.append(line)
                if sum("retrying after" in each for each in errors) > MOST_RETRIES:
                    process.terminate()
            process.wait()
            output.seek(0)
            return Done(process.returncode, output.read(), "".join(errors))

    def demand(self, *words: str) -> str:
        """Run it; it has to succeed."""
        done = self.call(*words)
        if done.returncode:
            raise explain(done.said, f"restic {words[0]}")
        return done.output

    def snapshots(self, *options: str) -> list[dict[str, Any]]:
        """The snapshots, oldest first, with their time in seconds since 1970 as ``made``."""
        found = json.loads(self.demand("snapshots", "--json", "--no-lock", "--no-cache", *options) or "null") or []
        return sorted(({**each, "made": moment(each["time"])} for each in found), key=lambda each: float(each["made"]))


def moment(text: str) -> float:
    """The time of a snapshot, whatever zone it was written in."""
    whole, zone = text[:19], re.search(r"([+-])(\d\d):(\d\d)$", text)
    seconds = float(calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")))
    if zone is None:
        return seconds
    return seconds - int(f"{zone[1]}1") * (int(zone[2]) * 3600 + int(zone[3]) * 60)


def damage(said: str) -> list[str]:
    """What `check` found not to be whole."""
    lines = [line.strip() for line in said.splitlines()]
    words = (
        "does not match",
        "not found",
        "error",
        "damaged",
        "invalid",
        "ciphertext verification failed",
        "incomplete",
    )
    harmless = ("no errors were found", "Fatal: repository contains errors")
    return [line for line in lines if any(word in line for word in words) and line not in harmless]


def summary(output: str) -> dict[str, Any]:
    """What `backup --json` says at its end."""
    for line in reversed(output.splitlines()):
        if '"message_type":"summary"' in line:
            found: dict[str, Any] = json.loads(line)
            return found
    return {}


def paths_that_exist(paths: Sequence[str]) -> list[str]:
    """Those of the paths that are there."""
    return [path for path in paths if Path(path).exists()]

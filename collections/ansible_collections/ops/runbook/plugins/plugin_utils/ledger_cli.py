# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command runbook-ledger: verify the ledger, list the runs, show one, begin a new ledger."""

from __future__ import annotations

import argparse
import configparser
import getpass
import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.ops.runbook.plugins.module_utils.ledger import Ledger
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import LedgerError, NotAnEntryError
from ansible_collections.ops.runbook.plugins.module_utils.ledger_signature import signer
from ansible_collections.ops.runbook.plugins.module_utils.ledger_verifier import verify
from ansible_collections.ops.runbook.plugins.module_utils.run_record import Run, records, runs

DEFAULT_STATE_DIR = "~/.local/state/ops-runbook"
_DONE, _BROKEN, _USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None, project: Path | None = None) -> int:
    """Run the command. The project's ansible.cfg says where the state is, unless the options or the environment do."""
    options = _parser().parse_args(arguments)
    config = _configuration(project)
    state_dir = options.state_dir or _setting(config, "state_dir", "RUNBOOK_STATE_DIR") or Path(DEFAULT_STATE_DIR)
    directory = state_dir.expanduser() / "ledger"
    try:
        if options.command == "verify":
            return _verify(directory, options.allowed_signers, every_signature=options.every_signature)
        if options.command == "list":
            return _list(directory, options.number)
        if options.command == "show":
            return _show(directory, options.run_id)
        return _restart(directory, options.reason, _setting(config, "signing_key", "RUNBOOK_SIGNING_KEY"))
    except NotAnEntryError as error:
        return _error(f"{error}. 'runbook-ledger verify' shows what is wrong.", _BROKEN)
    except (LedgerError, OSError) as error:
        return _error(str(error), _BROKEN)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="runbook-ledger", description="The record of every run.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--state-dir",
        type=Path,
        help=f"directory that holds the ledger (default: RUNBOOK_STATE_DIR, ansible.cfg, {DEFAULT_STATE_DIR})",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser("verify", parents=[common], help="say whether the ledger is whole; exit 1 if it is not")
    check.add_argument(
        "--allowed-signers", type=Path, help="file of ssh-keygen(1); the newest checkpoint must be theirs"
    )
    check.add_argument("--every-signature", action="store_true", help="check all signatures of the history too")
    table = commands.add_parser("list", parents=[common], help="show the runs, newest first")
    table.add_argument("--number", "-n", type=int, default=0, help="show only so many (default: all)")
    show = commands.add_parser("show", parents=[common], help="print one run's record as JSON")
    show.add_argument("run_id", metavar="RUN_ID", help="the run's id, or an unambiguous beginning of it")
    again = commands.add_parser("restart", parents=[common], help="set a damaged ledger aside and begin a new one")
    again.add_argument("--reason", required=True, help="why; the first entry of the new ledger says it")
    return parser


def _configuration(project: Path | None) -> tuple[Path, configparser.ConfigParser]:
    """The ansible.cfg that Ansible would read here, or the project's."""
    named = os.environ.get("ANSIBLE_CONFIG")
    candidates = [Path(named)] if named else [Path("ansible.cfg"), *([project / "ansible.cfg"] if project else [])]
    path = next((candidate for candidate in candidates if candidate.is_file()), candidates[0])
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
    parser.read(path, encoding="utf-8")
    return path.absolute().parent, parser


def _setting(config: tuple[Path, configparser.ConfigParser], key: str, variable: str) -> Path | None:
    """A path from the environment or the configuration, where a relative one starts at the configuration's folder."""
    if os.environ.get(variable):
        return Path(os.environ[variable]).expanduser()
    folder, parser = config
    value = parser.get("runbook", key, fallback="")
    return folder / Path(value).expanduser() if value else None


def _verify(directory: Path, allowed_signers: Path | None, *, every_signature: bool) -> int:
    found = verify(directory, allowed_signers, every_signature=every_signature)
    if not found.ok:
        return _error(str(found), _BROKEN)
    print(f"run record verified: {found.entries} entries in {directory / 'ledger.jsonl'}")
    print(f"head {found.head}")
    if found.signed_by:
        print(f"signed by {found.signed_by}")
        if found.unsigned:
            print(f"{found.unsigned} older entries carry no signature: they may have been written anew since")
    elif found.signed:
        print("signed, but by whom was not checked: name the --allowed-signers")
    else:
        print("not signed: the chain is whole, but says nothing about who wrote it")
    return _DONE


def _list(directory: Path, number: int) -> int:
    ledger = Ledger(directory)
    if not ledger.path.exists():
        return _error(f"there is no ledger in {directory}: no run was recorded there", _BROKEN)
    rows = [_row(run) for run in runs(ledger)]
    header = ("TIME (UTC)", "PROCEDURE", "OUTCOME", "WHO", "HOSTS", "DURATION", "CHANGED", "RUN")
    for line in _table([header, *(rows[:number] if number else rows)]):
        print(line)
    return _DONE


def _row(run: Run) -> tuple[str, ...]:
    time = run.time[:19].replace("T", " ")
    outcome = f"{run.outcome} (check)" if run.check else run.outcome
    duration = "" if run.duration is None else f"{run.duration:.1f} s"
    return (time, run.procedure, outcome, run.user, str(run.hosts), duration, str(run.changed), run.run_id[:12])


def _table(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _show(directory: Path, run_id: str) -> int:
    found = {key: body for key, body in records(Ledger(directory)).items() if key.startswith(run_id)}
    if not found:
        return _error(f"no run in {directory} has an id that begins with {run_id!r}; 'runbook-ledger list'", _USAGE)
    if len(found) > 1:
        return _error(f"{run_id!r} is ambiguous: {', '.join(sorted(found))}", _USAGE)
    print(json.dumps(next(iter(found.values())), indent=2, sort_keys=True))
    return _DONE


def _restart(directory: Path, reason: str, signing_key: Path | None) -> int:
    found = verify(directory)
    if found.problem and found.problem.kind == "absent":
        return _error(f"there is no ledger in {directory}: nothing to set aside", _USAGE)
    body = {
        "reason": reason,
        "who": {"user": getpass.getuser(), "controller": platform.node()},
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "previous": {"entries": found.entries, "head": found.head, "state": str(found)},
    }
    aside = Ledger(directory, signer(signing_key) if signing_key else None).restart(body)
    print(f"the old ledger lies in {aside}; the new one begins with the reason")
    return _DONE


def _error(message: str, code: int) -> int:
    print(f"runbook-ledger: {message}", file=sys.stderr)
    return code

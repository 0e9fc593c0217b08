# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a host can be rebuilt, and from what: judged by what the machine and the store say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.backup_receipt import doubtful, newest
from ansible_collections.ops.runbook.plugins.module_utils.backup_restic import moment
from ansible_collections.ops.runbook.plugins.plugin_utils.marked import answer_behind

MARK = "@ops.runbook.rebuild "
_MACHINE = """
import json, os, socket, subprocess
def state():
    try:
        with open("/var/lib/ops-runbook/rebuild/state.json", encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {{}}
def answers():
    try:
        socket.create_connection(({store!r}, {port!r}), 10).close()
    except OSError as error:
        return str(error)
    return ""
def runs(unit):
    done = subprocess.run(["systemctl", "is-active", "--quiet", unit])
    return done.returncode == 0
signs = [unit + " runs" for unit in {services!r} if runs(unit)]
signs += [path + " is there" for path in {paths!r} if os.path.lexists(path)]
print({mark!r} + json.dumps({{"state": state(), "store": answers(), "signs": signs}}))
"""
_STORE = """
import json, os, subprocess
found, wrong = {{}}, {{}}
for host in {hosts!r}:
    repository, passphrase = os.path.join({repositories!r}, host), os.path.join({passphrases!r}, host)
    if not os.path.exists(os.path.join(repository, "config")):
        continue
    command = ["restic", "-r", repository, "--password-file", passphrase, "--no-lock", "--no-cache"]
    done = subprocess.run([*command, "snapshots", "--json"], capture_output=True, text=True)
    if done.returncode:
        wrong[host] = done.stderr.strip()[-400:]
        continue
    found[host] = [dict((key, row.get(key)) for key in ("id", "short_id", "time", "tags"))
        | {{"received": os.stat(os.path.join(repository, "snapshots", row["id"])).st_mtime}}
        for row in json.loads(done.stdout or "null") or []]
print({mark!r} + json.dumps({{"snapshots": found, "wrong": wrong}}))
"""


class RefusalError(Exception):
    """The rebuild is refused; the text says why and what to do."""


def machine_program(store: str, port: int, services: Sequence[str], paths: Sequence[str]) -> bytes:
    """The program for the bare machine."""
    return _MACHINE.format(mark=MARK, store=store, port=port, services=list(services), paths=list(paths)).encode()


def store_program(hosts: Sequence[str], repositories: str, passphrases: str) -> bytes:
    """The program for the store."""
    values = {"hosts": list(hosts), "repositories": repositories, "passphrases": passphrases}
    return _STORE.format(mark=MARK, **values).encode()


def said(output: str) -> dict[str, Any] | None:
    """What a program answered; None where it did not."""
    found: dict[str, Any] | None = answer_behind(MARK, output)
    return found


def job(
    options: Mapping[str, Any], machine: Mapping[str, Any], stored: Mapping[str, Any] | None, why: str
) -> dict[str, Any] | None:
    """What is to be done on the host; None where it is rebuilt already. RefusalError where it cannot be."""
    host, state = options["host"], machine["state"]
    if state.get("finished") and not options["replace"]:
        idle = [unit for unit in options["services"] if f"{unit} runs" not in machine["signs"]]
        if idle:
            raise RefusalError(
                f"{host} was rebuilt before, and {', '.join(idle)} does not run now. Start it; if the machine is lost"
                " again without being bare, say -e host_rebuild_replace=true"
            )
        return None
    under_way = bool(state) and not state.get("finished")
    if machine["signs"] and not state and not options["replace"]:
        raise RefusalError(
            f"{host} is not bare: {', '.join(machine['signs'])}. Restore single files with "
            "recovery_procedures_files.yml; to overwrite this machine all the same, say -e host_rebuild_replace=true"
        )
    if stored is None:
        raise RefusalError(f"{options['store']}, which has the backups, cannot be asked: {why}")
    if machine["store"]:
        raise RefusalError(
            f"{host} does not reach {options['store']}:{options['port']} ({machine['store']}). Look at"
            " rclone-restic.service there, and at the network"
        )
    number = state["number"] if under_way else state.get("number", 0) + 1
    sources = state["sources"] if under_way else _sources(options, stored)
    return {"number": number, "sources": sources, **{key: options[key] for key in ("root", "services", "keep")}}


def _sources(options: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    found = {"configuration": _chosen(options, stored, [options["host"]], "configuration")}
    if options["root"]:
        found["application"] = _chosen(options, stored, [options["host"], *options["peers"]], "application")
    return found


def _chosen(options: Mapping[str, Any], stored: Mapping[str, Any], hosts: Sequence[str], tag: str) -> dict[str, str]:
    """The snapshot that the options name, or the newest of the first of the hosts that has one.

    By the clock of the store: whoever held a host has dated its snapshots as he liked.
    """
    wanted = options.get("snapshots", {}).get(tag, "")
    for host in hosts:
        rows = _tagged(stored, host, tag)
        named = [row for row in rows if wanted and row["id"].startswith(wanted)]
        found = newest(rows) if not wanted else named[0] if len(named) == 1 else None
        if found is not None:
            return {"id": found["id"], "name": found["short_id"], "time": found["time"], "host": host}
    why = "; ".join(f"{host}: {_lack(stored, host, tag, wanted)}" for host in hosts)
    raise RefusalError(f"{options['store']} has no {tag} for {options['host']} ({why})")


def _tagged(stored: Mapping[str, Any], host: str, tag: str) -> list[dict[str, Any]]:
    rows = stored["snapshots"].get(host, [])
    return [{**row, "made": moment(row["time"])} for row in rows if tag in (row["tags"] or [])]


def _lack(stored: Mapping[str, Any], host: str, tag: str, wanted: str) -> str:
    """Why there is no snapshot to take."""
    rows = _tagged(stored, host, tag)
    if host in stored["wrong"] or not rows:
        return str(stored["wrong"].get(host) or f"no snapshot has the tag {tag}")
    if wanted:
        return f"{wanted} is none of {', '.join(row['short_id'] for row in rows[-10:])}"
    return f"{doubtful(rows)}. Look at them, and name a good one in host_rebuild_snapshots"


def age(planned: Mapping[str, Any] | None, now: float) -> float:
    """Seconds since the configuration was backed up; 0 where nothing is to be done."""
    return round(now - moment(planned["sources"]["configuration"]["time"]), 1) if planned else 0.0

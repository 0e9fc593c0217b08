# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services: their state, and the way in which each takes a new configuration into use."""

from __future__ import annotations

import os
import re
import time
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.configuration_basics import Entry, EntryError, Step, execute

_PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,CanReload,MainPID,NeedDaemonReload"
_RUNNING = ("active", "reloading", "activating")
_ENABLED = ("enabled", "enabled-runtime", "alias", "indirect", "generated")
#: Seconds after which a reload has to be in effect.
_RELOAD_TIMEOUT = 10.0
_POSTGRESQL = re.compile(r"postgresql@(\d+)-(.+)\.service$")
#: What waits for a restart, as a value that is new or one that is gone from the file, is no error.
_FILE_ERRORS = """
set lc_messages to 'C';
select coalesce(sourcefile || ':' || sourceline || ': ', '') || coalesce(name || ': ', '') || error
  from pg_file_settings where error is not null and error <> 'setting could not be applied'
   and error not like '%cannot be changed without restarting the server'
union all select 'pg_hba.conf:' || line_number || ': ' || error from pg_hba_file_rules where error is not null
"""


def unit_states(units: list[str]) -> dict[str, dict[str, str]]:
    """The properties of each unit, under the name that was asked for."""
    if not units:
        return {}
    done = execute(["systemctl", "show", f"--property={_PROPERTIES}", "--", *units])
    blocks = [block for block in done.out.split("\n\n") if block.strip()]
    if done.code or len(blocks) != len(units):
        raise EntryError("managed_services", f"cannot be looked at: {done.said}")
    return {
        unit: dict(line.partition("=")[::2] for line in block.splitlines())
        for unit, block in zip(units, blocks)  # noqa: B905 - Python 3.9; the lengths were compared
    }


def running(state: dict[str, str]) -> bool:
    """Whether the unit runs or is about to."""
    return state.get("ActiveState") in _RUNNING


def _enabled(state: dict[str, str]) -> bool:
    return state.get("UnitFileState") in _ENABLED


def check_unit(entry: Entry, unit: str, state: dict[str, str], delivered: set[str]) -> None:
    """Refuse units that this host does not have."""
    if state["LoadState"] in ("not-found", "bad-setting", "error") and unit not in delivered:
        raise EntryError(
            entry["variable"], f"names {unit}, which this host's systemd does not have ({state['LoadState']})"
        )
    if state["LoadState"] == "masked":
        raise EntryError(entry["variable"], f"names {unit}, which is masked on this host")


def check_takers(entry: Entry, states: dict[str, dict[str, str]], delivered: set[str]) -> None:
    """Refuse to reload what is not there or cannot reload."""
    for way in ("reload", "restart"):
        for unit in entry.get(way) or ():
            check_unit(entry, unit, states[unit], delivered)
            if way == "reload" and unit not in delivered and states[unit]["CanReload"] != "yes":
                raise EntryError(entry["variable"], f"reloads {unit}, which cannot be reloaded: write restart instead")


def plan_service(entry: Entry, state: dict[str, str], delivered: set[str]) -> Step:
    """The step of a service."""
    unit = entry["name"]
    check_unit(entry, unit, state, delivered)
    before: dict[str, Any] = {"enabled": _enabled(state), "running": running(state)}
    after = {key: before[key] if entry.get(key) is None else bool(entry[key]) for key in before}
    if after["enabled"] != before["enabled"] and state["UnitFileState"] == "static":
        raise EntryError(entry["variable"], f"sets enabled, but {unit} is static: other units start it")
    return {
        "kind": "service",
        "name": unit,
        "variable": entry["variable"],
        "subject": unit,
        "secret": False,
        "before": before,
        "after": after,
        "differs": [key for key in after if after[key] != before[key]],
    }


def service_diff(step: Step) -> list[dict[str, str]]:
    """The old and the new state."""
    words = {True: "yes", False: "no"}
    before, after = ("".join(f"{k}: {words[step[side][k]]}\n" for k in step["differs"]) for side in ("before", "after"))
    return [{"before_header": step["subject"], "after_header": step["subject"], "before": before, "after": after}]


def systemctl(variable: str, *words: str) -> None:
    """Run systemctl; where it fails, say what the unit itself said last."""
    done = execute(["systemctl", *words])
    if not done.code:
        return
    unit = words[-1]
    said = done.said.splitlines()[0]
    if "." in unit:
        journal = execute(["journalctl", "--unit", unit, "--lines=6", "--output=cat", "--no-pager"])
        said += "\n" + journal.out.strip()
    raise EntryError(variable, f"failed at systemctl {' '.join(words)}: {said}")


def reload_unit(variable: str, unit: str) -> list[str]:
    """Reload a running unit and wait until the new configuration is in use; the settings that wait for a restart."""
    cluster = _POSTGRESQL.match(unit)
    if cluster:
        return _reload_postgresql(variable, unit, f"{cluster[1]}/{cluster[2]}")
    former = _children(unit) if unit == "nginx.service" else None
    systemctl(variable, "reload", unit)
    if former is not None:
        _await_workers(variable, unit, former)
    return []


def _children(unit: str) -> set[str]:
    main = unit_states([unit])[unit]["MainPID"]
    try:
        with open(f"/proc/{main}/task/{main}/children", encoding="ascii") as file:
            return set(file.read().split())
    except OSError:
        return set()


def _await_workers(variable: str, unit: str, former: set[str]) -> None:
    """Nginx says nothing about a configuration that it could not take at a reload: it goes on with the former one."""
    deadline = time.monotonic() + _RELOAD_TIMEOUT
    while not _children(unit) - former:
        if time.monotonic() > deadline:
            tail = execute(["tail", "--lines=3", "/var/log/nginx/error.log"]).out.strip()
            raise EntryError(variable, f"is not in use: {unit} goes on with its former configuration\n{tail}")
        time.sleep(0.05)


def ask_postgresql(cluster: str, query: str) -> list[str]:
    """The rows of a query to a running cluster, as its own superuser."""
    argv = [
        "runuser",
        "-u",
        "postgres",
        "--",
        "psql",
        "--cluster",
        cluster,
        "-XAtq",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        "postgres",
    ]
    done = execute(argv, stdin=query)
    if done.code:
        raise EntryError(f"postgresql {cluster}", f"does not answer: {done.said}")
    return done.out.splitlines()


def check_postgresql(variable: str, unit: str) -> None:
    """Ask the running server what it thinks of its files, before it is told to read them."""
    cluster = _POSTGRESQL.match(unit)
    if cluster:
        errors = ask_postgresql(f"{cluster[1]}/{cluster[2]}", _FILE_ERRORS)
        if errors:
            raise EntryError(variable, "is refused by the running server: " + "; ".join(errors))


def pending_restart(unit: str) -> list[str]:
    """Settings of a running PostgreSQL that wait for its restart."""
    cluster = _POSTGRESQL.match(unit)
    if not cluster:
        return []
    return ask_postgresql(f"{cluster[1]}/{cluster[2]}", "select name from pg_settings where pending_restart order by 1")


def _reload_postgresql(variable: str, unit: str, cluster: str) -> list[str]:
    loaded = "select extract(epoch from pg_conf_load_time())"
    former = ask_postgresql(cluster, loaded)
    systemctl(variable, "reload", unit)
    deadline = time.monotonic() + _RELOAD_TIMEOUT
    while ask_postgresql(cluster, loaded) == former:
        if time.monotonic() > deadline:
            raise EntryError(variable, f"is not in use: {unit} did not reload within {_RELOAD_TIMEOUT:g} s")
        time.sleep(0.1)
    return pending_restart(unit)


def restart_unit(variable: str, unit: str) -> None:
    """Restart; a unit that failed too often before gets its chance."""
    execute(["systemctl", "reset-failed", unit])
    systemctl(variable, "restart", unit)


def set_service(variable: str, unit: str, state: dict[str, Any], former: Optional[dict[str, Any]]) -> None:
    """Enable, disable, start or stop."""
    if former is None or state["enabled"] != former["enabled"]:
        systemctl(variable, "enable" if state["enabled"] else "disable", "--quiet", unit)
    if former is None or state["running"] != former["running"]:
        if state["running"]:
            execute(["systemctl", "reset-failed", unit])
        systemctl(variable, "start" if state["running"] else "stop", unit)


def delivered_units(entries: list[Entry]) -> set[str]:
    """Units whose file is itself managed: they need not exist yet."""
    folder = "/etc/systemd/system"
    return {
        os.path.basename(e["path"]) for e in entries if e["kind"] == "file" and os.path.dirname(e["path"]) == folder
    }

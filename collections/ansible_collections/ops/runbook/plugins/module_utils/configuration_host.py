# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host does with its configuration: look, change all of it or nothing, put back."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.configuration_basics import (
    MARK,
    Entry,
    EntryError,
    Mask,
    Step,
    unique,
)
from ansible_collections.ops.runbook.plugins.module_utils.configuration_files import (
    file_diff,
    install_file,
    missing_folders,
    plan_file,
    temporary,
)
from ansible_collections.ops.runbook.plugins.module_utils.configuration_kernel import (
    install_kernel,
    kernel_diff,
    plan_kernel,
    try_kernel,
)
from ansible_collections.ops.runbook.plugins.module_utils.configuration_store import (
    CONFIRMED,
    INSTALLED,
    INSTALLING,
    ROLLED_BACK,
    Store,
    Version,
    entry_of,
)
from ansible_collections.ops.runbook.plugins.module_utils.configuration_units import (
    check_postgresql,
    check_takers,
    delivered_units,
    pending_restart,
    plan_service,
    reload_unit,
    restart_unit,
    running,
    service_diff,
    set_service,
    systemctl,
    unit_states,
)
from ansible_collections.ops.runbook.plugins.module_utils.configuration_validate import validate

#: Which kind is changed first. Files and kernel settings are there before a service starts with them.
_ORDER = ("sysctl", "file", "service")


class Plan:
    """The steps that lead from what is to what has to be."""

    def __init__(self, entries: list[Entry]) -> None:
        self.steps: list[Step] = []
        #: Steps of all entries, those too that differ in nothing.
        self.all: list[Step] = []
        self.errors: list[EntryError] = []
        self.old: dict[str, Optional[bytes]] = {}
        self.new: dict[str, Optional[bytes]] = {}
        self.mask = Mask()
        wanted = [entry["name"] for entry in entries if entry["kind"] == "service"]
        takers = [unit for entry in entries for way in ("reload", "restart") for unit in entry.get(way) or ()]
        self.units = unit_states(unique([*wanted, *takers]))
        self._delivered = delivered_units(entries)
        for entry in sorted(entries, key=lambda entry: _ORDER.index(entry["kind"])):
            try:
                self._add(entry)
            except EntryError as error:
                self.errors.append(error)

    def _add(self, entry: Entry) -> None:
        if entry["kind"] == "file":
            check_takers(entry, self.units, self._delivered)
            step, old, new = plan_file(entry)
            self.old[step["real"]], self.new[step["real"]] = old, new
            if step["secret"]:
                self.mask.learn(old, step["real"])
                self.mask.learn(new, step["real"])
        elif entry["kind"] == "sysctl":
            step = plan_kernel(entry)
        else:
            step = plan_service(entry, self.units[entry["name"]], self._delivered)
        self.all.append(step)
        if step["differs"]:
            self.steps.append(step)

    def check(self) -> list[dict[str, str]]:
        """What is wrong, found by looking and by trying apart from the running system."""
        errors = [error.to_dict() for error in self.errors]
        if not errors:
            errors += [error.to_dict() for error in try_kernel([s for s in self.steps if s["kind"] == "sysctl"])]
            errors += [{"variable": v, "text": text} for v, text in validate(self.steps, self.new)]
        return [{"variable": error["variable"], "text": self.mask.text(error["text"])} for error in errors]

    def diffs(self) -> list[dict[str, str]]:
        """What changes, for people."""
        return [part for step in self.steps for part in self.diff(step)]

    def diff(self, step: Step) -> list[dict[str, str]]:
        """What changes in one step."""
        if step["kind"] == "file":
            return file_diff(step, self.old[step["real"]], self.new[step["real"]])
        return kernel_diff(step) if step["kind"] == "sysctl" else service_diff(step)


def takers(steps: list[Step], units: dict[str, dict[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Which running units are reloaded and which are restarted, each with the variable that says so."""
    restart = {unit: s["variable"] for s in steps for unit in s.get("restart") or ()}
    reload = {unit: s["variable"] for s in steps for unit in s.get("reload") or () if unit not in restart}
    up = {unit for unit in (*restart, *reload) if running(units[unit])}
    return {u: v for u, v in reload.items() if u in up}, {u: v for u, v in restart.items() if u in up}


def install(steps: list[Step], contents: dict[str, Optional[bytes]], side: str, former: Optional[str]) -> None:
    """Put one side of the steps in place: kernel settings, files, then services."""
    for step in steps:
        state = step[side]
        if step["kind"] == "sysctl":
            install_kernel(step["variable"], step["subject"], state["value"])
        elif step["kind"] == "file":
            install_file(step["variable"], step["real"], state, contents[step["real"]])
    if any(step.get("daemon_reload") for step in steps):
        systemctl(steps[0]["variable"], "daemon-reload")
    for step in steps:
        if step["kind"] == "service":
            set_service(step["variable"], step["subject"], step[side], step[former] if former else None)


def take_into_use(steps: list[Step]) -> dict[str, Any]:
    """Reload what can reload, restart what has to; returns what was done and what waits for a restart."""
    named = unique(unit for step in steps for way in ("reload", "restart") for unit in step.get(way) or ())
    reload, restart = takers(steps, unit_states(named))
    pending: dict[str, list[str]] = {}
    for unit, variable in {**reload, **restart}.items():
        check_postgresql(variable, unit)
    for unit, variable in reload.items():
        waiting = reload_unit(variable, unit)
        if waiting and any(step.get("restart_pending") for step in steps if unit in (step.get("reload") or ())):
            restart[unit] = variable
        elif waiting:
            pending[unit] = waiting
    for unit, variable in restart.items():
        restart_unit(variable, unit)
    states = unit_states(unique([*reload, *restart]))
    for unit, variable in {**reload, **restart}.items():
        if not running(states[unit]):
            raise EntryError(variable, f"is the end of {unit}: it is {states[unit]['ActiveState']} now")
    return {"reloaded": sorted(set(reload) - set(restart)), "restarted": sorted(restart), "pending_restart": pending}


def put_back(store: Store, version: Version) -> list[str]:
    """Make the host what it was before the version, as far as possible; what could not be done."""
    failures = []
    steps = version["steps"]
    for step in steps:
        if step["kind"] == "file" and os.path.lexists(temporary(step["real"])):
            os.unlink(temporary(step["real"]))
    # Services last on the way there, first on the way back: a service that was started must not see the old file go.
    for step in sorted(steps, key=lambda step: _ORDER.index(step["kind"]), reverse=True):
        try:
            entry = entry_of(store, step, "before")
            contents = {step["real"]: entry["content_bytes"]} if step["kind"] == "file" else {}
            install([step], contents, "before", None if version["state"] == INSTALLING else "after")
        except (EntryError, OSError) as error:
            failures.append(f"{step['variable']} {error}")
    for folder in reversed(version.get("folders", [])):
        try:
            os.rmdir(folder)
        except OSError:
            continue  # somebody else's file is in it, or it was never made
    try:
        take_into_use(steps)
    except EntryError as error:
        failures.append(f"{error.variable} {error.text}")
    # What could not be put back stays unfinished: the next run tries once more, and sends requests to the host again.
    version["state"] = INSTALLING if failures else ROLLED_BACK
    version["failures"] = failures
    store.save(version)
    return failures


def _subjects(steps: list[Step]) -> list[str]:
    return [step["subject"] for step in steps]


def _wanted(job: dict[str, Any], store: Store) -> tuple[str, list[Entry]]:
    """The entries that the job is about: those of the inventory, or those of a recorded version."""
    return store.entries(job["restore"]) if job.get("restore") else ("", job["entries"])


def inspect(job: dict[str, Any], store: Store) -> dict[str, Any]:
    """What differs, and what is wrong with the candidates. Nothing is changed."""
    target, entries = _wanted(job, store)
    plan = Plan(entries)
    last = store.last_states()
    rows = []
    for step in plan.all:
        version, recorded = last.get((step["kind"], step["subject"]), ("", None))
        row = {
            key: step[key] for key in ("kind", "name", "subject", "variable", "differs", "secret", "before", "after")
        }
        row["version"] = version
        row["altered"] = bool(recorded) and _altered(recorded, step) if recorded else False
        row["diff"] = plan.diff(step) if step["differs"] else []
        rows.append(row)
    managed = {(step["kind"], step["subject"]) for step in plan.all}
    reload, restart = takers(plan.steps, plan.units)
    return {
        "target": target,
        "last_change": store.last_change(),
        "rows": rows,
        "errors": plan.check() if job.get("validate", True) else [error.to_dict() for error in plan.errors],
        "orphans": _orphans(last, managed) if not job.get("restore") else [],
        "unfinished": [v["id"] for v in store.unfinished()],
        "versions": [_summary(version) for version in store.versions()],
        "reload": sorted(reload),
        "restart": sorted(restart),
        "pending_restart": {
            unit: rows for unit in plan.units if running(plan.units[unit]) for rows in [pending_restart(unit)] if rows
        },
        "changed": bool(plan.steps),
        "lock": _lock(job["lock"]) if "lock" in job else {},
    }


def _lock(path: str) -> dict[str, Any]:
    """The lock of a change on this host; empty where there is none that can be read."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _altered(recorded: Step, step: Step) -> bool:
    """Whether the host is no longer what the last recorded change made of it."""
    then = recorded["after"]
    return any(step["before"].get(key) != value for key, value in then.items())


def _orphans(last: dict[tuple[str, str], tuple[str, Step]], managed: set[tuple[str, str]]) -> list[dict[str, str]]:
    """What a recorded change has left on the host and the inventory no longer names."""
    return [
        {"kind": kind, "subject": subject, "name": step["name"], "version": version}
        for (kind, subject), (version, step) in last.items()
        if (kind, subject) not in managed and step["after"].get("exists", True) and step["after"] != step["before"]
    ]


def _summary(version: Version) -> dict[str, Any]:
    kept = {key: version.get(key, "") for key in ("id", "time", "run", "ticket", "state", "restored")}
    return {**kept, "subjects": _subjects(version["steps"])}


def apply(job: dict[str, Any], store: Store) -> dict[str, Any]:
    """Change everything that differs, or nothing."""
    recovered: list[str] = []
    if not job["check"]:
        store.lock()
        for version in store.unfinished():
            if version["state"] == INSTALLING:
                recovered += [f"{version['id']} was interrupted and is put back", *put_back(store, version)]
                version["state"] = ROLLED_BACK  # whatever is left of it: from here on the host gets what is wanted
                store.save(version)
    target, entries = _wanted(job, store)
    plan = Plan(entries)
    errors = plan.check()
    if errors:
        return {"errors": errors, "changed": bool(recovered), "recovered": recovered}
    answer = {
        "changed": bool(plan.steps or recovered),
        "name": _subjects(plan.steps),
        "diff": plan.diffs(),
        "recovered": recovered,
    }
    if job["check"] or not plan.steps:
        return answer
    for content in (*plan.old.values(), *plan.new.values()):
        store.keep(content)
    folders = unique(
        f for s in plan.steps if s["kind"] == "file" and s["after"]["exists"] for f in missing_folders(s["real"])
    )
    version = {key: job[key] for key in ("id", "time", "run", "ticket")}
    version.update(state=INSTALLING, restored=target, steps=plan.steps, folders=folders)
    store.save(version)
    try:
        install(plan.steps, plan.new, "after", "before")
        answer.update(take_into_use(plan.steps))
    except (EntryError, OSError) as error:
        variable = getattr(error, "variable", "configuration")
        failures = put_back(store, version)
        text = plan.mask.text(getattr(error, "text", str(error)))
        return {**answer, "errors": [{"variable": variable, "text": text}], "put_back": True, "failures": failures}
    version["state"] = INSTALLED
    store.save(version)
    return {**answer, "version": version["id"]}


def confirm(job: dict[str, Any], store: Store) -> dict[str, Any]:
    """The health gate has passed."""
    unfinished = store.unfinished()
    if job["check"] or not unfinished:
        return {"changed": False}
    store.lock()
    for version in unfinished:
        version["state"] = CONFIRMED
        store.save(version)
    store.prune(job["keep"])
    return {"changed": False, "confirmed": [version["id"] for version in unfinished]}


def roll_back(job: dict[str, Any], store: Store) -> dict[str, Any]:
    """The health gate has not passed: put back what it has not confirmed, newest first."""
    unfinished = store.unfinished()
    if job["check"] or not unfinished:
        # What the change itself has put back counts as well.
        own = [version for version in store.versions() if version["id"] == job["id"]]
        return {"changed": False, "name": [], "failures": [f for version in own for f in version.get("failures", [])]}
    store.lock()
    failures = [failure for version in unfinished for failure in put_back(store, version)]
    subjects = unique(subject for version in unfinished for subject in _subjects(version["steps"]))
    return {"changed": True, "name": subjects, "failures": failures, "versions": [v["id"] for v in unfinished]}


OPERATIONS = {"inspect": inspect, "apply": apply, "confirm": confirm, "rollback": roll_back}


def main(job: dict[str, Any]) -> None:
    """Do the job, and answer in one line."""
    try:
        answer = OPERATIONS[job["operation"]](job, Store(job["store"]))
    except EntryError as error:
        answer = {"changed": False, "errors": [error.to_dict()]}
    sys.stdout.write(MARK + json.dumps(answer) + "\n")
    sys.stdout.flush()

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What routine maintenance does on one host, from the role's variables; and everything that is wrong about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.maintenance_packages import ARCHIVES
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_resolve import suggest
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_units import (
    SAMPLES,
    AmountError,
    format_amount,
    parse_amount,
    parse_kind,
)

AREAS = (
    "journal",
    "logs",
    "temporary",
    "package_cache",
    "orphans",
    "releases",
    "postgresql",
    "restarts",
    "reboot",
)
#: Areas that are looked at only; other roles act on them, host after host.
OBSERVED = ("restarts", "reboot")
#: Folders that may be cleaned as a whole; of other allowed roots, only folders below.
WHOLE = ("/tmp", "/var/tmp", "/var/log")  # noqa: S108
#: No variable makes these roots: nothing below them is left over.
FORBIDDEN = (
    *(
        "/",
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/lib",
        "/lib32",
        "/lib64",
        "/proc",
        "/root",
        "/run",
        "/sbin",
        "/sys",
        "/usr",
    ),
    *("/var", "/var/lib", "/var/lib/dpkg", "/var/lib/postgresql"),
)
_PREFIX = "routine_maintenance_"


class Options:
    """Reads the role's variables of one host, and collects what is wrong."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self.errors: list[str] = []
        self.roots = self._roots()

    def job(self, restart_methods: Mapping[str, str]) -> dict[str, Any]:
        """What the program on the host is told."""
        makers: dict[str, Callable[[], dict[str, Any]]] = {
            "journal": self._journal,
            "logs": self._logs,
            "temporary": self._temporary,
            "package_cache": dict,
            "orphans": dict,
            "releases": self._releases,
            "postgresql": self._postgresql,
        }
        # Wrong options are refused even where their area is switched off: they will be switched on some day.
        made = {name: make() for name, make in makers.items()}
        chosen = self._areas()
        observe: dict[str, Any] = {"restarts": dict(restart_methods), "reboot": {}}
        return {
            "areas": {name: made[name] for name in AREAS if name in chosen and name in made},
            "observe": {name: observe[name] for name in OBSERVED if name in chosen},
            "paths": self._paths(made),
        }

    def _areas(self) -> list[str]:
        chosen: list[str] = self._given[f"{_PREFIX}areas"]
        for name in chosen:
            if name not in AREAS:
                self._wrong("areas", f"names {name!r}{suggest(name, AREAS)}; areas are {', '.join(AREAS)}")
        return chosen

    def _paths(self, made: Mapping[str, Any]) -> list[str]:
        found = [*made["logs"]["paths"], *made["temporary"]["paths"], ARCHIVES]
        found += [application["path"] for application in made["releases"]["applications"].values()]
        return ["/", *sorted(set(found))]

    def _journal(self) -> dict[str, Any]:
        return {**self._kept(), "size": self._amount("journal_size", "bytes")}

    def _kept(self) -> dict[str, float]:
        promise, keep = self._amount("log_promise", "duration"), self._amount("log_keep", "duration")
        if 0 < keep < promise:
            kept, promised = format_amount(keep, "duration"), format_amount(promise, "duration")
            self._wrong(
                "log_keep",
                f"is {kept}, shorter than the {promised} that objectives_retention promises for logs; lengthen it, or "
                "change the promise first",
            )
        return {"promise": promise, "keep": keep}

    def _logs(self) -> dict[str, Any]:
        paths = self._given[f"{_PREFIX}log_paths"]
        for path in paths:
            self._path("log_paths", path)
        return {"paths": paths, "keep": self._kept()["keep"], "roots": self.roots}

    def _temporary(self) -> dict[str, Any]:
        given: Mapping[str, Any] = self._given[f"{_PREFIX}temporary"]
        paths = {}
        for path, age in given.items():
            self._path("temporary", path)
            paths[str(path)] = self._parsed(f"temporary[{path!r}]", age, "duration")
        return {"paths": paths, "exclude": self._given[f"{_PREFIX}temporary_exclude"], "roots": self.roots}

    def _releases(self) -> dict[str, Any]:
        applications = {}
        for name, given in self._given[f"{_PREFIX}releases"].items():
            where = f"releases[{name!r}]"
            if not isinstance(given, Mapping) or not {"path", "current"} <= set(given):
                self._wrong(where, "is no mapping with the keys path and current")
                continue
            unknown = set(given) - {"path", "current", "previous", "keep"}
            if unknown:
                self._wrong(where, f"has the unknown key {sorted(unknown)[0]}; keys are path, current, previous, keep")
            self._path(where, given["path"])
            applications[str(name)] = {
                "path": str(given["path"]),
                "current": str(given["current"]),
                "previous": str(given.get("previous", "")),
                "keep": self._keep(where, given.get("keep", self._given[f"{_PREFIX}releases_keep"])),
            }
        self._keep("releases_keep", self._given[f"{_PREFIX}releases_keep"])
        return {"applications": applications, "roots": self.roots}

    def _keep(self, where: str, keep: Any) -> int:
        try:
            number = int(str(keep))
        except ValueError:
            number = 0
        if number < 1:
            self._wrong(where, f"keeps {keep} releases; keep at least 1, the one that runs")
        return number

    def _postgresql(self) -> dict[str, Any]:
        return {
            "port": self._positive("postgresql_port"),
            "user": self._given[f"{_PREFIX}postgresql_user"],
            "rows": self._positive("postgresql_rows"),
            "fraction": self._amount("postgresql_fraction", "percent") / 100,
            "freeze_fraction": self._amount("postgresql_freeze_fraction", "percent") / 100,
            # In whole milliseconds, which is what PostgreSQL has; 0 would be to wait for ever.
            "lock_timeout": max(1, round(self._amount("postgresql_lock_timeout", "duration") * 1000)),
            "cost_delay": self._amount("postgresql_cost_delay", "duration") * 1000,
            "lag": self._amount("postgresql_lag", "bytes"),
            "transaction_age": self._amount("postgresql_transaction_age", "duration"),
        }

    def thresholds(self) -> dict[str, float]:
        """From when on what is seen is a finding."""
        return {
            "wraparound_warning": self._amount("wraparound_warning", "percent"),
            "wraparound_critical": self._amount("wraparound_critical", "percent"),
            "bloat": self._amount("bloat_fraction", "percent") / 100,
            "bloat_size": self._amount("bloat_size", "bytes"),
            "index_size": self._amount("index_size", "bytes"),
            "index_age": self._amount("index_age", "duration"),
        }

    def _roots(self) -> tuple[str, ...]:
        found: list[str] = self._given[f"{_PREFIX}roots"]
        for root in found:
            if root in FORBIDDEN or not _is_plain(root):
                self._wrong("roots", f"names {root}, which no maintenance may clean; name folders for left-overs only")
        return tuple(found)

    def _path(self, where: str, path: Any) -> None:
        text = str(path)
        below = any(text.startswith(f"{root}/") for root in self.roots)
        if not _is_plain(text) or not (below or (text in WHOLE and text in self.roots)):
            self._wrong(
                where,
                f"names {text}, which is no folder below {', '.join(self.roots)} (routine_maintenance_roots); "
                f"only {', '.join(WHOLE)} may be cleaned as a whole",
            )

    def _positive(self, name: str) -> int:
        value = int(self._given[_PREFIX + name])
        if value < 1:
            self._wrong(name, f"is {value}; it is at least 1")
        return value

    def _amount(self, name: str, kind: str) -> float:
        return self._parsed(name, self._given[_PREFIX + name], kind)

    def _parsed(self, name: str, value: Any, kind: str) -> float:
        try:
            if not parse_amount(value).kind:
                raise AmountError(f"{value!r} has no unit; write {SAMPLES[kind]}")
            number = parse_kind(value, kind)
        except AmountError as error:
            self._wrong(name, f"is wrong: {error}")
            return 0.0
        if number <= 0:
            self._wrong(name, f"is {value}; it is more than 0")
        return number

    def _wrong(self, name: str, text: str) -> None:
        message = f"{_PREFIX}{name} {text}"
        if message not in self.errors:
            self.errors.append(message)


def _is_plain(path: str) -> bool:
    """Whether the path is absolute and says nothing in a roundabout way."""
    pure = PurePosixPath(path)
    return pure.is_absolute() and str(pure) == path and ".." not in pure.parts

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The check types: what each looks at, its options, thresholds and metrics.

CHECK_TYPES is the one place that says so: validation, judgement and the documentation are made from it. The function
that measures stands in ``module_utils/probe_<group>.py`` under the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Options that every check has.
DEFAULT_TIMEOUT = "10s"
REMEDY_PAGE = "monitoring-procedures/health-checks"


@dataclass(frozen=True)
class Option:
    """One option of a check type.

    ``type`` is one of str, text (not empty), int, bool, duration, bytes, regex, endpoint, url, strings, integers, map,
    flag (true), or several of them joined by ``|``.
    """

    type: str
    description: str
    default: Any = None
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Quantity:
    """What a threshold applies to: a value that the probe measures."""

    #: Name among the probe's values.
    value: str
    #: percent, duration, bytes or count.
    kind: str
    #: What it is, for people.
    label: str
    #: Whether a lower value is worse (days left, space free).
    falling: bool = False
    #: Unit of the finding's ``observed``.
    unit: str = ""
    #: What 1 of that unit is in the probe's value.
    scale: float = 1.0


@dataclass(frozen=True)
class Aspect:
    """A pair of thresholds. Its unit tells which of the quantities a threshold is about."""

    quantities: tuple[Quantity, ...]
    warning: str | None = None
    critical: str | None = None


@dataclass(frozen=True)
class CheckType:
    """One type of check."""

    summary: str
    #: The file ``probe_<group>.py`` that holds the function.
    group: str
    #: What the value of the type's own key is.
    subject: Option
    options: Mapping[str, Option] = field(default_factory=dict)
    #: Thresholds by option name. "" are ``warning`` and ``critical`` of the check itself.
    aspects: Mapping[str, Aspect] = field(default_factory=dict)
    #: What the finding's metrics are.
    metrics: Mapping[str, str] = field(default_factory=dict)


def _percent(value: str, label: str) -> Quantity:
    return Quantity(value, "percent", label, unit="%")


def _seconds(value: str, label: str) -> Quantity:
    return Quantity(value, "duration", label, unit="s")


def _count(value: str, label: str) -> Quantity:
    return Quantity(value, "count", label)


def _bytes(value: str, label: str, falling: bool = False) -> Quantity:
    return Quantity(value, "bytes", label, falling, unit="B")


_FLAG = Option("flag", "true: there is nothing to choose", True)
_PATH = Option("path", "a path in the file system")
_WINDOW = Option("duration", "how far to look back")
_CA = Option("path", "file with the certificate authorities to trust; the system's if absent")
_VERIFY = Option("bool", "whether the chain has to verify", True)
_POSTGRES = {
    "user": Option("str", "account to which the probe changes, if it is root, to run psql", "postgres"),
    "port": Option("int", "port of the local server", 5432),
}
_POSTGRES_SUBJECT = Option("flag|text", "true for the local server, or a connection string for another one", True)
_ROLE = Option("str", "the role that the server has to have", "any", choices=("any", "primary", "standby"))

_MACHINE = {
    "disk": CheckType(
        "Space in a file system",
        "system",
        _PATH,
        {
            "mount": Option("bool", "whether a file system has to be mounted exactly there", False),
            "writable": Option("bool", "whether a read-only mount is critical", True),
        },
        {
            "": Aspect(
                (_percent("used_percent", "space used"), _bytes("free_bytes", "space free", falling=True)), "80%", "90%"
            )
        },
        {"used_bytes": "space in use", "free_bytes": "space that programs can get", "size_bytes": "size"},
    ),
    "inodes": CheckType(
        "Inodes of a file system",
        "system",
        _PATH,
        {},
        {
            "": Aspect(
                (_percent("used_percent", "inodes used"), Quantity("free_count", "count", "inodes free", falling=True)),
                "80%",
                "90%",
            )
        },
        {"used_inodes": "inodes in use", "size_inodes": "inodes in all"},
    ),
    "memory": CheckType(
        "Memory that programs can still get",
        "system",
        _FLAG,
        {},
        {
            "": Aspect(
                (_percent("used_percent", "memory used"), _bytes("available_bytes", "memory available", falling=True)),
                "90%",
                "95%",
            )
        },
        {"used_bytes": "memory not available", "available_bytes": "memory available", "size_bytes": "memory in all"},
    ),
    "swap": CheckType(
        "Swap space",
        "system",
        _FLAG,
        {},
        {
            "": Aspect(
                (_percent("used_percent", "swap used"), _bytes("free_bytes", "swap free", falling=True)), "50%", "80%"
            )
        },
        {"used_bytes": "swap in use", "size_bytes": "swap in all"},
    ),
    "load": CheckType(
        "Load average by CPU",
        "system",
        Option("int|flag", "minutes of the average: 1, 5 or 15; true is 5", 5, choices=(1, 5, 15)),
        {},
        {"": Aspect((_count("load_per_cpu", "load per CPU"),), "2", "4")},
        {"load_ratio": "load by CPU", "cpus": "CPUs"},
    ),
    "pressure": CheckType(
        "Share of the last 10 s in which work waited for a resource (PSI)",
        "system",
        Option("str|strings", "cpu, memory or io, or a list of them", choices=("cpu", "memory", "io")),
        {"kind": Option("str", "some: any work waited; full: all work waited", "some", choices=("some", "full"))},
        {"": Aspect((_percent("stalled_percent", "time stalled"),), "40%", "80%")},
        {"<resource>_some_percent": "some work waited", "<resource>_full_percent": "all work waited"},
    ),
    "process": CheckType(
        "Number of running processes",
        "system",
        Option("text", "name of the program, or a regular expression for the command line"),
        {
            "match": Option("str", "what the subject is compared with", "name", choices=("name", "command")),
            "min": Option("int", "fewer are critical", 1),
            "max": Option("int", "more are critical"),
        },
        {},
        {"processes": "processes that match"},
    ),
    "zombies": CheckType(
        "Ended processes that their parent does not notice",
        "system",
        _FLAG,
        {},
        {"": Aspect((_count("zombies", "zombies"),), "5", "50")},
        {"zombies": "zombies"},
    ),
    "clock": CheckType(
        "Synchronised clock",
        "system",
        _FLAG,
        {
            "source": Option(
                "str",
                "whom to ask; auto is chrony if installed, else systemd",
                "auto",
                choices=("auto", "chrony", "systemd"),
            )
        },
        {"": Aspect((_seconds("offset", "offset"),), "100ms", "1s")},
        {"offset_seconds": "distance from true time (chrony)", "stratum": "distance from the reference clock (chrony)"},
    ),
    "file": CheckType(
        "A file, or the newest that a pattern matches",
        "system",
        Option("path", "a path or a shell pattern"),
        {
            "exists": Option("bool", "false: the file must not be there", True),
            "min_size": Option("bytes", "a smaller file is critical"),
            "max_size": Option("bytes", "a larger file is critical"),
        },
        {"": Aspect((_seconds("age", "age"),))},
        {"age_seconds": "age of the newest", "size_bytes": "size of the newest", "files": "files that match"},
    ),
}

_SERVICES = {
    "failed_units": CheckType(
        "systemd units in the state failed",
        "services",
        _FLAG,
        {"ignore": Option("strings", "shell patterns of units that do not count", [])},
        {"": Aspect((_count("failed_units", "failed units"),), None, "1")},
        {"failed_units": "failed units"},
    ),
    "unit": CheckType(
        "systemd units that have to be active",
        "services",
        Option("text|strings", "a unit or a list of units"),
        {"enabled": Option("bool", "whether they have to start at boot; not looked at if absent")},
        {},
        {
            "units": "units looked at",
            "faulty_units": "units not as expected",
            "restarts": "automatic restarts since they were started",
        },
    ),
    "oom_kills": CheckType(
        "Processes killed for want of memory",
        "services",
        Option("duration|flag", "how far to look back; true is since boot", True),
        {},
        {"": Aspect((_count("oom_kills", "OOM kills"),), "1", "5")},
        {"oom_kills": "kills in the window"},
    ),
    "journal_errors": CheckType(
        "Errors in the journal, by hour",
        "services",
        Option("duration|flag", "how far to look back; true is 1h", "1h"),
        {
            "priority": Option(
                "str", "least priority that counts", "err", choices=("emerg", "alert", "crit", "err", "warning")
            ),
            "ignore": Option("regexes", "regular expressions of messages (with program name) that do not count", []),
        },
        {"": Aspect((_count("errors_per_hour", "errors per hour"),), "20", "200")},
        {"errors": "errors in the window", "errors_per_hour": "errors by hour"},
    ),
    "failed_logins": CheckType(
        "Refused logins (SSH, sudo, su)",
        "services",
        Option("duration|flag|time", "since when: a duration back or an ISO 8601 time; true is 24h", "24h"),
        {},
        {"": Aspect((_count("failed_logins", "failed logins"),), "100", "1000")},
        {"failed_logins": "refused logins", "failed_login_sources": "addresses they came from"},
    ),
    "sudo_use": CheckType(
        "Commands that people ran through sudo",
        "services",
        Option("duration|flag|time", "since when: a duration back or an ISO 8601 time; true is 24h", "24h"),
        {},
        {"": Aspect((_count("sudo_commands", "sudo commands"),))},
        {
            "sudo_commands": "commands by people",
            "sudo_users": "people who used sudo",
            "automation_sudo_commands": "commands by Ansible, this sweep's included",
        },
    ),
    "reboot_required": CheckType(
        "An update that waits for a reboot",
        "services",
        _FLAG,
        {},
        {"": Aspect((_seconds("waiting", "waiting"),), "0s", "30d")},
        {"waiting_seconds": "since when the reboot is required"},
    ),
    "security_updates": CheckType(
        "Pending security updates, from the package lists that the host has",
        "services",
        _FLAG,
        {},
        {
            "": Aspect((_count("security_updates", "security updates"),), "1", None),
            "lists_age": Aspect((_seconds("lists_age", "age of the package lists"),), "7d", None),
        },
        {
            "security_updates": "pending security updates",
            "updates": "pending updates",
            "lists_age_seconds": "age of the lists",
        },
    ),
    "plugin": CheckType(
        "A monitoring plugin that the host has (Nagios exit status and performance data)",
        "services",
        Option("text|strings", "the command line, or the program and its arguments as a list"),
        {},
        {},
        {"<label>": "the plugin's performance data; _percent, _seconds, _bytes appended by their unit"},
    ),
}

_NETWORK = {
    "tcp": CheckType(
        "A port that accepts connections",
        "network",
        Option("endpoint", "host:port"),
        {},
        {"": Aspect((_seconds("latency", "time to connect"),), "500ms", "2s")},
        {"latency_seconds": "time to connect"},
    ),
    "dns": CheckType(
        "A name that resolves",
        "network",
        Option("text", "the name"),
        {
            "addresses": Option("strings", "addresses that have to be among the answers", []),
            "server": Option("str", "name server to ask (address or address:port); the system's resolver if absent"),
        },
        {"": Aspect((_seconds("latency", "time to resolve"),), "500ms", "2s")},
        {"latency_seconds": "time to resolve", "addresses": "addresses"},
    ),
    "certificate": CheckType(
        "Expiry, chain and name of a certificate",
        "network",
        Option("endpoint|path", "host:port of the server, or the path of a PEM file"),
        {
            "name": Option("str", "name that the certificate has to be for; the endpoint's host if absent"),
            "ca": _CA,
            "verify": _VERIFY,
            "starttls": Option("str", "protocol to speak before TLS", choices=("postgres",)),
        },
        {"": Aspect((Quantity("left", "duration", "time left", True, "days", 86400),), "30d", "7d")},
        {"left_seconds": "time until it expires"},
    ),
    "http": CheckType(
        "A URL that answers as expected, in time",
        "network",
        Option("url", "http:// or https:// URL, seen from the host"),
        {
            "status": Option("integers", "statuses that are expected", [200]),
            "contains": Option("str", "text that the body has to contain"),
            "matches": Option("regex", "regular expression that the body has to match"),
            "expect_headers": Option("map", "headers that the answer has to have, each with a regular expression", {}),
            "method": Option("str", "request method", "GET", choices=("GET", "HEAD", "OPTIONS", "POST")),
            "headers": Option("map", "headers to send; Host also sets the TLS server name", {}),
            "send": Option("str", "body to send"),
            "ca": _CA,
            "verify": Option("bool", "whether the certificate has to verify", True),
            "follow_redirects": Option("bool", "whether to follow up to 5 redirects", False),
            "max_body": Option("bytes", "how much of the body is read", "1MiB"),
        },
        {"": Aspect((_seconds("latency", "time to answer"),), "1s", "5s")},
        {"latency_seconds": "time to answer, body included", "body_bytes": "size of the body", "http_status": "status"},
    ),
}

_DATABASE = {
    "postgresql": CheckType(
        "A PostgreSQL server: answers, connections, oldest transaction, wraparound",
        "postgresql",
        _POSTGRES_SUBJECT,
        {**_POSTGRES, "role": _ROLE},
        {
            "connections": Aspect((_percent("connections", "connections in use"),), "80%", "95%"),
            "transaction_age": Aspect((_seconds("transaction_age", "oldest transaction"),), "15min", "2h"),
            "wraparound": Aspect((_percent("wraparound", "transaction ids used up"),), "25%", "50%"),
        },
        {
            "connections": "client connections",
            "connections_percent": "of those that are allowed",
            "transaction_seconds": "age of the oldest transaction",
            "wraparound_percent": "transaction ids used up since the last freeze",
            "database_bytes": "size of all databases",
            "free_bytes": "space that is left to them, where their data directory is (local server)",
            "uptime_seconds": "time since the server started",
        },
    ),
    "replication": CheckType(
        "Streaming replication, judged on the primary; a standby tells its role",
        "postgresql",
        _POSTGRES_SUBJECT,
        {**_POSTGRES, "role": _ROLE, "standbys": Option("int", "standby servers that have to be connected", 1)},
        {
            "lag_bytes": Aspect((_bytes("lag_bytes", "replication lag"),), "10MiB", "100MiB"),
            "lag": Aspect((_seconds("lag", "replication lag"),), "30s", "5min"),
            "retained": Aspect((_bytes("retained_bytes", "WAL kept for slots"),), "1GiB", "10GiB"),
        },
        {
            "standbys": "streaming standby servers (primary)",
            "lag_bytes": "WAL that the slowest standby has not replayed (primary)",
            "lag_seconds": "replay lag of the slowest standby (primary)",
            "retained_bytes": "WAL that the hungriest slot keeps (primary)",
            "behind_bytes": "WAL received and not replayed (standby)",
            "behind_seconds": "age of the last replayed transaction, if behind (standby)",
        },
    ),
    "wal_archive": CheckType(
        "WAL archiving",
        "postgresql",
        _POSTGRES_SUBJECT,
        dict(_POSTGRES),
        {
            "backlog": Aspect((_count("backlog", "segments waiting"),), "10", "100"),
            "waiting": Aspect((_seconds("waiting", "oldest waiting segment"),), "10min", "1h"),
            "archive_age": Aspect((_seconds("archive_age", "time since the last archived segment"),)),
        },
        {
            "ready_segments": "segments waiting",
            "waiting_seconds": "age of the oldest that waits",
            "archive_age_seconds": "time since the last success",
            "failures": "failures since the statistics were reset",
        },
    ),
}

CHECK_TYPES: Mapping[str, CheckType] = {**_MACHINE, **_SERVICES, **_NETWORK, **_DATABASE}

#: Options that every check has, besides its type's.
COMMON_OPTIONS: Mapping[str, Option] = {
    "timeout": Option("duration", "how long the check may take before it is unknown", DEFAULT_TIMEOUT),
    "remedy": Option(
        "str", "page of the runbook that remedies it, instead of the type's section of the health-checks page"
    ),
    "controls": Option("strings", "controls of the compliance framework that the check gives evidence for", []),
}

"""Findings of platforms that do not exist: a day with trouble, and one as large as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.plugin_utils.outlook import (
    Limits,
    compare,
    findings,
    forecasts,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.reports import Report

NOW = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
GIB = 2**30
HOSTS = ("proxy1", "app1", "app2", "db1", "db2")
PAGE = "monitoring-procedures/health-checks"


def finding(check: str, host: str, status: str = "ok", kind: str = "unit", **more: Any) -> Finding:
    return Finding.from_dict(
        {"remedy": f"{PAGE}#{kind}", **more, "check": check, "host": host, "status": status, "type": kind}
    )


def disk(check: str, host: str, used: float, size: float = 40, **more: Any) -> Finding:
    percent = used / size * 100
    status = "critical" if percent >= 90 else "warning" if percent >= 80 else "ok"
    metrics = {"used_bytes": used * GIB, "free_bytes": (size - used) * GIB, "size_bytes": size * GIB}
    title = f"{check} is {percent:.0f} % full, {size - used:.1f} GiB free"
    shown = {
        "observed": round(percent, 1),
        "unit": "%",
        "expected": "used below 80 %",
        "metrics": {**metrics, "warning_percent": 80.0, "critical_percent": 90.0},
        "title": title,
    }
    return finding(check, host, status, "disk", **{**shown, **more})


def web(check: str, host: str, seconds: float, status: str = "ok") -> Finding:
    metrics = {"latency_seconds": seconds, "http_status": 200.0}
    shown = {
        "observed": seconds,
        "unit": "s",
        "expected": "time to answer below 250 ms",
        "metrics": metrics,
        "duration": seconds,
    }
    return finding(check, host, status, "http", title=f"{check} answers 200 in {seconds * 1000:.0f} ms", **shown)


def certificate(check: str, host: str, left: float, status: str = "ok") -> Finding:
    shown = {
        "observed": left,
        "unit": "days",
        "expected": "time left at least 30 days",
        "metrics": {"left_seconds": left * 86400},
    }
    return finding(
        check, host, status, "certificate", title=f"the certificate of {host} expires in {left} days", **shown
    )


def everyday(host: str) -> list[Finding]:
    """What is checked on every host, all of it well."""
    return [
        finding("reachable", host, kind="reachable", title=f"{host} answers"),
        finding("failed units", host, kind="failed_units", observed=0.0, expected="none", title="no failed units"),
        finding(
            "clock",
            host,
            kind="clock",
            observed=0.0004,
            unit="s",
            expected="offset below 100 ms",
            title="offset 0.4 ms",
        ),
        finding(
            "memory",
            host,
            kind="memory",
            observed=41.2,
            unit="%",
            expected="used below 90 %",
            title="41.2 % of memory used",
        ),
        finding("load", host, kind="load", observed=0.31, expected="load per CPU below 2", title="load 0.31 per CPU"),
        finding(
            "ssh",
            host,
            kind="tcp",
            observed=0.002,
            unit="s",
            metrics={"latency_seconds": 0.002},
            expected="time to connect below 500 ms",
        ),
        access("failed_logins", host, 3 if host == "proxy1" else 0, "from: 192.0.2.17 (3)\nas: admin (2), root (1)\n"),
        access(
            "sudo_use", host, 2 if host == "db1" else 0, "by: mara (2)\nmara: /usr/bin/systemctl restart postgresql\n"
        ),
    ]


def access(kind: str, host: str, count: int, detail: str) -> Finding:
    metric = {"failed_logins": "failed_logins", "sudo_use": "sudo_commands"}[kind]
    title = f"{count} {metric.replace('_', ' ')} in the last 24 h"
    name = metric.replace("_", " ")
    return finding(
        name,
        host,
        kind=kind,
        observed=float(count),
        metrics={metric: float(count)},
        detail=detail if count else "",
        title=title,
    )


def day(age: int) -> tuple[Finding, ...]:
    """The platform's findings so many days ago: a database grows, a log folder wavers, a unit fails today."""
    made = [item for host in HOSTS for item in everyday(host)]
    for place, host in enumerate(HOSTS):
        made.append(disk("root filesystem", host, 11 + 2.5 * place + 0.02 * (30 - age)))
    made.append(disk("/var/lib/postgresql", "db1", 36.4 - 0.62 * age, detail="largest: base/16401 (31.2 GiB)"))
    made.append(disk("/var/lib/postgresql", "db2", 30.1 - 0.31 * age - 0.4 * (age % 3)))
    made.append(disk("/var/log", "app1", 5.1 + (age * 7 % 5) / 10, 10))
    made += [
        web("evidence-api ready", "app1", 0.038),
        web("evidence-api ready", "app2", 0.187 if age else 0.312, "ok" if age else "warning"),
        web("front page", "proxy1", 0.021),
        certificate("nginx certificate", "proxy1", 19.4 + age, "warning" if age < 11 else "ok"),
        certificate("postgresql certificate", "db1", 311.0 + age),
        *database(age),
    ]
    if not age:
        made.append(finding("wal archive", "db1", "unknown", "wal_archive", title="did not answer within 10 s"))
        made.append(finding("evidence-api", "app2", "critical", **FAILED))
    return tuple(made)


FAILED = {
    "title": "evidence-api.service is failed",
    "observed": "failed",
    "expected": "active",
    "detail": "Nov 23 07:21:44 app2 evidence-api[812]: OSError: [Errno 98] Address already in use\n"
    "Nov 23 07:21:44 app2 systemd[1]: evidence-api.service: Failed with result 'exit-code'.",
}


def database(age: int) -> list[Finding]:
    """A database that grows, a standby that keeps up, and a backup that was late until today."""
    size = {"database_bytes": (31.2 - 0.6 * age) * GIB}
    lag = {"lag_bytes": 24576.0, "lag_seconds": 0.4}
    hours, status = (30.2, "warning") if age else (4.1, "ok")
    backup = {
        "observed": hours * 3600,
        "unit": "s",
        "expected": "age below 26 h",
        "title": f"the newest backup is {hours} h old",
    }
    return [
        finding("postgresql", "db1", kind="postgresql", title="PostgreSQL 15 (primary) answers", metrics=size),
        finding("replication", "db1", kind="replication", title="primary with 1 streaming standby", metrics=lag),
        finding("backup age", "db1", status, "file", **backup),
    ]


def history(days: int = 14) -> list[Report]:
    """One report a day, oldest first."""
    return [
        Report("operational_procedures", f"run{age}", NOW - timedelta(days=age), day(age), "Daily operations")
        for age in range(days, 0, -1)
    ]


def daily(past: Sequence[Report] | None = None) -> Report:
    """Today's report with its outlook."""
    past = history() if past is None else past
    run_id = "5f0c2b9e41d34cf0a5b8c1a7d9e2f364"
    plain = Report("operational_procedures", run_id, NOW, day(0), "Daily operations")
    made = forecasts(plain, past, Limits())
    found = (*plain.findings, *findings(made, Limits()))
    sections: Mapping[str, object] = {
        "forecasts": [forecast.to_dict() for forecast in made],
        "changes": compare(found, past[-1:]).to_dict(),
    }
    return Report("operational_procedures", run_id, NOW, found, "Daily operations", sections)


def large(hosts: int = 40, checks: int = 20) -> Report:
    """Forty hosts with twenty checks each; one in seventeen is not ok."""
    statuses = ("warning", "critical", "unknown")
    made = []
    for number in range(hosts * checks):
        host, check = f"node{number // checks + 1}", number % checks
        status = statuses[number // 17 % 3] if number % 17 == 0 else "ok"
        if check % 4 == 0:
            made.append(disk(f"filesystem {check}", host, 4 + (number * 13 % 35), detail="/srv"))
        elif check % 4 == 1:
            made.append(web(f"service {check}", host, 0.02 + (number * 7 % 90) / 1000, status))
        else:
            made.append(
                finding(f"unit {check}", host, status, title=f"unit {check} is as expected", detail="since 3 days")
            )
    return Report("monitoring_procedures/health_checks", "0" * 32, NOW, tuple(made), "Health checks")

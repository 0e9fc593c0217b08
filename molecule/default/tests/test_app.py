"""The application hosts: release, unit, sandbox, and secrets that others cannot read."""

from __future__ import annotations

import json
from typing import Any

from testinfra.host import Host

testinfra_hosts = ["ansible://app"]


FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"


def fetch(host: Host, path: str) -> str:
    """What the service answers; there is no curl on these hosts."""
    return str(host.check_output("python3 -c %s %s", FETCH, f"http://localhost:8000{path}"))


def test_service_runs_as_its_own_user(host: Host) -> None:
    service = host.service("evidence-api")
    assert service.is_running
    assert service.is_enabled
    pid = host.check_output("systemctl show --value --property MainPID evidence-api")
    assert host.check_output("stat --format %%U /proc/%s", pid) == "evidence-api"


def test_service_cannot_write_to_the_system(host: Host) -> None:
    pid = host.check_output("systemctl show --value --property MainPID evidence-api")
    mounts = host.check_output("cat /proc/%s/mounts", pid).splitlines()
    assert [line.split()[3].split(",")[0] for line in mounts if line.split()[1] == "/"] == ["ro"]


def test_current_names_an_installed_release(host: Host) -> None:
    current = host.file("/opt/evidence-api/current")
    assert current.is_symlink
    assert current.linked_to.startswith("/opt/evidence-api/releases/1.0.0-")
    health = json.loads(fetch(host, "/healthz"))
    assert current.linked_to.endswith(health["release"])


def test_ready_means_the_primary_answers(host: Host) -> None:
    assert json.loads(fetch(host, "/readyz"))["database"] == "db1:5432"


def test_metrics_count_requests(host: Host) -> None:
    def requests() -> float:
        text = fetch(host, "/metrics")
        lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return float(lines.get('evidence_api_requests_total{method="GET",path="/healthz",status="200"}', 0))

    before = requests()
    fetch(host, "/healthz")
    assert requests() == before + 1


def test_no_secret_is_readable_by_everybody(host: Host, lab_secrets: dict[str, Any]) -> None:
    plain = [lab_secrets["database_password"], lab_secrets["replication_password"], *lab_secrets["tokens"].values()]
    with host.sudo("nobody"):
        for secret in plain:
            found = host.run("grep -rlsF -- %s /etc /opt /home /var/lib /var/log /run /tmp", secret)
            assert found.stdout == ""
    assert "replication" not in host.check_output("cat /etc/evidence-api/environment")
    for token in lab_secrets["tokens"].values():
        assert host.run("grep -rlsF -- %s /etc /opt", token).stdout == ""

"""A batch that fails is put back, the next one is not begun, and a second run converges."""

from __future__ import annotations

import json

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils import change_lock
from conftest import HASTE, HOSTS, Platform

from tests.scenario import Outcome, same_changes, shell

ACTIVE = {"app1": "active", "app2": "active"}


def assert_put_back(platform: Platform, outcome: Outcome, reason: str) -> None:
    """The canary is as it was and serves; nothing was done on the other host."""
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "rolled_back", outcome.output
    assert platform.version("app1") == "1.0 installed active"
    assert platform.version("app2") == "1.0 installed active"
    assert {change.host for change in outcome.changes} == {"app1"}
    assert json.loads(platform.upstreams()) == ACTIVE
    assert shell("app1", "ls /var/lib/ops-runbook/updates") == "packages\n"
    assert outcome.bad == {("app1", "updates"): "critical", ("app2", "updates"): "warning"}
    assert reason in next(finding["title"] for finding in outcome.findings if finding["host"] == "app1")


def test_failure_of_a_service_that_ends_after_the_update(platform: Platform) -> None:
    """No unit has failed, and no health check knows it. It ran before, so it has to run afterwards."""
    platform.publish("quits")
    assert_put_back(platform, platform.run(), "after its restart")


def test_failure_of_a_maintainer_script(platform: Platform) -> None:
    platform.publish("script")
    assert_put_back(platform, platform.run(), "lab-agent")


def test_failure_to_come_back_from_a_reboot(platform: Platform) -> None:
    version = platform.publish()
    for host in HOSTS:
        shell(host, "touch -d '40 days ago' /run/reboot-required")  # its check is critical
    shell("app1", "systemctl --quiet mask ssh.service")
    lost = platform.run("-e", "host_reboot_timeout=15")
    assert lost.returncode != 0
    assert lost.record["outcome"] == "failed", lost.output
    assert json.loads(platform.upstreams()) == {"app1": "drained", "app2": "active"}
    assert platform.version("app2") == "1.0 installed active"
    assert lost.bad["app1", "updates"] == "critical"

    shell("app1", "systemctl --quiet unmask ssh.service; systemctl start ssh.service")
    began = shell("app2", "cut -d' ' -f22 /proc/1/stat")
    repaired = platform.run()
    assert repaired.returncode == 0, repaired.output
    assert [platform.version(host) for host in HOSTS] == [f"{version} installed active"] * 2
    assert json.loads(platform.upstreams()) == ACTIVE
    assert shell("app2", "cut -d' ' -f22 /proc/1/stat") != began, "app2 was not rebooted"


@pytest.mark.parametrize(
    "task",
    ["Wait until the databases are ready", "Save the versions", "Install the updates", "Look whether the host"],
    ids=["begin", "save", "apply", "reboot"],
)
def test_check_mode_promises_nothing_when_a_host_is_lost(platform: Platform, task: str) -> None:
    platform.publish()
    lost = platform.losing("app1", task, "--check", "--diff")
    assert (lost.returncode, lost.record["outcome"]) == (2, "failed"), lost.output
    assert "app1 is lost: " in str(lost.record["failures"])
    assert set(lost.bad) == {(host, "updates") for host in HOSTS}
    assert "in doubt" not in lost.output


def test_failure_by_loss_of_a_host(platform: Platform) -> None:
    """It stays drained and in doubt, the others are free; when it is back, the next run finishes what was begun."""
    version = platform.publish()
    lost = platform.losing("app1", "Install the updates")
    assert (lost.returncode, lost.record["outcome"]) == (2, "failed"), lost.output
    assert "app1 is in doubt" in str(lost.record["failures"])
    assert lost.bad == {("app1", "updates"): "critical", ("app2", "updates"): "warning"}
    assert json.loads(platform.upstreams()) == {"app1": "drained", "app2": "active"}
    assert [host for host in ("app2", "proxy1") if shell(host, f"[ ! -e {change_lock.PATH} ] || echo locked")] == []

    found = platform.run()
    assert found.returncode == 0, found.output
    assert [platform.version(host) for host in HOSTS] == [f"{version} installed active"] * 2
    assert json.loads(platform.upstreams()) == ACTIVE


def test_interruption_leaves_a_sick_host_that_the_next_run_finishes(platform: Platform) -> None:
    """Its service is dead, which the gate before a batch would not let pass."""
    version = platform.publish()
    killed = platform.procedure.killed_at("Install the updates", "--limit", "app1,app2", *HASTE)
    assert killed.killed, killed.output
    assert json.loads(platform.upstreams()) == {"app1": "drained", "app2": "active"}
    shell("app1", "systemctl kill --signal=KILL lab-agent; sleep 0.5; systemctl is-failed lab-agent")
    again = platform.run()
    assert again.returncode == 0, again.output
    assert platform.procedure.record(killed.record["run_id"])["outcome"] == "interrupted"
    assert [platform.version(host) for host in HOSTS] == [f"{version} installed active"] * 2
    assert json.loads(platform.upstreams()) == ACTIVE
    assert [host for host in (*HOSTS, "proxy1") if shell(host, f"[ ! -e {change_lock.PATH} ] || echo locked")] == []


def test_scope_all_installs_what_is_no_security_update(platform: Platform) -> None:
    version = platform.publish(hosts=())
    origins = ["Debian-Security:*"]  # the package's is another one
    security = platform.values(origins=origins)
    assert (security.returncode, security.changes) == (0, ()), security.output
    assert {(row[1], row[4]) for row in rows(security, "Still pending")} == {("lab-agent", "no security update")}
    check = platform.values("app2", check=True, origins=origins, scope="all")
    apply = platform.values("app2", origins=origins, scope="all")
    assert same_changes(check, apply)
    assert rows(check, "Would be updated") == rows(apply, "Updated")
    assert [(row[0], row[1], row[3]) for row in rows(apply, "Updated")] == [("app2", "lab-agent", version)]
    assert rows(apply, "Still pending") == []


def rows(outcome: Outcome, title: str) -> list[list[str]]:
    tables: list[dict[str, list[list[str]]]] = outcome.report["sections"]["tables"]
    return next(table["rows"] for table in tables if table["title"] == title)


@pytest.fixture(scope="module")
def pending(platform: Platform) -> str:
    """A version that would be installed, if nothing stood against it. What is refused leaves it pending."""
    return platform.publish("broken")


def assert_refused(platform: Platform, outcome: Outcome, *words: str) -> None:
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "refused", outcome.output
    assert [word for word in words if word not in outcome.record["refusal"]] == [], outcome.record["refusal"]
    assert outcome.changes == ()
    assert [platform.version(host) for host in HOSTS] == ["1.0 installed active"] * 2
    assert json.loads(platform.upstreams()) == ACTIVE


def test_refused_without_disk_space(platform: Platform, pending: str) -> None:
    folder = "/var/lib/ops-runbook/updates/packages"
    shell("app1", f"mkdir -p {folder}; mount -t tmpfs -o size=1m tmpfs {folder}")
    outcome = platform.run()
    shell("app1", f"umount {folder}")
    assert_refused(platform, outcome, "app1", folder, "MiB free")


def test_refused_with_the_repository_down(platform: Platform, pending: str) -> None:
    shell("db2", "systemctl kill --signal=STOP lab-repository")
    outcome = platform.run("-e", "security_updates_refresh_timeout=6")
    shell("db2", "systemctl kill --signal=CONT lab-repository")
    assert_refused(platform, outcome, "app1, app2", "cannot be refreshed")


def test_refused_without_a_way_back(platform: Platform, pending: str) -> None:
    shell("db2", "mv /srv/repository/lab-agent_1.0_all.deb /root; lab-repository 1.99")
    shell("app2", "mv /var/lib/ops-runbook/updates /root; apt-get clean")
    outcome = platform.run(limit="app2")
    shell("db2", "mv /root/lab-agent_1.0_all.deb /srv/repository; lab-repository 1.99")
    shell("app2", "rm -rf /var/lib/ops-runbook/updates; mv /root/updates /var/lib/ops-runbook")
    assert_refused(platform, outcome, "app2", "way back for lab-agent 1.0")


def test_a_sick_host_is_not_touched(platform: Platform, pending: str) -> None:
    shell("app1", "systemctl stop evidence-api")
    outcome = platform.run()
    shell("app1", "systemctl start evidence-api")
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "failed", outcome.output
    assert "app1 was not touched" in outcome.output, outcome.output
    assert outcome.changes == ()
    assert outcome.bad == {(host, "updates"): "warning" for host in HOSTS}
    assert [platform.version(host) for host in HOSTS] == ["1.0 installed active"] * 2


def test_held_and_excluded_packages_stay(platform: Platform, pending: str) -> None:
    shell("app2", "apt-mark -qq hold lab-agent")
    outcome = platform.run("-e", '{"security_updates_exclude": ["lab-a*"]}')
    shell("app2", "apt-mark -qq unhold lab-agent")
    assert outcome.returncode == 0, outcome.output
    assert outcome.changes == ()
    assert [(row[0], row[1], row[4]) for row in rows(outcome, "Still pending")] == [
        ("app1", "lab-agent", "excluded"),
        ("app2", "lab-agent", "held"),
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {
                "security_updates_batch": 0,
                "security_updates_timeout": -1,
                "security_updates_canary": ["app9"],
                "traffic_timeout": -5,
            },
            [
                *("security_updates_batch is 0", "at least 1", "security_updates_timeout is -1"),
                *("security_updates_canary names 'app9'", "traffic_timeout is -5"),
            ],
        ),
        ({"security_updates_scope": "some"}, ["security_updates_scope", "some", "security, all"]),
        (
            {"security_updates_only": ["lab-agnet", "ngnix*"], "security_updates_exclude": ["opnssl"]},
            [
                *("security_updates_only names 'lab-agnet'", "security_updates_only names 'ngnix*'"),
                "security_updates_exclude names 'opnssl'",
            ],
        ),
    ],
    ids=["values", "choice", "packages"],
)
def test_bad_input(platform: Platform, options: dict[str, object], words: list[str]) -> None:
    outcome = platform.run("-e", json.dumps(options))
    assert outcome.returncode != 0
    assert outcome.record["outcome"] == "refused", outcome.output
    assert [word for word in words if word not in outcome.record["refusal"]] == [], outcome.record["refusal"]
    assert outcome.changes == ()

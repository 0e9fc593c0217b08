"""Updates as an operator makes them, one after the other on the same hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from advisories import ADVISORIES
from interruption import APPS, OLD, assert_converged, major, release, values, versions

from tests.approved import Planned
from tests.clients import clients
from tests.scenario import FIND, LOSE, Outcome, Procedure, Untouched, same_changes, shell

#: Flask 1 takes a Jinja2 that the newest MarkupSafe has forgotten: it resolves, it installs, and it does not start.
BROKEN = ["flask<2"]
ACCEPTED = [
    {"id": item.id, "reason": "the release is never reached by anybody", "until": "2999-12-31"} for item in ADVISORIES
]


def table(outcome: Outcome, title: str) -> list[dict[str, Any]]:
    """The rows of a table of the report."""
    found = next(item for item in outcome.report["sections"]["tables"] if item["title"] == title)
    return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]


def moved(outcome: Outcome) -> dict[str, tuple[str, str]]:
    return {row["Package"]: (row["From"], row["To"]) for row in table(outcome, "Packages")}


def assert_succeeded(outcome: Outcome) -> None:
    assert (outcome.returncode, outcome.record["outcome"]) == (0, "succeeded"), outcome.output


def test_check_mode_says_what_success_then_does(update: Procedure, source: str, tmp_path: Path) -> None:
    """Under a plan that somebody else has approved."""
    options = values(constraints=OLD, advisory_url=source)
    planned = Planned.of(update, tmp_path)
    untouched = Untouched.hosts(*APPS)
    check = planned.make(*options)
    assert untouched.changes == {}
    planned.sign()
    new = table(check, "Releases")[0]["To"]
    # What somebody left half built under the release's name, as a killed build does.
    shell(
        "app1",
        f"mkdir -p /opt/evidence-api/releases/{new}/venv/bin; touch /opt/evidence-api/releases/{new}/.incomplete",
    )
    with clients() as seen:
        success = planned.apply(*options)
    assert_succeeded(success)
    planned.assert_applied(success)
    assert same_changes(check, success), same_changes(check, success)
    assert moved(check) == moved(success)
    assert set(moved(success)) == {"click", "gunicorn"}
    diff = next(change["diff"] for change in success.record["changes"] if "build |" in change["task"])
    assert "-gunicorn==27" in diff
    assert "+gunicorn==26" in diff
    assert seen.errors == []
    assert len(seen.served) == 2, "both hosts served clients"
    assert_converged()


def test_interruption_then_success_with_newer_versions(update: Procedure, source: str) -> None:
    old = release("app1")
    options = values(packages=["gunicorn"], advisory_url=source)
    with clients() as seen:
        killed = update.killed_at("switch | Switch to the release", *options)
        assert killed.killed, killed.output
        assert '"app1": "drained"' in shell("proxy1", "upstream-state evidence-api")
        success = update.run(*options)
    assert seen.errors == []
    assert_succeeded(success)
    assert update.record(killed.record["run_id"])["outcome"] == "interrupted"
    for host in APPS:
        found = versions(host)
        assert major(found["gunicorn"]) == 27
        assert found["click"].startswith("8.3."), "only what was named is upgraded"
        assert release(host, "previous") == old
    assert '"drained"' not in shell("proxy1", "upstream-state evidence-api")
    assert shell("app1", "ls -A /opt/evidence-api").split() == ["current", "previous", "releases"]


def test_second_run_changes_nothing(update: Procedure, source: str) -> None:
    second = update.run(*values(packages=["gunicorn"], advisory_url=source))
    assert_succeeded(second)
    assert second.changes == ()
    assert {row["Result"] for row in table(second, "Releases")} == {"up to date"}


def test_failure_of_the_canary_is_put_back(update: Procedure, source: str) -> None:
    before = {host: release(host) for host in APPS}
    other = Untouched.hosts("app2")
    with clients() as seen:
        failure = update.run(*values(constraints=BROKEN, advisory_url=source, accepted_advisories=ACCEPTED))
    assert seen.errors == []
    assert failure.returncode == 2, failure.output
    assert failure.record["outcome"] == "rolled_back", failure.output
    assert "cannot import name 'soft_unicode'" in failure.output
    assert {host: release(host) for host in APPS} == before
    assert other.changes == {}, "the second host was begun"
    rows = {row["Host"]: row for row in table(failure, "Releases")}
    assert (rows["app1"]["Result"], rows["app2"]["Result"]) == ("put back", "not begun")
    assert rows["app1"]["Put back in"].endswith(" s")
    assert '"drained"' not in shell("proxy1", "upstream-state evidence-api")


#: Lets the service start a program first, which does something unless a certain release is to be started.
_AT_THE_START = """
mkdir -p /etc/systemd/system/evidence-api.service.d
cat > /etc/systemd/system/evidence-api.service.d/at-the-start.conf <<'CONF'
[Service]
ExecStartPre=+/usr/local/sbin/at-the-start
CONF
cat > /usr/local/sbin/at-the-start <<'PROGRAM'
#!/bin/sh
case $(readlink /opt/evidence-api/current) in */%s) ;; *) %s ;; esac
PROGRAM
chmod 755 /usr/local/sbin/at-the-start
systemctl daemon-reload
"""
_AS_BEFORE = """
rm -r /usr/local/sbin/at-the-start /etc/systemd/system/evidence-api.service.d/at-the-start.conf
systemctl daemon-reload
"""


@contextmanager
def at_the_start(host: str, ours: str, script: str) -> Iterator[None]:
    """Run a script on the host whenever its service starts another release than ours."""
    shell(host, _AT_THE_START % (ours, script))
    try:
        yield
    finally:
        shell(host, _AS_BEFORE)


def assert_in_doubt(outcome: Outcome, *words: str) -> None:
    """The first host is not put back: the record, the report and the last message say so, and no lock is left."""
    assert (outcome.returncode, outcome.record["outcome"]) == (2, "failed"), outcome.output
    (end,) = (each["message"] for each in outcome.record["failures"] if "End the run" in each["task"])
    assert [word for word in ("app1 is in doubt", *words) if word not in end] == [], end
    rows = {row["Host"]: row["Result"] for row in table(outcome, "Releases")}
    assert rows == {"app1": "in doubt", "app2": "not begun"}
    assert '"app1": "drained"' in shell("proxy1", "upstream-state evidence-api")


def locks(*hosts: str) -> dict[str, str]:
    return {host: shell(host, "ls /var/lib/ops-runbook/change.lock 2>/dev/null || true") for host in hosts}


def test_failure_of_a_sick_host_is_none_of_the_change(update: Procedure, source: str) -> None:
    """It is refused before anything is built, and nothing is put back."""
    shell("app1", "systemctl stop evidence-api")
    untouched = Untouched.hosts(*APPS)
    options = values(constraints=BROKEN, advisory_url=source, accepted_advisories=ACCEPTED)
    sick = update.run(*options, "-e", "health_check_gate_retries=1")
    touched = untouched.changes
    shell("app1", "systemctl start evidence-api")
    assert (sick.returncode, sick.record["outcome"]) == (2, "refused"), sick.output
    assert "app1 is not healthy before the change, and was not changed" in sick.record["refusal"]
    assert "rollback |" not in sick.output
    assert {row["Result"] for row in table(sick, "Releases")} == {"not begun"}
    assert {path for paths in touched.values() for path in paths} <= {"/var/lib/ops-runbook"}
    assert set(locks("proxy1", *APPS).values()) == {""}


def test_failure_of_the_way_back(update: Procedure, source: str) -> None:
    """The release to which the host would go back is gone, when it has to."""
    running = release("app1")
    folder = f"/opt/evidence-api/releases/{running}"
    with at_the_start("app1", running, f"test -e /root/former || mv {folder} /root/former"):
        stuck = update.run(*values(constraints=BROKEN, advisory_url=source, accepted_advisories=ACCEPTED))
    assert_in_doubt(
        stuck, f"release {running}, which ran before, is not whole any more", f"dependency_updates_release={running}"
    )
    assert set(locks("proxy1", *APPS).values()) == {""}
    shell("app1", f"mv /root/former {folder}")


def test_bad_input_previous_that_is_not_clear(way_back: Procedure) -> None:
    """The update under way on one host would be undone, and the one before it on the other."""
    refused = way_back.run()
    assert refused.record["outcome"] == "refused", refused.output
    said = f"{release('app2')} on app1; {release('app2', 'previous')} on app2"
    assert f"is not the same release everywhere: {said}" in refused.record["refusal"]


def test_check_mode_promises_nothing_when_a_host_is_lost(way_back: Procedure) -> None:
    options = values(release=release("app2", "previous"))
    lost = way_back.losing("app1", "switch |", "--check", "--diff", *options)
    assert (lost.returncode, lost.record["outcome"]) == (2, "failed"), lost.output
    assert "app1 is lost: " in str(lost.record["failures"])
    assert "in doubt" not in lost.output
    assert "would" not in str([finding["title"] for finding in lost.findings])


def test_failure_by_loss_of_a_host_on_the_way_back(way_back: Procedure) -> None:
    former = release("app2", "previous")
    with at_the_start("app1", release("app1"), LOSE):
        lost = way_back.run(*values(release=former))
    assert_in_doubt(lost, "app1 is lost: ")
    assert set(locks("proxy1", "app2").values()) == {""}
    shell("app1", FIND)


def test_way_back_to_the_release_before(way_back: Procedure) -> None:
    """From a host that was lost on it, and one that was not begun; once, however often it is asked for."""
    former = release("app2", "previous")
    with clients() as seen:
        back = way_back.run(*values(release=former))
    assert seen.errors == []
    assert_succeeded(back)
    for host in APPS:
        assert release(host) == former
        assert major(versions(host)["gunicorn"]) == 26
    assert len(table(back, "Releases")) == 2
    assert '"drained"' not in shell("proxy1", "upstream-state evidence-api")
    second = way_back.run()
    assert_succeeded(second)
    assert second.changes == ()
    assert {release(host) for host in APPS} == {former}

"""Updates as an operator makes them, one after the other on the same hosts."""

from __future__ import annotations

from typing import Any

from advisories import ADVISORIES
from clients import clients
from interruption import APPS, OLD, assert_converged, major, release, values, versions

from tests.scenario import Outcome, Procedure, Untouched, same_changes, shell

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


def test_check_mode_says_what_success_then_does(update: Procedure, source: str) -> None:
    options = values(constraints=OLD, advisory_url=source)
    untouched = Untouched.hosts(*APPS)
    check = update.run("--check", "--diff", *options)
    assert untouched.changes == {}
    new = table(check, "Releases")[0]["To"]
    # What somebody left half built under the release's name, as a killed build does.
    shell(
        "app1",
        f"mkdir -p /opt/evidence-api/releases/{new}/venv/bin; touch /opt/evidence-api/releases/{new}/.incomplete",
    )
    with clients() as seen:
        success = update.run("--diff", *options)
    assert_succeeded(success)
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
    assert seconds(rows["app1"]["Put back in"]) < max(1, 2 * bare_restart("app1"))
    assert '"drained"' not in shell("proxy1", "upstream-state evidence-api")


def test_way_back_to_the_release_before(way_back: Procedure) -> None:
    former = release("app1", "previous")
    with clients() as seen:
        back = way_back.run()
    assert seen.errors == []
    assert_succeeded(back)
    for host in APPS:
        assert release(host) == former
        assert major(versions(host)["gunicorn"]) == 26
    assert len(table(back, "Releases")) == 2


def seconds(cell: str) -> float:
    return float(cell.removesuffix(" s"))


#: Restarts the service and prints the seconds until its first answer.
RESTART = """
import subprocess, time, urllib.request
subprocess.run(["systemctl", "reset-failed", "evidence-api"], check=True)
start = time.monotonic()
subprocess.run(["systemctl", "restart", "evidence-api"], check=True)
while True:
    try:
        urllib.request.urlopen("http://localhost:8000/healthz", timeout=5)
        break
    except OSError:
        time.sleep(0.02)
print(time.monotonic() - start)
"""


def bare_restart(host: str) -> float:
    """What a restart takes on this machine now: more than a second only where the machine is overloaded."""
    return float(shell(host, f"python3 - <<'PYTHON'\n{RESTART}\nPYTHON"))

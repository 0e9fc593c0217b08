"""Windows, freezes, break-glass and tickets on real runs; check mode says what would be refused and touches nothing."""

from __future__ import annotations

import pytest

from tests.guard.conftest import HOSTS, Controller, content, lock, on_app1, window
from tests.scenario import changed_files, files

pytestmark = [pytest.mark.xdist_group("lab"), pytest.mark.usefixtures("changes_lab")]

FREEZE = window(86400, "audit") | {"because": "customers close their audit year"}
REASON = "the disk of the database runs full"


def test_window_that_closes_between_batches(here: Controller) -> None:
    """The batch that would be late is refused; the one before stays as it is, and nothing is rolled back."""
    here.promises(objectives_change_windows=[window(25)])
    run = here.change(command=on_app1("sleep 25"))
    assert (run.returncode, run.record["outcome"]) == (2, "failed"), run.output
    assert "This batch is refused; none of its hosts was changed" in run.output
    assert "no change window is open" in run.output
    assert [content(host) for host in HOSTS] == ["new", ""]
    assert [lock(host) for host in HOSTS] == [{}, {}]
    assert [change.host for change in run.changes] == ["app1"]


def test_freeze_beats_window_and_break_glass_is_recorded(here: Controller) -> None:
    here.promises(objectives_freezes=[FREEZE], objectives_change_ticket_pattern=r"CHG-\d+")
    refused = here.change("-e", "runbook_ticket=CHG-7")
    assert (refused.returncode, refused.record["outcome"]) == (2, "refused"), refused.output
    for words in ("changes are frozen until", "audit", "customers close their audit year", "runbook_break_glass"):
        assert words in refused.record["refusal"]
    assert [content(host) for host in HOSTS] == ["", ""]

    no_ticket = here.change("-e", f"runbook_break_glass='{REASON}'")
    assert no_ticket.record["outcome"] == "refused"
    assert r"runbook_ticket is missing; it has to match the pattern 'CHG-\\d+'" in no_ticket.record["refusal"]

    forced = here.change("-e", f"runbook_break_glass='{REASON}'", "-e", "runbook_ticket=CHG-7")
    assert forced.record["outcome"] == "succeeded", forced.output
    assert forced.record["why"] == {"break_glass": REASON, "ticket": "CHG-7"}
    assert {finding["host"] for finding in forced.record["findings"]} == set(HOSTS)
    for finding in forced.record["findings"]:
        assert finding["title"].startswith(f"BREAK-GLASS ({REASON}) overrides: changes are frozen until")
    assert f"BREAK-GLASS ({REASON})" in forced.output
    assert [content(host) for host in HOSTS] == ["new", "new"]


def test_check_mode_says_what_would_be_refused_and_touches_nothing(here: Controller) -> None:
    here.promises(objectives_freezes=[FREEZE], objectives_change_ticket_pattern=r"CHG-\d+")
    before = {host: files(host) for host in HOSTS}
    run = here.change("--check")
    assert (run.returncode, run.record["outcome"]) == (0, "succeeded"), run.output
    titles = [finding["title"] for finding in run.record["findings"]]
    assert any("this would be refused now: changes are frozen" in title for title in titles), titles
    assert [change.host for change in run.changes] == list(HOSTS)
    for host in HOSTS:
        assert changed_files(before[host], files(host), touched=True) == {}


def test_a_host_s_own_window_counts(here: Controller) -> None:
    here.promises()
    closed = {"name": "past", "from": "2026-01-01", "until": "2026-01-01"}
    path = here.folder / "inventory/host_vars/app2.yml"
    path.parent.mkdir()
    path.write_text(f"objectives_change_windows: [{closed}]\n", encoding="utf-8")
    run = here.change()
    assert run.record["outcome"] == "refused", run.output
    assert "on app2: no change window is open. Windows: past (2026-01-01 00:00 to 2026-01-02 00:00 UTC)" in run.output


def test_run_that_is_not_recorded_changes_nothing(here: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "ansible.posix.profile_tasks")
    run = here.change()
    assert run.returncode == 2, run.output
    assert "this run is not recorded (RUNBOOK_RUN_ID is not set)" in run.output
    assert [content(host) for host in HOSTS] == ["", ""]
    assert [lock(host) for host in HOSTS] == [{}, {}]

"""What is refused has changed nothing, says what to correct, and is recorded as refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from interruption import APPS, NOBODY, values

from tests.scenario import Outcome, Procedure, Untouched


@pytest.fixture(scope="module", autouse=True)
def untouched() -> Iterator[None]:
    hosts = Untouched.hosts(*APPS)
    yield
    assert hosts.changes == {}


def assert_refused(outcome: Outcome, *words: str) -> None:
    assert outcome.returncode == 2, outcome.output
    assert outcome.record["outcome"] == "refused", outcome.output
    assert outcome.changes == ()
    assert outcome.report == {}
    assert [word for word in words if word not in outcome.record["refusal"]] == [], outcome.record["refusal"]


def test_bad_input_all_wrong_options_are_named_at_once(update: Procedure, source: str) -> None:
    accepted = [{"id": "GHSA-q34m-jh98-gwm2", "reason": "not reachable from outside", "until": "soon"}]
    options = values(application_release_keep=-1, batches=[0], accepted_advisories=accepted, advisory_url=source)
    words = ("application_release_keep is -1", "dependency_updates_batches has 0", "until is 'soon', not a day")
    assert_refused(update.run(*options), *words, "dependency_updates_accepted_advisories[0]")


def test_bad_input_empty_lock_file(update: Procedure, source: str, tmp_path: Path) -> None:
    (tmp_path / "empty.lock").write_text("# nothing\n", encoding="utf-8")
    options = values(lock=str(tmp_path / "empty.lock"), advisory_url=source)
    assert_refused(update.run(*options), "dependency_updates_lock", "empty.lock is empty")


def test_bad_input_requirement_without_solution(update: Procedure, source: str) -> None:
    options = values(constraints=["flask<0.0.1"], advisory_url=source)
    assert_refused(update.run(*options), "dependency_updates_constraints", "you require flask<0.0.1")


def test_bad_input_unknown_package(update: Procedure, source: str) -> None:
    options = values(packages=["flsk"], advisory_url=source)
    assert_refused(update.run(*options), "dependency_updates_packages names flsk", "flask, gunicorn")


def test_bad_input_unknown_release_to_go_back_to(way_back: Procedure) -> None:
    outcome = way_back.run(*values(release="0.9.0-gone"))
    assert_refused(outcome, "dependency_updates_release: app1: there is no release '0.9.0-gone'", "app2", "there are")


def test_known_vulnerability(update: Procedure, source: str) -> None:
    outcome = update.run(*values(constraints=["werkzeug<3.0.6"], advisory_url=source))
    assert_refused(outcome, "werkzeug 3.0.5: CVE-2024-49767 (GHSA-q34m-jh98-gwm2); fixed in 3.0.6")


def test_advisory_source_that_does_not_answer(update: Procedure) -> None:
    outcome = update.run(*values(advisory_url=NOBODY))
    assert_refused(outcome, "advisory source could not be asked", "Connection refused", "dependency_updates_unaudited")

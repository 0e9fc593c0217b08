"""The harness itself: kill points and predictions of playbooks whose changes are known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.scenario import Change, Outcome, Procedure, same_changes

PLAYBOOKS = Path(__file__).with_name("harness")
INVENTORY = """\
platform:
  hosts: {app1: , app2: }
  vars: {ansible_connection: local, ansible_python_interpreter: "%s"}
"""
#: Of both hosts, by the file that is written.
NAMES = ("one", "two", "three", "four", "last")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


def procedure(tmp_path: Path, name: str) -> Procedure:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(INVENTORY % sys.executable)
    return Procedure(name, (inventory,), tmp_path / "state", PLAYBOOKS / f"{name}.yml")


def options(folder: Path, *more: str) -> tuple[str, ...]:
    return "-e", f"folder={folder}", *more


def test_every_kill_point_in_turn(tmp_path: Path, folder: Path) -> None:
    """After change n of one host exactly n things are there, and the record says interrupted."""
    counted = procedure(tmp_path, "counted")
    for number in range(1, len(NAMES) + 1):
        here = folder / str(number)
        here.mkdir()
        killed = counted.killed_after(number, *options(here, "--limit", "app1"))
        assert killed.killed, killed.output
        assert sorted(path.name for path in here.iterdir()) == sorted(f"{name}-app1" for name in NAMES[:number])
        assert [change.subject.removeprefix(f"{here}/") for change in killed.changes] == [
            f"{name}-app1" for name in NAMES[:number]
        ]
        assert killed.record["outcome"] == "interrupted"
    beyond = folder / "beyond"
    beyond.mkdir()
    ended = counted.killed_after(len(NAMES) + 1, *options(beyond, "--limit", "app1"))
    assert not ended.killed, "there is no such change"
    assert (ended.returncode, ended.record["outcome"], len(ended.changes)) == (0, "succeeded", len(NAMES))


def test_counted_changes_are_the_recorded_changes(tmp_path: Path, folder: Path) -> None:
    ended = procedure(tmp_path, "counted").killed_after(100, *options(folder))
    recorded = [
        Change(row["host"], row["task"], row.get("subject", ""), row.get("item", "")) for row in ended.record["changes"]
    ]
    assert len(ended.changes) == 2 * len(NAMES)
    assert sorted(ended.changes) == sorted(recorded)


def test_killed_at_a_task_that_changes_nothing(tmp_path: Path, folder: Path) -> None:
    killed = procedure(tmp_path, "counted").killed_at("Change nothing", *options(folder, "--limit", "app2"))
    assert killed.killed
    assert [path.name for path in folder.iterdir()] == ["one-app2"]


def test_a_run_after_the_kill_converges(tmp_path: Path, folder: Path) -> None:
    counted = procedure(tmp_path, "counted")
    killed = counted.killed_after(3, *options(folder))
    again = counted.run(*options(folder))
    assert (again.returncode, again.record["outcome"]) == (0, "succeeded"), again.output
    assert counted.record(killed.record["run_id"])["outcome"] == "interrupted"
    assert counted.run(*options(folder)).changes == ()


def test_check_mode_that_tells_the_truth(tmp_path: Path, folder: Path) -> None:
    counted = procedure(tmp_path, "counted")
    check = counted.run(*options(folder, "--check"))
    assert list(folder.iterdir()) == []
    assert same_changes(check, counted.run(*options(folder)))


def test_check_mode_that_lies(tmp_path: Path, folder: Path) -> None:
    lying = procedure(tmp_path, "lying")
    check = lying.run(*options(folder, "--check", "--diff", "--limit", "app1"))
    comparison = same_changes(check, lying.run(*options(folder, "--diff", "--limit", "app1")))
    assert not comparison
    assert [change.subject for change in comparison.not_applied] == [f"{folder}/announced"]
    assert [change.subject for change in comparison.not_predicted] == [f"{folder}/written"]
    ((change, predicted, made),) = comparison.otherwise
    assert change.subject == f"{folder}/other"
    assert ("+announced" in predicted, "+written" in made) == (True, True)
    assert "predicted, not applied: Change(host='app1'" in repr(comparison)


def outcome(diff: str, *, check: bool, shown: bool = True) -> Outcome:
    row = {"host": "app1", "task": "Drain", "diff": diff}
    record = {"where": {"check": check, "diff": shown}, "outcome": "succeeded", "changes": [row]}
    return Outcome(0, "", {}, record, (Change("app1", "Drain"),))


@pytest.mark.parametrize(("predicted", "made"), [("", "-active\n+drained"), ("-active\n+drained", ""), ("-a", "-b")])
def test_a_difference_that_was_not_predicted_is_one(predicted: str, made: str) -> None:
    comparison = same_changes(outcome(predicted, check=True), outcome(made, check=False))
    assert comparison.otherwise == ((Change("app1", "Drain"), predicted, made),)
    assert same_changes(outcome(made, check=True), outcome(made, check=False))


def test_differences_are_compared_where_both_runs_show_them() -> None:
    with pytest.raises(ValueError, match="give --diff to both"):
        same_changes(outcome("", check=True), outcome("", check=False, shown=False))


def test_only_a_check_run_and_the_run_after_it_are_compared(tmp_path: Path, folder: Path) -> None:
    counted = procedure(tmp_path, "counted")
    applied = counted.run(*options(folder))
    with pytest.raises(ValueError, match="not a check run"):
        same_changes(applied, applied)
    check = counted.run(*options(folder, "--check"))
    with pytest.raises(ValueError, match="nothing to compare"):
        same_changes(check, counted.run(*options(folder)))

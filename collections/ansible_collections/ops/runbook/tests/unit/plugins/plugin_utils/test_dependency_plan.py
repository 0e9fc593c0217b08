from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_lock import Lock, Pin
from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_plan import (
    Host,
    PlanError,
    back,
    common_requirements,
    common_target,
    is_release_name,
    sizes,
    update,
    wrong_batches,
)

HASH = "sha256:" + "a" * 64


def lock(version: str) -> Lock:
    return Lock({"click": Pin("click", version, (HASH,))})


def release(name: str, version: str, **changes: Any) -> dict[str, Any]:
    text = f"click=={version} --hash={HASH}\n" if version else ""
    return {"name": name, "code": "c0de", "python": "3.11", "lock": text, "requirements": "click\n", **changes}


def host(*releases: dict[str, Any], name: str = "app1", current: str = "1.0-first", **changes: Any) -> Host:
    python = {"version": "3.11.2", "machine": "x86_64", "libc": "2.36", "markers": {"python_version": "3.11"}}
    python |= changes.pop("python", {})
    found = {"current": current, "previous": "", "change": {}, "releases": list(releases), "python": python}
    return Host.of(name, found | changes)


FIRST = release("1.0-first", "8.3")


def test_same_lock_is_nothing_to_do() -> None:
    (step,) = update([host(FIRST)], lock("8.3"), "", "")
    assert (step.release, step.pending, step.build, step.moves) == ("1.0-first", False, False, ())


def test_other_lock_is_a_new_release_with_the_same_name_each_time() -> None:
    (step,) = update([host(FIRST)], lock("8.5"), "", "")
    (again,) = update([host(FIRST)], lock("8.5"), "", "")
    assert step == again
    assert step.release.startswith("1.0-first-")
    assert (step.former, step.pending, step.build) == ("1.0-first", True, True)
    assert [str(move) for move in step.moves] == ["click 8.3 → 8.5"]


def test_name_keeps_the_version_and_changes_the_digest() -> None:
    (step,) = update([host(release("1.0-0123456789ab", "8.3"), current="1.0-0123456789ab")], lock("8.5"), "", "")
    assert step.release.startswith("1.0-")
    assert len(step.release) == len("1.0-0123456789ab")
    (named,) = update([host(FIRST)], lock("8.5"), "", "2.0")
    assert named.release.startswith("2.0-")


def test_release_that_is_there_is_not_built_again() -> None:
    (step,) = update([host(FIRST, release("1.0-second", "8.5"))], lock("8.5"), "", "")
    assert (step.release, step.pending, step.build) == ("1.0-second", True, False)


def test_other_code_is_another_release() -> None:
    (step,) = update([host(FIRST)], lock("8.3"), "0ther", "")
    assert (step.pending, step.build, step.moves) == (True, True, ())


def test_new_python_of_the_host_builds_again() -> None:
    python = {"version": "3.13.1", "markers": {"python_version": "3.13"}}
    (step,) = update([host(FIRST, python=python)], lock("8.3"), "", "")
    assert (step.pending, step.build) == (True, True)


def test_interrupted_change_goes_on_and_knows_where_it_came_from() -> None:
    (target,) = update([host(FIRST)], lock("8.5"), "", "")
    change = {"release": target.release, "previous": "1.0-first", "active": target.release}
    there = host(FIRST, release(target.release, "8.5"), current=target.release, change=change)
    (step,) = update([there], lock("8.5"), "", "")
    assert (step.pending, step.build, step.interrupted) == (True, False, True)
    assert (step.former, step.release) == ("1.0-first", target.release)
    assert [str(move) for move in step.moves] == ["click 8.3 → 8.5"]


def test_no_release_runs() -> None:
    with pytest.raises(PlanError, match="app1: no whole release runs"):
        update([host(FIRST, current="1.0-gone")], lock("8.5"), "", "")


def test_way_back() -> None:
    there = host(FIRST, release("1.0-second", "8.5"), current="1.0-second", previous="1.0-first")
    for wanted in ("previous", "1.0-first"):
        (step,) = back([there], wanted)
        assert (step.release, step.former, step.pending) == ("1.0-first", "1.0-second", True)
    (step,) = back([there], "1.0-second")
    assert not step.pending


SECOND = release("1.0-second", "8.5")


@pytest.mark.parametrize(
    ("current", "back_under_way", "goal"),
    [
        ("1.0-second", False, "1.0-first"),  # an update that was interrupted is undone
        ("1.0-first", False, "1.0-first"),  # before its switch, too
        ("1.0-first", True, "1.0-second"),  # a way back that was interrupted goes on
    ],
)
def test_way_back_of_an_interrupted_change(current: str, back_under_way: bool, goal: str) -> None:
    change = {"release": "1.0-second", "previous": "1.0-first", "active": "?", "back": back_under_way}
    there = host(FIRST, SECOND, current=current, previous="1.0-older", change=change)
    (step,) = back([there], "previous")
    assert (step.release, step.pending, step.interrupted) == (goal, True, True)


def test_way_back_twice_is_nothing_to_do() -> None:
    (step,) = back([host(FIRST, SECOND, previous="1.0-first")], "previous")
    assert not step.pending


def test_previous_of_a_switch_by_hand_is_refused() -> None:
    change = {"release": "1.0-second", "previous": "1.0-first", "active": "?"}
    there = host(FIRST, SECOND, release("1.0-third", "8.6"), current="1.0-third", change=change)
    said = r"app1 runs 1\.0-third, .* from 1\.0-first to 1\.0-second.*; there are 1\.0-first"
    with pytest.raises(PlanError, match=said):
        back([there], "previous")
    assert back([there], "1.0-first")[0].pending


def test_previous_that_is_another_one_on_each_host_is_refused() -> None:
    """An update was interrupted between two hosts: the one that it did not come to must not go back."""
    done = host(FIRST, SECOND, current="1.0-second", previous="1.0-first")
    other = host(FIRST, release("1.0-older", "8.1"), name="app2", previous="1.0-older")
    with pytest.raises(PlanError, match=r"1\.0-first on app1; 1\.0-older on app2\. Name the one"):
        back([done, other], "previous")
    assert [step.pending for step in back([done, other], "1.0-first")] == [True, False]


@pytest.mark.parametrize("wanted", ["previous", "1.0-gone"])
def test_way_back_to_nowhere_names_every_host(wanted: str) -> None:
    hosts = [host(FIRST), host(FIRST, name="app2")]
    with pytest.raises(PlanError, match=rf"app1: there is no release '{wanted}'(.|\n)*app2: (.|\n)*1.0-first"):
        back(hosts, wanted)


def test_one_lock_for_one_kind_of_host() -> None:
    older = host(FIRST, name="app2", python={"libc": "2.31"})
    assert common_target([host(FIRST), older]).libc == "2.31"
    with pytest.raises(PlanError, match=r"Python 3.11 on x86_64: app1; Python 3.13 on x86_64: app2"):
        common_target([host(FIRST), host(FIRST, name="app2", python={"version": "3.13.1"})])


def test_requirements_have_to_be_the_same() -> None:
    assert common_requirements([host(FIRST), host(FIRST, name="app2")]) == "click\n"
    other = host(release("1.0-first", "8.3", requirements="flask\n"), name="app2")
    with pytest.raises(PlanError, match="app1; app2"):
        common_requirements([host(FIRST), other])
    with pytest.raises(PlanError, match=r"no requirements.in"):
        common_requirements([host(release("1.0-first", "8.3", requirements=""))])


@pytest.mark.parametrize(
    ("batches", "numbers"), [([1], [1]), (["1", "25%"], [1, 2]), ([2, "100%"], [2, 5]), ([8], [5]), (["5%"], [1])]
)
def test_batches(batches: list[Any], numbers: list[int]) -> None:
    """Of 8 hosts that differ among 10; the last size repeats."""
    assert wrong_batches(batches) == []
    assert sizes(batches, pending=8, hosts=10) == numbers


def test_only_host_is_a_batch() -> None:
    assert sizes(["100%"], pending=1, hosts=1) == [1]


@pytest.mark.parametrize("size", [0, -1, "0%", "101%", "half", "", 1.5])
def test_batches_that_are_refused(size: Any) -> None:
    (error,) = wrong_batches([1, size])
    assert error.startswith(f"dependency_updates_batches has {size!r}")
    assert wrong_batches([])


@pytest.mark.parametrize("name", ["../etc", "", ".", "a/b", "-x", "a b"])
def test_names_that_are_no_release(name: str) -> None:
    assert not is_release_name(name)

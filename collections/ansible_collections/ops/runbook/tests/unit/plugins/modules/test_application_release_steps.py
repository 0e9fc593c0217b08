"""What the steps leave behind, wherever an earlier run stopped. The scenario builds and starts in earnest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import application_release as store
from ansible_collections.ops.runbook.plugins.modules import application_release as module

REQUESTS = [{"get": "http://localhost/healthz"}, {"get": "http://localhost/readyz"}]


class Host:
    """The folder of an application with two whole releases, and a service that starts whatever is current."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.started: list[str] = []
        self.asked: list[tuple[str, int]] = []
        self.broken: set[str] = set()
        for name in ("old", "new"):
            store.finish(store.begin(root, name))
        store.point(root, "current", "old")

    def step(self, state: str, release: str = "new", *, check: bool = False, **changes: Any) -> dict[str, Any]:
        options = {
            "root": str(self.root),
            "release": release,
            "packages": {"before": ["click==1"], "after": ["click==2"]},
            "bundle": None,
            "python": "/usr/bin/python3",
            "service": "api.service",
            "activation": "restart",
            "requests": REQUESTS,
            "token": "",
            "timeout": 1,
            "keep": 2,
            "back": False,
        }
        found: dict[str, Any] = getattr(module.Steps(options | changes, check), state)()
        return found

    @property
    def links(self) -> tuple[str, str]:
        return store.linked(self.root, "current"), store.linked(self.root, "previous")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path)

    def activate(unit: str, how: str) -> None:
        current = store.linked(tmp_path, "current")
        made.started.append(current)
        if current in made.broken:
            raise module.ServiceError(f"{unit} does not start")

    def answers(unit: str, requests: list[Any], names: dict[str, str], token: str, timeout: float) -> dict[str, str]:
        made.asked.append((names["release"], len(requests)))
        return {}

    monkeypatch.setattr(module.service, "activate", activate)
    monkeypatch.setattr(module.service, "await_answer", answers)
    return made


def test_whole_change(host: Host) -> None:
    assert host.step("built")["changed"] is False
    assert host.step("active")["changed"] is True
    host.step("answering")
    assert host.step("settled") == {"changed": False, "path": "-", "previous": "old", "removed": []}
    assert host.links == ("new", "old")
    assert (host.started, host.asked) == (["new"], [("new", 1), ("new", 2)])
    assert store.read_change(host.root) == {}


def test_steps_taken_again_change_nothing(host: Host) -> None:
    for _time in range(2):
        host.step("built")
        host.step("active")
    assert host.step("active")["changed"] is False
    assert host.started == ["new"]
    host.step("settled")
    assert host.links == ("new", "old")


def test_link_that_was_switched_by_a_killed_run_is_no_proof(host: Host) -> None:
    host.step("built")
    store.write_change(host.root, {**store.read_change(host.root), "active": "?"})
    store.point(host.root, "current", "new")
    assert host.step("active", check=True)["changed"] is True
    assert host.step("active")["changed"] is True
    assert host.started == ["new"]


def test_failed_start_is_taken_back(host: Host) -> None:
    host.broken = {"new"}
    host.step("built")
    with pytest.raises(module.ServiceError):
        host.step("active")
    result = host.step("rolled_back")
    assert result["changed"] is True
    assert 0 <= result["seconds"] < 1
    assert host.started == ["new", "old"]
    assert host.asked == [("old", 1), ("old", 2)], "timed with the first request, judged by all"
    assert host.links == ("old", "")
    assert store.read_change(host.root) == {}


def test_what_was_never_switched_is_not_restarted(host: Host) -> None:
    host.step("built")
    assert host.step("rolled_back")["changed"] is False
    assert host.started == []
    assert store.read_change(host.root) == {}
    assert host.step("rolled_back")["changed"] is False


def test_no_way_back_to_a_release_that_is_gone(host: Host) -> None:
    host.step("built")
    host.step("active")
    shutil.rmtree(host.root / "releases/old")
    with pytest.raises(module.ReleaseError, match=r"release old, .* still names new; whole are new"):
        host.step("rolled_back")
    assert host.links == ("new", "")
    assert store.read_change(host.root)["previous"] == "old", "the next run knows what was wanted"


def test_way_back_of_an_update_is_the_end_of_the_way(host: Host) -> None:
    for release, back in (("new", False), ("old", True)):
        for state in ("built", "active", "settled"):
            host.step(state, release, back=back)
    assert host.links == ("old", "old")


def test_an_update_that_is_undone_leaves_the_way_back_of_the_one_before(host: Host) -> None:
    store.finish(store.begin(host.root, "newer"))
    for state in ("built", "active", "settled"):
        host.step(state, keep=3)
    host.step("built", "newer")
    host.step("active", "newer")
    for state in ("built", "active", "settled"):
        host.step(state, back=True, keep=3)
    assert host.links == ("new", "old")
    assert store.read_change(host.root) == {}


def test_way_back_of_a_second_attempt_leads_to_where_the_first_began(host: Host) -> None:
    store.finish(store.begin(host.root, "newer"))
    host.step("built")
    host.step("active")
    host.step("built", "newer")
    assert host.step("rolled_back", "newer")["previous"] == "old"
    assert host.links == ("old", "")


def test_check_mode_changes_nothing_and_predicts(host: Host) -> None:
    before = sorted(str(path) for path in host.root.rglob("*"))
    predicted = [host.step(state, check=True) for state in ("built", "active", "answering", "settled")]
    assert sorted(str(path) for path in host.root.rglob("*")) == before
    applied = [host.step(state) for state in ("built", "active", "answering", "settled")]
    keys = ("changed", "path", "previous")
    assert [[each.get(key) for key in keys] for each in predicted] == [
        [each.get(key) for key in keys] for each in applied
    ]


def test_check_mode_predicts_what_is_removed(host: Host) -> None:
    store.finish(store.begin(host.root, "oldest"))
    assert host.step("settled", check=True)["removed"] == ["oldest"]
    for state in ("built", "active", "settled"):
        last = host.step(state)
    assert last["removed"] == ["oldest"]


def test_half_release_is_not_switched_to(host: Host) -> None:
    store.begin(host.root, "new")
    assert host.step("built", check=True)["changed"] is True
    with pytest.raises(module.ReleaseError, match="nothing to build it from"):
        host.step("built")
    with pytest.raises(module.ReleaseError, match="not whole"):
        host.step("active")
    assert host.links == ("old", "")


def test_difference_names_packages_and_releases(host: Host) -> None:
    diff = host.step("built", "newest", check=True)["diff"]
    assert diff == {
        "before_header": "old",
        "after_header": "newest",
        "before": "click==1\n",
        "after": "click==2\n",
    }

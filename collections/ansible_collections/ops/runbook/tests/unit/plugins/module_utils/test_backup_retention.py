# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import itertools
import random

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.backup_retention import (
    Backup,
    expirable_databases,
    expirable_snapshots,
)

DAY = 86400.0
NOW = 1000 * DAY
FULL, DIFF = 35 * DAY, 14 * DAY


def full(days: float, *, good: bool = True) -> Backup:
    return Backup(f"F{days:g}", NOW - days * DAY, True, good)


def diff(days: float, of: float) -> Backup:
    return Backup(f"D{days:g}", NOW - days * DAY, False, True, frozenset({f"F{of:g}"}))


def gone(*backups: Backup) -> set[str]:
    return set(expirable_databases(backups, NOW, FULL, DIFF))


def test_full_goes_when_a_newer_one_has_reached_the_retention() -> None:
    assert gone(full(50), full(34)) == set()
    assert gone(full(50), full(36)) == {"F50"}
    assert gone(full(60), full(50), full(36), full(1)) == {"F60", "F50"}


def test_last_good_one_stays_whatever_its_age() -> None:
    assert gone(full(900)) == set()
    assert gone(full(900), full(40, good=False)) == set()
    assert gone(full(900), full(800, good=False), full(1, good=False)) == set()
    assert gone(full(3, good=False)) == set()


def test_differential_goes_after_its_own_retention_and_with_its_full() -> None:
    assert gone(full(20), diff(15, 20), diff(13, 20)) == {"D15"}
    assert gone(full(80), diff(75, 80), full(40)) == {"F80", "D75"}
    assert gone(full(20), diff(18, 20)) == set()  # the newest


def test_backup_from_the_future_is_no_proof() -> None:
    future = Backup("future", NOW + DAY)
    assert gone(full(900), future) == set()


def test_what_an_incremental_needs_stays() -> None:
    increment = Backup("I1", NOW - DAY, False, True, frozenset({"F20", "D15"}))
    assert gone(full(20), diff(15, 20), increment) == set()


@pytest.mark.parametrize("seed", range(60))
def test_any_history_keeps_its_promises(seed: int) -> None:
    chance = random.Random(seed)
    backups: list[Backup] = []
    for number, days in enumerate(sorted(chance.uniform(0, 120) for _each in range(12))[::-1]):
        fulls = [each for each in backups if each.full]
        is_full = not fulls or chance.random() < 0.4
        needs = frozenset() if is_full else frozenset({fulls[-1].label})
        backups.append(Backup(f"b{number}", NOW - days * DAY, is_full, chance.random() < 0.8, needs))
    removed = set(expirable_databases(backups, NOW, FULL, DIFF))
    kept = [each for each in backups if each.label not in removed]
    good = [each for each in backups if each.good]
    if good:
        assert max(good, key=lambda each: each.made) in kept
    for each in backups:
        if each.label in removed:
            assert NOW - each.made >= (FULL if each.full else DIFF), each
    labels = {each.label for each in kept}
    assert all(each.needs <= labels for each in kept)
    order = expirable_databases(backups, NOW, FULL, DIFF)
    for earlier, later in itertools.combinations(order, 2):
        needs = next(each.needs for each in backups if each.label == later)
        assert earlier not in needs


def test_snapshots_go_by_the_clock_of_the_store() -> None:
    made = [Backup(f"s{days}", NOW - days * DAY) for days in (100, 95, 50, 1)]
    assert expirable_snapshots(made, NOW, 90 * DAY) == ("s100", "s95")
    assert expirable_snapshots(made[:1], NOW, 90 * DAY) == ()
    forged = Backup("forged", NOW + 9000 * DAY)
    assert expirable_snapshots([*made[:1], forged], NOW, 90 * DAY) == ()

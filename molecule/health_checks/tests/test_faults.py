"""Each fault gives exactly its finding, the run fails as it should, and mending the fault clears it.

That it clears it is seen by the next fault, which gives its own finding and no other, and after the last one by a sweep
that finds nothing. Faults with the same finding therefore do not follow each other.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import pairwise

import pytest
from faults import CRITICAL, FAULTS, WARNING, Fault, lagging_standby, proxy_certificate

from tests.scenario import Outcome, Procedure


def assert_only(outcome: Outcome, row: tuple[str, str], statuses: frozenset[str]) -> None:
    """One finding that is not ok, and an exit code that says so."""
    assert list(outcome.bad) == [row], outcome.output
    status = outcome.bad[row]
    assert status in statuses, outcome.output
    assert outcome.returncode == (0 if status == "warning" else 2), outcome.output


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_fault(sweep: Procedure, fault: Fault) -> None:
    with fault.present():
        assert_only(sweep.run(), fault.row, fault.statuses)


BETWEEN_HOSTS = {
    "lagging-standby": (lagging_standby(), ("db1", "replication"), WARNING | CRITICAL),
    "expired-certificate": (proxy_certificate("proxy1", ends_in_days=-1), ("proxy1", "proxy certificate"), CRITICAL),
    "expiring-certificate": (proxy_certificate("proxy1", ends_in_days=20), ("proxy1", "proxy certificate"), WARNING),
    "wrong-name-certificate": (
        proxy_certificate("other.lab", ends_in_days=300),
        ("proxy1", "proxy certificate"),
        CRITICAL,
    ),
}


@pytest.mark.parametrize(("present", "row", "statuses"), BETWEEN_HOSTS.values(), ids=BETWEEN_HOSTS.keys())
def test_fault_between_hosts(
    sweep: Procedure, present: AbstractContextManager[None], row: tuple[str, str], statuses: frozenset[str]
) -> None:
    with present:
        assert_only(sweep.run(), row, statuses)


def test_mended_faults_are_gone(sweep: Procedure) -> None:
    rows = [(fault.row, fault.statuses) for fault in FAULTS] + [row[1:] for row in BETWEEN_HOSTS.values()]
    assert [pair for pair in pairwise(rows) if pair[0] == pair[1]] == [], "none would see whether the first is gone"
    outcome = sweep.run()
    assert outcome.bad == {}, outcome.output
    assert outcome.returncode == 0, outcome.output


def test_a_lost_host_hides_no_other(sweep: Procedure) -> None:
    """The report has a row for the lost host and all rows of the others."""
    healthy = sweep.run().findings
    fault = next(fault for fault in FAULTS if fault.check == "reachable")
    with fault.present():
        lost = sweep.run().findings
    rows = {(f["host"], f["check"]) for f in healthy if f["host"] != fault.host} | {(fault.host, fault.check)}
    assert {(f["host"], f["check"]) for f in lost} == rows

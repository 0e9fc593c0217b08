"""Checkouts whose hosts are folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkout import REQUESTER, Checkout, make_checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return make_checkout(tmp_path, os.environ)


@dataclass
class Planned:
    """A checkout with a plan that two people have to approve, and people with keys."""

    checkout: Checkout
    anna: Path
    ben: Path
    requester: Path
    #: Another key of anna, and a key that two people call theirs.
    second_key: Path
    shared_key: Path
    expired_key: Path
    stranger: Path
    commit: str

    def approve(self) -> None:
        self.checkout.sign(self.anna)
        self.checkout.sign(self.ben)


@pytest.fixture(scope="module")
def _planned(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    checkout = make_checkout(tmp_path_factory.mktemp("planned"), os.environ)
    checkout.person("carl", key="shared")
    people = Planned(
        checkout,
        anna=checkout.person("anna@example.org"),
        ben=checkout.person("ben"),
        requester=checkout.person(f"{REQUESTER}@example.org"),
        second_key=checkout.person("Anna", key="anna-2"),
        shared_key=checkout.person("dora", key="shared"),
        expired_key=checkout.person("emil", 'valid-before="20260101"'),
        stranger=checkout.key("stranger"),
        commit="",
    )
    checkout.policy(change_guard_approvals=2)
    people.commit = checkout.git("rev-parse", "HEAD")
    made = checkout.make(size="3")
    assert made.code == 0, made.output
    return people


@pytest.fixture
def planned(_planned: Planned) -> Iterator[Planned]:
    """The plan, which nobody has approved yet. No test of it is applied, so that they can share it."""
    yield _planned
    _planned.checkout.restore(_planned.commit)
    assert not list((_planned.checkout.root.parent / "hosts").iterdir()), "a host was changed"

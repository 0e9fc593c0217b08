"""A verification says what it looked at, and no more."""

from __future__ import annotations

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_store import EvidenceError
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_verify import Wanted, verify
from test_evidence_replica import Pair, master, pair
from test_evidence_store import flip, keys

__all__ = ["keys", "master", "pair"]
ITEM = "documents/0-0"


def found(pair: Pair, wanted: Wanted) -> list[tuple[str, str]]:
    return [(finding.status, finding.title) for finding in verify(pair.store, pair.replica, wanted).findings]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(), "6 items in 2 seals are as they were sealed"),
        (Wanted("sample", sample=2), "2 seals of 6 items are whole; 2 items were read, and are as they were sealed"),
        (Wanted("sample"), "2 seals of 6 items are whole; 6 items were read, and are as they were sealed"),
        (Wanted("item", ITEM), f"2 seals of 6 items are whole; of the items {ITEM} alone was looked at"),
        (Wanted("consistency"), "2 seals of 6 items are whole; no item was looked at"),
    ],
)
def test_what_is_whole_is_what_was_looked_at(pair: Pair, wanted: Wanted, said: str) -> None:
    assert ("ok", said) in found(pair, wanted)


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("wanted", [Wanted(), Wanted("sample", sample=6), Wanted("item", ITEM)])
def test_a_flipped_byte_is_named_wherever_it_was_looked_at(pair: Pair, wanted: Wanted, *, copy: bool) -> None:
    flip(pair.item(ITEM, copy=copy))
    assert "critical" in [status for status, title in found(pair, wanted) if ITEM in title]


@pytest.mark.parametrize(("scope", "sample"), [("full", -1), ("sample", -1), ("sample", 0)])
def test_a_sample_of_nothing_is_refused(pair: Pair, scope: str, sample: int) -> None:
    with pytest.raises(EvidenceError, match=f"evidence_store_sample is {sample}; read . items or more"):
        found(pair, Wanted(scope, sample=sample))

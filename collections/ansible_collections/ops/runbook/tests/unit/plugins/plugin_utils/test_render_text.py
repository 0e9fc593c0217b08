from __future__ import annotations

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils import render_text


@pytest.mark.parametrize(
    ("observed", "unit", "words"),
    [
        (None, "%", "—"),
        (97.0, "%", "97 %"),
        (41.237, "%", "41.2 %"),
        (0.0, "", "0"),
        ("failed", "", "failed"),
        (0.0384, "s", "38.4 ms"),
        (1.5, "s", "1.5 s"),
        (119.0, "s", "119 s"),
        (600.0, "s", "10 min"),
        (14400.0, "s", "4 h"),
        (864000.0, "s", "10 days"),
        (0.0, "B", "0 B"),
        (1536.0, "B", "1.5 KiB"),
        (-(2.0**21), "B", "-2 MiB"),
        (36.4 * 2**30, "bytes", "36.4 GiB"),
        (3 * 2.0**60, "B", "3072 PiB"),
        (19.4, "days", "19.4 days"),
    ],
)
def test_value_has_the_unit_that_suits_it(observed: float | str | None, unit: str, words: str) -> None:
    assert render_text.value(observed, unit) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(None, "—"), (0.0, "less than a day"), (1.9, "1 day"), (30.0, "30 days"), (9e9, "over 2 years")],
)
def test_days_are_not_more_exact_than_they_can_be(count: float | None, words: str) -> None:
    assert render_text.days(count) == words


@pytest.mark.parametrize(
    ("remedy", "parts"),
    [
        ("monitoring-procedures/health-checks#failed_units", ("monitoring-procedures/health-checks", "failed_units")),
        ("operational-procedures", ("operational-procedures", "")),
        ("", None),
        ("javascript:alert(1)", None),
        ("../secrets#x", None),
        ("ask Mara", None),
    ],
)
def test_only_a_page_is_a_page(remedy: str, parts: tuple[str, str] | None) -> None:
    assert render_text.page_parts(remedy) == parts

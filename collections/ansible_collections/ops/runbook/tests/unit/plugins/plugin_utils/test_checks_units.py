from __future__ import annotations

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_units import (
    Amount,
    AmountError,
    format_amount,
    parse_amount,
    parse_kind,
)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("80%", Amount(80, "percent")),
        ("80 %", Amount(80, "percent")),
        ("0.5%", Amount(0.5, "percent")),
        ("250ms", Amount(0.25, "duration")),
        ("1s", Amount(1, "duration")),
        ("5m", Amount(300, "duration")),
        ("5min", Amount(300, "duration")),
        ("24h", Amount(86400, "duration")),
        ("30d", Amount(2592000, "duration")),
        ("10MiB", Amount(10 * 2**20, "bytes")),
        ("10MB", Amount(10**7, "bytes")),
        ("5", Amount(5)),
        (5, Amount(5)),
        (0.5, Amount(0.5)),
    ],
)
def test_amounts_as_operators_write_them(text: object, amount: Amount) -> None:
    assert parse_amount(text) == amount


@pytest.mark.parametrize("text", ["", "many", "10 monkeys", "80%%", "1s 5ms", True, None, [1], {"a": 1}])
def test_what_is_no_amount_is_refused(text: object) -> None:
    with pytest.raises(AmountError):
        parse_amount(text)


def test_an_unknown_unit_is_named_with_the_known_ones() -> None:
    with pytest.raises(AmountError, match=r"'10 parsec' has the unknown unit 'parsec' \(known are .*MiB"):
        parse_amount("10 parsec")


def test_a_kind_is_required() -> None:
    assert parse_kind("10s", "duration") == 10
    assert parse_kind(10, "duration", plain=86400) == 864000
    with pytest.raises(AmountError, match="'10MiB' is not a duration such as"):
        parse_kind("10MiB", "duration")


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (83, "percent", "83 %"),
        (0.25, "duration", "250 ms"),
        (0, "duration", "0 s"),
        (90, "duration", "90 s"),
        (900, "duration", "15 min"),
        (2592000, "duration", "30 days"),
        (10 * 2**20, "bytes", "10.0 MiB"),
        (12, "bytes", "12 B"),
        (3 * 2**40, "bytes", "3.0 TiB"),
        (5, "count", "5"),
    ],
)
def test_amounts_for_people(number: float, kind: str, text: str) -> None:
    assert format_amount(number, kind) == text

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.module_utils.datatag import deprecate_value
from ansible_collections.ops.runbook.plugins.plugin_utils.arguments import validated

SPECIFICATION: dict[str, dict[str, Any]] = {
    "findings": {"type": "list", "elements": "dict", "required": True},
    "sections": {"type": "dict", "default": {}},
    "keep_days": {"type": "int", "default": 90},
}


def test_defaults_are_filled_in_and_types_converted() -> None:
    assert validated({"findings": [], "keep_days": "7"}, SPECIFICATION) == {
        "findings": [], "sections": {}, "keep_days": 7,
    }  # fmt: skip


def test_bulk_may_be_json() -> None:
    assert validated({"findings": '[{"check": "a"}]'}, SPECIFICATION)["findings"] == [{"check": "a"}]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "missing required arguments: findings"),
        ({"findings": "all"}, "findings is a str, not a list"),
        ({"findings": '{"check": "a"}'}, "findings is a dict, not a list"),
        ({"findings": [], "sections": []}, "sections is a list, not a dict"),
        ({"findings": [], "keep_days": "long"}, "keep_days"),
        ({"findings": [], "colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleActionFail, match=message):
        validated(given, SPECIFICATION)


def test_bulk_that_the_action_does_not_have_is_named() -> None:
    with pytest.raises(AnsibleActionFail, match="there is no argument sections"):
        validated({"findings": [], "sections": {}}, {"findings": SPECIFICATION["findings"]})


def test_bulk_becomes_plain_quickly() -> None:
    """Ansible's tags make values slow to copy, and findings are copied for every report."""
    text = deprecate_value("used", msg="old", version="9.0.0", collection_name="ops.runbook")
    findings = [{f"key{row}.{number}": text for number in range(15)} for row in range(800)]
    begin = time.perf_counter()
    made = validated({"findings": findings}, SPECIFICATION)["findings"]
    assert time.perf_counter() - begin < 0.2
    assert made == findings
    assert made[0]["key0.1"].__class__ is str

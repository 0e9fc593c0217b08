"""Options that would make the change without its guard are refused, before anything is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from checkout import Checkout

TAGGED = "    - name: Write the file\n      tags: [write]\n"


@pytest.fixture
def tagged(checkout: Checkout) -> Checkout:
    path = checkout.root / checkout.playbook
    path.write_text(path.read_text().replace("    - name: Write the file\n", TAGGED))
    return checkout


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--start-at-task", "Write the file"), "--start-at-task leaves out the change guard"),
        (("--tags", "write"), "--tags or --skip-tags leave out the change guard"),
        (("--skip-tags", "all"), "--tags or --skip-tags leave out the change guard"),
    ],
)
def test_refused(tagged: Checkout, options: tuple[str, ...], reason: str) -> None:
    refused = tagged.run(*options)
    assert reason in refused.refusal
    assert "TASK" not in refused.output
    assert not tagged.host_file("app1").exists()


def test_check_mode_may_look_at_a_part(tagged: Checkout) -> None:
    assert tagged.run("--check", "--tags", "write").code == 0


def test_what_leaves_the_guard_in_is_allowed(tagged: Checkout) -> None:
    applied = tagged.run("--skip-tags", "write")
    assert applied.code == 0, applied.output
    assert not tagged.host_file("app1").exists()


def test_a_procedure_without_guard_is_not_concerned(tagged: Checkout) -> None:
    path = tagged.root / tagged.playbook
    text = path.read_text()
    path.write_text(text[text.index("- name: Change\n") :])
    assert tagged.run("--start-at-task", "Write the file").code == 0

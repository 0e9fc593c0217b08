from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan import PlanError
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan_signatures import (
    AllowedSigners,
    Approvals,
    Requester,
    alike,
    approvals,
    fingerprint,
)

Approve = Callable[..., Approvals]
RITA = Requester(frozenset({"rita"}))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name, kind in {"anna": "ed25519", "ben": "ecdsa", "carl": "rsa"}.items():
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(folder / name)], check=True)
    return folder


@pytest.fixture
def approve(keys: Path, tmp_path: Path) -> Approve:
    """Sign with the keys, and judge against the lines of allowed_signers, in which {anna} is the key of anna."""

    def judge(lines: str, *signed: str, requester: Requester = RITA) -> Approvals:
        plan, content = tmp_path / "plan.json", b"the plan\n"
        public = {path.stem: " ".join(path.read_text().split()[:2]) for path in keys.glob("*.pub")}
        (tmp_path / "allowed").write_text(lines.format(**public))
        for number, name in enumerate(signed):
            command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "runbook-plan", "-f", str(keys / name)]
            made = subprocess.run(command, input=content, capture_output=True, check=True)
            plan.with_name(f"plan.json.{number}.sig").write_bytes(made.stdout)
        return approvals(plan, content, AllowedSigners(tmp_path / "allowed"), requester)

    return judge


def names(found: Approvals) -> list[str]:
    return [signer.name for signer in found.signers]


def test_every_kind_of_key(approve: Approve) -> None:
    found = approve("# people\n\nanna {anna}\nben {ben}\ncarl@example.org {carl}\n", "anna", "ben", "carl")
    assert names(found) == ["anna", "ben", "carl@example.org"]
    assert found.rejected == ()


def test_a_line_may_have_names_and_options(approve: Approve) -> None:
    found = approve(
        '"anna,anna@example.org" namespaces="git,runbook-plan",valid-after="20200101" {anna} comment\n', "anna"
    )
    assert names(found) == ["anna"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ben {ben}", "nobody in"),
        ("*@example.org {anna}", "nobody in"),
        ('anna namespaces="git" {anna}', "key is not permitted for use in signature namespace"),
        ('anna valid-after="20900101" {anna}', "key is not yet valid"),
        ("anna cert-authority {anna}", "anna may not sign"),
    ],
)
def test_who_may_not_sign(approve: Approve, line: str, reason: str) -> None:
    found = approve(f"{line}\n", "anna")
    assert names(found) == []
    assert reason in found.rejected[0]


def test_a_key_under_two_names_is_the_requester_if_one_of_them_is(approve: Approve) -> None:
    """ssh-keygen alone would tell the first name only."""
    found = approve("somebody {anna}\nrita@example.org {anna}\n", "anna")
    assert names(found) == []
    assert "nobody approves their own" in found.rejected[0]


def test_a_name_with_two_keys_counts_once(approve: Approve) -> None:
    found = approve("anna {anna}\nanna@example.org {ben}\n", "anna", "ben")
    assert names(found) == ["anna"]
    assert "one person counts once" in found.rejected[0]


def test_the_requester_by_key(approve: Approve, keys: Path) -> None:
    found = approve("anna {anna}\n", "anna", requester=Requester(frozenset({"root"}), fingerprint(keys / "anna")))
    assert names(found) == []


def test_the_requester_by_account(approve: Approve) -> None:
    requester = Requester.of({"user": "root", "sudo_user": "jdoe"}, {"jdoe": "anna@example.org"})
    assert names(approve("anna@example.org {anna}\n", "anna", requester=requester)) == []


def test_the_user_of_awx_counts(approve: Approve) -> None:
    requester = Requester.of({"user": "runner", "awx_user": "Anna"}, {})
    assert names(approve("anna@example.org {anna}\n", "anna", requester=requester)) == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("anna", "Anna", True),
        ("anna", "anna@example.org", True),
        ("anna@example.com", "anna@example.org", False),
        ("anna", "ann", False),
    ],
)
def test_alike(one: str, other: str, same: bool) -> None:
    for pair in ((one, other), (other, one)):
        assert alike(*pair) is same


def test_what_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x")
    with pytest.raises(PlanError, match="is not an SSH key"):
        fingerprint(tmp_path / "key")


def test_no_file_of_signers(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"change_guard_allowed_signers: .* cannot be read"):
        AllowedSigners(tmp_path / "none")

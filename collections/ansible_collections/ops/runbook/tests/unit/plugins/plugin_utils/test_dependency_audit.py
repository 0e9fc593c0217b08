from __future__ import annotations

import json
import stat
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_audit import (
    Advisory,
    AuditError,
    acceptances,
    audit,
    judge,
    read,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_lock import Lock, Pin

LOCK = Lock({name: Pin(name, "1.0", ("sha256:" + "a" * 64,)) for name in ("click", "flask")})
ADVISORY = Advisory("flask", "1.0", "CVE-2023-30861", ("GHSA-m2qf-hxjv-5gpq",), ("2.3.2",))
TODAY = date(2026, 11, 23)


def printed(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


def good(name: str) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": []}


def accepted(**changes: Any) -> dict[str, Any]:
    return {"id": "GHSA-m2qf-hxjv-5gpq", "reason": "cookies are not used", "until": "2027-01-31", **changes}


def test_advisories_are_read() -> None:
    item = {"id": ADVISORY.id, "aliases": list(ADVISORY.aliases), "fix_versions": ["2.3.2"], "description": "x"}
    assert read(printed(good("click"), {**good("Flask"), "vulns": [item]}), "", LOCK, "osv") == [ADVISORY]


@pytest.mark.parametrize(
    ("stdout", "stderr", "said"),
    [
        ("", "WARNING: x\nrequests.exceptions.ConnectionError: refused\n", "osv: requests.*refused"),
        ("", "", "osv: it printed nothing"),
        ("[]", "", "osv: it printed nothing"),
        (printed(good("click")), "", "said nothing about flask==1.0"),
        (printed(), "", "said nothing about click==1.0, flask==1.0"),
        (printed(good("click"), {**good("flask"), "version": "2.0"}), "", "said nothing about flask==1.0"),
        (printed(good("click"), {"name": "flask", "skip_reason": "not found"}), "", "not asked about flask: not found"),
    ],
)
def test_what_was_not_asked_about_is_never_good(stdout: str, stderr: str, said: str) -> None:
    with pytest.raises(AuditError, match=said):
        read(stdout, stderr, LOCK, "osv")


def test_program_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="is missing"):
        audit(LOCK, tmp_path / "pip-audit", "osv", "")


def test_program_that_ends_well_and_says_nothing(tmp_path: Path) -> None:
    program = tmp_path / "pip-audit"
    program.write_text("#!/bin/sh\necho 'No known vulnerabilities found' >&2\n", encoding="utf-8")
    program.chmod(stat.S_IRWXU)
    with pytest.raises(AuditError, match="No known vulnerabilities found"):
        audit(LOCK, program, "osv", "")


@pytest.mark.parametrize("name", ["GHSA-m2qf-hxjv-5gpq", "CVE-2023-30861"])
@pytest.mark.parametrize("package", ["", "Flask"])
@pytest.mark.parametrize("until", ["2026-11-23", "2027-01-31"])
def test_accepted_advisory(name: str, package: str, until: str) -> None:
    entries = acceptances([accepted(id=name, package=package, until=until)], "accepted")
    verdict = judge([ADVISORY], entries, TODAY)
    assert verdict.forbidding == ()
    assert [item for item, _why in verdict.accepted] == [ADVISORY]


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"until": "2026-11-22"}, "accepted until 2026-11-22, which is over"),
        ({"id": "CVE-2024-34069"}, ""),
        ({"package": "werkzeug"}, ""),
    ],
)
def test_advisory_that_forbids(changes: dict[str, Any], note: str) -> None:
    verdict = judge([ADVISORY], acceptances([accepted(**changes)], "accepted"), TODAY)
    assert verdict.forbidding == ((ADVISORY, note),)
    assert verdict.accepted == ()


def test_message_names_package_version_and_advisory() -> None:
    assert str(ADVISORY) == "flask 1.0: CVE-2023-30861 (GHSA-m2qf-hxjv-5gpq); fixed in 2.3.2"
    assert str(Advisory("flask", "1.0", "X")) == "flask 1.0: X; no fixed version is known"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (accepted(reason=""), r"accepted\[0\] has no reason"),
        (accepted(until=""), r"accepted\[0\] has no until"),
        ({"reason": "a b c", "until": "2027-01-31"}, r"accepted\[0\] has no id"),
        (accepted(reason="because"), "explains nothing"),
        (accepted(until="soon"), "until is 'soon', not a day"),
        (accepted(expires="2027-01-31"), r"accepted\[0\] has expires"),
    ],
)
def test_acceptance_that_is_wrong(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        acceptances([entry], "accepted")

"""The program that runs on a host, with real files in a folder, and without services."""

from __future__ import annotations

import base64
import grp
import os
import pwd
import signal
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import configuration_host
from ansible_collections.ops.runbook.plugins.module_utils.configuration_basics import EntryError, Mask
from ansible_collections.ops.runbook.plugins.module_utils.configuration_files import temporary
from ansible_collections.ops.runbook.plugins.module_utils.configuration_host import apply, confirm, inspect, roll_back
from ansible_collections.ops.runbook.plugins.module_utils.configuration_kernel import kernel_path
from ansible_collections.ops.runbook.plugins.module_utils.configuration_store import Store

OWNER = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


class Host:
    """A folder as a host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = Store(str(root / "state" / "configuration"))
        (root / "etc").mkdir()
        self.number = 0

    def entry(self, name: str, content: str | None, **further: Any) -> dict[str, Any]:
        """A managed file; None removes it."""
        entry = {
            "kind": "file",
            "name": name,
            "variable": f"managed_files[{name!r}]",
            "path": str(self.root / "etc" / name),
            "mode": "0644",
            **OWNER,
            "validate": [],
            "reload": [],
            "restart": [],
            "secret": False,
            "daemon_reload": False,
        }
        if content is None:
            entry["absent"] = True
        else:
            entry["content"] = base64.b64encode(content.encode()).decode()
        return {**entry, **further}

    def job(self, *entries: dict[str, Any], **further: Any) -> dict[str, Any]:
        """A job with an id of its own."""
        self.number += 1
        job = {"check": False, "run": "r", "time": "t", "ticket": "", "keep": 50, "entries": list(entries)}
        return {**job, "id": f"2026-{self.number:02}", **further}

    def apply(self, *entries: dict[str, Any], confirmed: bool = True, **further: Any) -> dict[str, Any]:
        """Change the host."""
        (self.root / "state").mkdir(exist_ok=True)
        said = apply(self.job(*entries, **further), self.store)
        if confirmed:
            confirm(self.job(), self.store)
        return said

    def files(self) -> dict[str, str]:
        """What is in etc, with hidden files."""
        return {
            str(p.relative_to(self.root / "etc")): p.read_text() for p in (self.root / "etc").rglob("*") if p.is_file()
        }


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(configuration_host, "unit_states", lambda units: {})
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return Host(tmp_path)


def test_success_then_a_second_run_without_a_change(host: Host) -> None:
    entries = [host.entry("a", "1\n", mode="0600"), host.entry("deep/er/b", "2\n")]
    said = host.apply(*entries)
    assert said["changed"]
    assert host.files() == {"a": "1\n", "deep/er/b": "2\n"}
    assert stat.S_IMODE((host.root / "etc/a").stat().st_mode) == 0o600
    assert [version["state"] for version in host.store.versions()] == ["confirmed"]
    assert not host.apply(*entries)["changed"]
    assert len(host.store.versions()) == 1


def test_check_mode_predicts_and_writes_nothing(host: Host) -> None:
    (host.root / "etc/a").write_text("0\n")
    entries = [host.entry("a", "1\n"), host.entry("b", None), host.entry("c", "x\n")]
    before = sorted(str(path) for path in host.root.rglob("*"))
    predicted = apply(host.job(*entries, check=True), host.store)
    assert sorted(str(path) for path in host.root.rglob("*")) == before
    applied = host.apply(*entries)
    assert (predicted["name"], predicted["diff"]) == (applied["name"], applied["diff"])
    assert predicted["name"] == [str(host.root / "etc/a"), str(host.root / "etc/c")]


def test_a_link_stays_and_its_file_is_changed(host: Host) -> None:
    (host.root / "etc/real").write_text("0\n")
    (host.root / "etc/link").symlink_to("real")
    host.apply(host.entry("link", "1\n"))
    assert (host.root / "etc/link").is_symlink()
    assert (host.root / "etc/real").read_text() == "1\n"


def test_rollback_puts_everything_back(host: Host) -> None:
    (host.root / "etc/a").write_text("0\n")
    (host.root / "etc/a").chmod(0o600)
    (host.root / "etc/gone").write_text("here\n")
    entries = [host.entry("a", "1\n"), host.entry("new/b", "2\n"), host.entry("gone", None)]
    host.apply(*entries, confirmed=False)
    assert host.files() == {"a": "1\n", "new/b": "2\n"}
    said = roll_back(host.job(), host.store)
    assert (said["changed"], said["failures"]) == (True, [])
    assert host.files() == {"a": "0\n", "gone": "here\n"}
    assert stat.S_IMODE((host.root / "etc/a").stat().st_mode) == 0o600
    assert not (host.root / "etc/new").exists()
    assert host.store.versions()[0]["state"] == "rolled_back"
    assert roll_back(host.job(), host.store)["changed"] is False
    # What was rolled back is no version to go back from.
    host.apply(host.entry("a", "5\n"))
    host.apply(host.entry("a", "6\n"), confirmed=False)
    roll_back(host.job(), host.store)
    assert host.files()["a"] == "5\n"
    host.apply(restore="previous")
    assert host.files()["a"] == "0\n"


def test_failure_in_the_middle_puts_everything_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    (host.root / "etc/a").write_text("0\n")

    def refuse(_steps: Any) -> dict[str, Any]:
        if host.files()["a"] == "1\n":
            raise EntryError("managed_files['a']", "failed at systemctl reload x.service: no")
        return {}

    monkeypatch.setattr(configuration_host, "take_into_use", refuse)
    said = host.apply(host.entry("a", "1\n"), host.entry("b", "2\n"))
    assert said["put_back"]
    assert said["errors"] == [{"variable": "managed_files['a']", "text": "failed at systemctl reload x.service: no"}]
    assert host.files() == {"a": "0\n"}


def test_interruption_by_a_kill_is_put_back_by_the_next_run(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed between two files, with a third half written."""
    (host.root / "etc/a").write_text("0\n")
    entries = [host.entry("a", "1\n"), host.entry("b", "2\n"), host.entry("c", "3\n")]
    child = os.fork()
    if not child:
        original = configuration_host.install_file

        def die(variable: str, path: str, *rest: Any) -> None:
            if path.endswith("b"):
                Path(temporary(path)).write_text("ha")
                os.kill(os.getpid(), signal.SIGKILL)
            original(variable, path, *rest)

        monkeypatch.setattr(configuration_host, "install_file", die)
        host.apply(*entries)
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert host.files() == {"a": "1\n", ".b.ops-runbook-new": "ha"}
    assert inspect(host.job(*entries), host.store)["unfinished"] == ["2026-01"]
    said = host.apply(entries[0], entries[2])
    assert said["recovered"] == ["2026-01 was interrupted and is put back"]
    assert host.files() == {"a": "1\n", "c": "3\n"}
    assert [version["state"] for version in host.store.versions()] == ["rolled_back", "confirmed"]
    # What was put back does not count: the way back leads to the state before the interrupted change.
    host.apply(restore="previous")
    assert host.files() == {"a": "0\n"}


def test_restore_to_every_version(host: Host) -> None:
    (host.root / "etc/a").write_text("0\n")
    for content in ("1\n", "2\n", "3\n"):
        host.apply(host.entry("a", content), *([host.entry("b", "only in the second\n")] if content == "2\n" else []))
    ids = [version["id"] for version in host.store.versions()]
    for target, files in (
        (ids[1], {"a": "2\n", "b": "only in the second\n"}),
        (ids[0], {"a": "1\n"}),
        ("origin", {"a": "0\n"}),
        (ids[2], {"a": "3\n", "b": "only in the second\n"}),
    ):
        host.apply(restore=target)
        assert host.files() == files, target
    ids = [version["id"] for version in host.store.versions()]
    assert host.apply(restore="previous")["changed"] is False, "a restore is no change to be undone"
    assert [version["id"] for version in host.store.versions()] == ids
    host.apply(restore=ids[-2])
    assert host.files() == {"a": "0\n"}


def test_previous_leads_back_once_and_knows_what_it_undoes(host: Host) -> None:
    (host.root / "etc/a").write_text("0\n")
    host.apply(host.entry("a", "1\n"))
    host.apply(host.entry("a", "2\n"))
    for _time in range(2):
        assert host.store.last_change() == "2026-03"
        host.apply(restore="previous")
        assert host.files() == {"a": "1\n"}
    host.apply(host.entry("a", "3\n"))
    assert host.store.last_change() == host.store.versions()[-1]["id"]
    host.apply(restore="previous")
    assert host.files() == {"a": "1\n"}


def test_what_could_not_be_put_back_stays_unfinished_until_the_next_run(host: Host) -> None:
    (host.root / "etc/a").write_text("0\n")
    host.apply(host.entry("a", "1\n"), confirmed=False)
    for path in (host.root / "state/configuration/objects").iterdir():
        path.unlink()
    failures = roll_back(host.job(), host.store)["failures"]
    assert [text.partition(":")[0] for text in failures] == ["managed_files['a'] cannot be restored"]
    assert inspect(host.job(host.entry("a", "1\n")), host.store)["unfinished"] == ["2026-01"]
    assert host.apply(host.entry("a", "2\n"))["recovered"][0] == "2026-01 was interrupted and is put back"
    assert host.files() == {"a": "2\n"}
    assert [version["state"] for version in host.store.versions()] == ["rolled_back", "confirmed"]


def test_an_altered_object_is_not_restored(host: Host) -> None:
    (host.root / "etc/a").write_text("0\n")
    host.apply(host.entry("a", "1\n"))
    for path in (host.root / "state/configuration/objects").iterdir():
        path.write_text("forged\n")
    with pytest.raises(EntryError, match="was altered"):
        host.apply(restore="previous")
    assert host.files() == {"a": "1\n"}


def test_drift_is_told_from_what_is_not_applied_yet(host: Host) -> None:
    host.apply(host.entry("a", "1\n"), host.entry("b", "1\n"), host.entry("c", "1\n"))
    (host.root / "etc/a").write_text("by hand\n")
    entries = [host.entry("a", "1\n"), host.entry("b", "2\n"), host.entry("new", "1\n")]
    said = inspect(host.job(*entries), host.store)
    rows = {row["name"]: (row["differs"], row["altered"], row["version"]) for row in said["rows"]}
    assert rows == {
        "a": (["content"], True, "2026-01"),
        "b": (["content"], False, "2026-01"),
        "new": (["exists"], False, ""),
    }
    assert [orphan["subject"] for orphan in said["orphans"]] == [str(host.root / "etc/c")]


def test_a_secret_file_shows_that_it_changes_and_nothing_of_it(host: Host) -> None:
    (host.root / "etc/a").write_text("key = OldPlantedValue\n")
    said = host.apply(host.entry("a", "key = NewPlantedValue\n", secret=True))
    assert "PlantedValue" not in str(said)
    assert said["diff"][0]["before"] != said["diff"][0]["after"]
    assert stat.S_IMODE((host.root / "state/configuration/objects").stat().st_mode) == 0o700


def test_a_validator_that_repeats_a_secret_is_masked() -> None:
    mask = Mask()
    mask.learn(b"partner_password = 'Hunter2-long'\nurl=postgres://evidence:Other-pass@db/x\n", "/etc/evidence-api/x")
    said = "line 1: partner_password: unexpected Hunter2-long near 'Other-pass@db' of evidence"
    masked = mask.text(said)
    assert "Hunter2" not in masked
    assert "Other-pass" not in masked
    # What helps to find the place stays.
    assert masked.startswith("line 1: partner_password: unexpected [secret] near")
    assert masked.endswith("of evidence")


def test_what_is_no_file_is_refused(host: Host) -> None:
    (host.root / "etc/folder").mkdir()
    said = host.apply(host.entry("folder", "1\n"), host.entry("a", "1\n"))
    assert said["errors"] == [
        {
            "variable": "managed_files['folder']",
            "text": f"has the path {host.root}/etc/folder, which is no regular file on this host",
        }
    ]
    assert host.files() == {}


def test_an_unknown_owner_is_refused(host: Host) -> None:
    said = host.apply(host.entry("a", "1\n", owner="nobody-of-that-name"))
    assert said["errors"][0]["text"] == "has the owner 'nobody-of-that-name', whom this host does not know"


def test_old_versions_and_their_contents_are_forgotten(host: Host) -> None:
    for number in range(5):
        host.apply(host.entry("a", f"{number}\n"), confirmed=False)
        confirm(host.job(keep=2), host.store)
    assert len(host.store.versions()) == 2
    assert len(list((host.root / "state/configuration/objects").iterdir())) == 3


def test_dots_in_names_of_interfaces() -> None:
    assert kernel_path("net.core.somaxconn") == "/proc/sys/net/core/somaxconn"
    assert kernel_path("net/ipv4/conf/eth0.100/rp_filter") == "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"

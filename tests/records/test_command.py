"""The command runbook-ledger and the module ledger_verify."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

OK = "- name: Say something\n  ansible.builtin.debug: {msg: hello}\n"
VERIFY = """
- name: Verify the ledger
  ops.runbook.ledger_verify:
    path: "{{ copy }}"
  register: result
- name: Show
  ansible.builtin.debug: {var: result}
"""


@pytest.fixture
def recorded(project: Project) -> Project:
    """A project with two runs."""
    project.run(project.playbook(OK, "playbooks/operational_procedures.yml"))
    project.run(project.playbook(OK, "playbooks/maintenance/updates.yml"), "--check")
    return project


def edit(project: Project) -> None:
    content = project.ledger.path.read_text()
    project.ledger.path.write_text(content.replace('"user":', '"who":', 1))


class TestVerify:
    def test_a_whole_ledger(self, recorded: Project) -> None:
        output = recorded.command("verify")
        assert output.startswith("run record verified: 4 entries")
        assert recorded.entries()[-1].hash in output
        assert "not signed" in output

    def test_an_edited_one(self, recorded: Project) -> None:
        edit(recorded)
        assert "edited: the content of entry 1 does not match its hash (line 1)" in recorded.command("verify", code=1)

    def test_none(self, project: Project) -> None:
        assert "absent: there is no ledger" in project.command("verify", code=1)

    def test_the_state_directory_is_that_of_the_run(self, recorded: Project, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        shutil.move(recorded.state, elsewhere)
        recorded.command("verify", code=1)
        recorded.command("verify", "--state-dir", str(elsewhere))
        recorded.environment["RUNBOOK_STATE_DIR"] = str(elsewhere)
        recorded.command("verify")

    def test_who_signed(self, project: Project) -> None:
        key = project.root / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        signers = project.write("signers", f"jane@example.org {key.with_suffix('.pub').read_text()}")
        with (project.root / "ansible.cfg").open("a") as config:
            config.write("signing_key = key\n")
        project.run(project.playbook(OK))
        assert "signed, but by whom was not checked" in project.command("verify")
        output = project.command("verify", "--allowed-signers", str(signers), "--every-signature")
        assert "signed by jane@example.org" in output
        assert "no signature" not in output
        signers.write_text(signers.read_text().replace("jane", "joe").replace("AAAAI", "AAAAJ"))
        assert "bad signature" in project.command("verify", "--allowed-signers", str(signers), code=1)


class TestList:
    def test_the_newest_run_comes_first(self, recorded: Project) -> None:
        header, first, second = recorded.command("list").splitlines()
        assert header.split() == ["TIME", "(UTC)", "PROCEDURE", "OUTCOME", "WHO", "HOSTS", "DURATION", "CHANGED", "RUN"]
        assert "maintenance/updates" in first
        assert "succeeded (check)" in first
        assert second.split()[2:4] == ["operational_procedures", "succeeded"]
        assert second.split()[5] == "2"
        assert len(recorded.command("list", "-n", "1").splitlines()) == 2

    def test_without_a_ledger(self, project: Project) -> None:
        assert "no run was recorded" in project.command("list", code=1)

    def test_a_broken_ledger_says_so(self, recorded: Project) -> None:
        with recorded.ledger.path.open("a") as file:
            file.write("nonsense\n")
        assert "runbook-ledger verify" in recorded.command("list", code=1)


class TestShow:
    def test_a_record_is_json(self, recorded: Project) -> None:
        run_id = recorded.entries()[0].run_id
        record = json.loads(recorded.command("show", run_id[:8]))
        assert (record["run_id"], record["procedure"]) == (run_id, "operational_procedures")

    def test_an_unknown_run(self, recorded: Project) -> None:
        assert "no run" in recorded.command("show", "xyz", code=2)

    def test_an_ambiguous_run(self, recorded: Project) -> None:
        assert "is ambiguous" in recorded.command("show", "", code=2)


class TestModule:
    @pytest.mark.parametrize("arguments", [(), ("--check",)])
    def test_a_whole_copy(self, recorded: Project, tmp_path: Path, arguments: tuple[str, ...]) -> None:
        copy = tmp_path / "copy"
        copy.mkdir()
        for path in (recorded.ledger.path, recorded.ledger.head_path):
            shutil.copy(path, copy)
        before = {path.name: path.read_bytes() for path in copy.iterdir()}
        output = recorded.run(recorded.playbook(VERIFY, hosts="app1"), "-e", f"copy={copy}", *arguments)
        assert '"entries": 4' in output
        assert '"changed": false' in output
        assert {path.name: path.read_bytes() for path in copy.iterdir()} == before

    def test_a_damaged_copy(self, recorded: Project, tmp_path: Path) -> None:
        edit(recorded)
        copy = tmp_path / "copy"
        shutil.copytree(recorded.state / "ledger", copy)
        shutil.rmtree(recorded.state)
        output = recorded.run(recorded.playbook(VERIFY, hosts="app1"), "-e", f"copy={copy}", code=2)
        assert "ledger is not verified: edited: the content of entry 1" in output
        assert '"kind": "edited"' in output

    def test_no_copy(self, project: Project) -> None:
        output = project.run(project.playbook(VERIFY, hosts="app1"), "-e", "copy=/nowhere/ledger", code=2)
        assert "there is no ledger in /nowhere/ledger" in output

    def test_signers_that_are_not_there(self, recorded: Project) -> None:
        tasks = VERIFY.replace('path: "{{ copy }}"', 'path: "{{ copy }}"\n    allowed_signers: /nowhere/signers')
        path = recorded.playbook(tasks, hosts="app1")
        output = recorded.run(path, "-e", f"copy={recorded.ledger.directory}", code=2)
        assert "carries no signature" in output

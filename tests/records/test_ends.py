"""Runs that are refused before the first task, and runs that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.ledger_verifier import verify

if TYPE_CHECKING:
    from conftest import Project

TOUCH = """
- name: Touch
  ansible.builtin.file: {path: "{{ playbook_dir }}/touched", state: touch, mode: "0600"}
"""
SLEEP = (
    TOUCH
    + """
- name: Wait
  ansible.builtin.shell: "touch '{{ playbook_dir }}/waiting'; exec sleep 30"
  changed_when: false
"""
)


class TestNoHosts:
    def test_a_run_without_hosts_is_refused(self, project: Project) -> None:
        output = project.run(project.playbook(TOUCH, hosts="platfrom"), code=2)
        assert "No host matches 'platfrom', so nothing was done." in output
        assert "all, app, platform, ungrouped" in output
        record = project.record()
        assert (record["outcome"], record["unmatched"], record["exit"]["code"]) == ("refused", ["platfrom"], 2)
        assert verify(project.ledger.directory).ok

    def test_the_next_playbook_does_not_run(self, project: Project) -> None:
        empty = project.playbook(TOUCH, "playbooks/empty.yml", hosts="platfrom")
        project.run(empty, project.playbook(TOUCH), code=2)
        assert project.kinds() == ["started", "finished"]
        assert not (project.root / "playbooks/touched").exists()

    @pytest.mark.parametrize("order", [0, 1])
    def test_one_play_with_hosts_is_enough(self, project: Project, order: int) -> None:
        path = project.playbook(TOUCH, hosts="app1")
        play = "- name: Nobody\n  hosts: nobody\n  tasks: []\n"
        text = (project.root / path).read_text()
        project.write(path, play + text if order else text + play)
        project.run(path)
        record = project.record()
        assert (record["outcome"], record["unmatched"]) == ("succeeded", ["nobody"])

    def test_a_play_without_tasks_for_its_hosts_is_no_refusal(self, project: Project) -> None:
        project.run(project.playbook(TOUCH), "--tags", "nothing")
        assert project.record()["outcome"] == "succeeded"


class TestNoRecord:
    def refused(self, project: Project, message: str) -> None:
        output = project.run(project.playbook(TOUCH), code=1)
        assert "The run does not start, because it cannot be recorded" in output
        assert message in output
        assert not (project.root / "playbooks/touched").exists()

    def test_without_a_place_for_it_nothing_runs(self, project: Project) -> None:
        project.write("state", "a file stands where the directory should be")
        self.refused(project, "Not a directory")
        (project.root / "state").unlink()

    def test_with_a_damaged_ledger_nothing_runs(self, project: Project) -> None:
        project.run(project.playbook(TOUCH, "playbooks/before/test.yml"))
        content = project.ledger.path.read_bytes()
        project.ledger.path.write_bytes(content[: len(content) // 2])
        self.refused(project, "runbook-ledger restart")
        assert "truncated" in project.command("verify", code=1)
        project.command("restart", "--reason", "half of it was lost")
        project.run(project.playbook(TOUCH))
        assert project.kinds() == ["restarted", "started", "finished"]
        first = project.entries()[0].body
        assert first["reason"] == "half of it was lost"
        assert (project.ledger.directory / first["set_aside"] / "ledger.jsonl").exists()

    def test_without_its_signing_key_nothing_runs(self, project: Project) -> None:
        project.environment["RUNBOOK_SIGNING_KEY"] = str(project.root / "nokey")
        self.refused(project, "cannot be signed")

    def test_an_end_that_cannot_be_recorded_fails_the_run(self, project: Project) -> None:
        path = project.playbook(
            "- name: Remove the checkpoint\n  ansible.builtin.file: {path: ../state/ledger/head.json, state: absent}\n"
        )
        text = (project.root / path).read_text().replace("../state", f"{project.root}/state")
        project.write(path, text)
        output = project.run(path, "--limit", "app1", code=1)
        assert "is not recorded" in output
        assert "head.json is missing" in output


class TestInterruption:
    def start(self, project: Project) -> subprocess.Popen[str]:
        process = project.start(project.playbook(SLEEP, hosts="app1"))
        # The first task has ended when the second one runs.
        project.wait_for("playbooks/waiting", process)
        return process

    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGINT, 99), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)]
    )
    def test_a_signal_is_recorded(self, project: Project, number: signal.Signals, code: int) -> None:
        process = self.start(project)
        # A terminal sends Ctrl-C to the whole group; a supervisor its signal to the one process.
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == code, output
        assert project.kinds() == ["started", "interrupted"]
        record = project.record()
        assert (record["outcome"], record["exit"]["meaning"]) == ("interrupted", number.name)
        assert [change["task"] for change in record["changes"]] == ["Touch"]
        assert verify(project.ledger.directory).ok

    def test_a_second_ctrl_c_does_not_prevent_the_record(self, project: Project) -> None:
        process = self.start(project)
        os.killpg(process.pid, signal.SIGINT)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        assert project.kinds() == ["started", "interrupted"]

    def test_a_signal_while_an_entry_is_written_waits_for_it(self, project: Project) -> None:
        """A slow signature stands for any slow disk."""
        slow = project.write(
            "bin/ssh-keygen", "#!/bin/sh\ntouch signing\nsleep 1\necho '-----BEGIN SSH SIGNATURE-----'\n"
        )
        slow.chmod(0o755)
        environment = {"RUNBOOK_SIGNING_KEY": "key", "PATH": f"{slow.parent}:{project.environment['PATH']}"}
        process = project.start(project.playbook(TOUCH), environment=environment)
        project.wait_for("signing", process)
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode != 0
        assert not (project.root / "playbooks/touched").exists()
        assert project.kinds() == ["started", "interrupted"]
        assert verify(project.ledger.directory).ok

    def test_an_ignored_signal_stays_ignored(self, project: Project) -> None:
        path = project.playbook(TOUCH + "- name: Wait\n  ansible.builtin.command: sleep 1\n", hosts="app1")
        previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            process = project.start(path)
        finally:
            signal.signal(signal.SIGHUP, previous)
        project.wait_for("playbooks/touched", process)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert project.record()["outcome"] == "succeeded"

    def test_a_killed_run_is_interrupted(self, project: Project) -> None:
        process = self.start(project)
        assert project.command("list").splitlines()[1].split()[3] == "running"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
        # Seen before anybody has written it down …
        assert project.kinds() == ["started"]
        assert project.command("list").splitlines()[1].split()[3] == "interrupted"
        killed = project.entries()[0].run_id
        # … and written down by the next run.
        project.run(project.playbook(TOUCH, "playbooks/next.yml"))
        entries = project.entries()
        assert [entry.kind for entry in entries] == ["started", "interrupted", "started", "finished"]
        assert entries[1].run_id == killed
        assert entries[1].body["outcome"] == "interrupted"
        assert verify(project.ledger.directory).ok
        assert '"procedure": "test"' in project.command("show", killed)

    def test_a_run_that_goes_on_is_left_alone(self, project: Project) -> None:
        process = self.start(project)
        project.run(project.playbook(TOUCH, "playbooks/next.yml"))
        assert project.kinds() == ["started", "started", "finished"]
        process.terminate()
        process.communicate(timeout=60)
        assert project.kinds() == ["started", "started", "finished", "interrupted"]
        assert verify(project.ledger.directory).ok

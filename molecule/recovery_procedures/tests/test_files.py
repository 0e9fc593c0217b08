"""Files come back as they were in a snapshot: content, owner, mode and links; what fails is undone."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from backups import side_by_side
from interruption_files import (
    AS_INTRUDED,
    OPTIONS,
    SNAPSHOTS,
    assert_converged,
    given,
    intrude,
)

from tests.scenario import Procedure, changed_files, files, on_all, same_changes, shell

HOSTS = ("proxy1", "app1")
DAMAGE = """
echo 'server { nonsense }' > /etc/nginx/conf.d/broken.conf
echo 'worker_processes lots;' > /etc/nginx/nginx.conf
rm /etc/nginx/sites-enabled/default
"""
ITEM = "/srv/items/2.json"
OTHER = f"""
chmod 0777 /srv/items/1.json
echo '{{"document": "forged"}}' > {ITEM}
"""
OWN = "/var/lib/ops-runbook"
FOLDER = "/srv/items/folder [1]*"
DRAFT = ".ops-runbook-restored"
#: Runs, and has nothing that would make it read anything anew.
UNRELOADABLE = "systemd-journald.service"


@pytest.fixture(scope="module")
def damaged() -> None:
    on_all(lambda host: shell(host, SNAPSHOTS + OTHER), HOSTS)
    shell("proxy1", DAMAGE)


@pytest.mark.usefixtures("damaged")
def test_failure_of_the_verification_puts_the_files_back(restore_files: Procedure) -> None:
    """The file that nobody has a snapshot of keeps nginx from working: what was restored is undone."""
    before = files("proxy1")
    outcome = restore_files.run(*given(paths=["/etc/nginx"], verify=[["nginx", "-t"]]))
    assert outcome.record["outcome"] == "rolled_back"
    # The procedure's own folder, which is empty again, stays.
    assert {path for path in changed_files(before, files("proxy1")) if not path.startswith(OWN)} == set()


@pytest.mark.usefixtures("damaged")
def test_check_mode_predicts_and_success_restores_a_folder(restore_files: Procedure) -> None:
    """What comes back and what is lost is said before anything is touched: a link is missing, a file is replaced."""
    shell("proxy1", "rm /etc/nginx/conf.d/broken.conf; touch -d '2026-01-02 03:04:05Z' /etc/nginx/nginx.conf")
    before = files("proxy1")
    predicted = restore_files.run("--check", *OPTIONS)
    assert changed_files(before, files("proxy1"), touched=True) == {}
    applied = restore_files.run(*OPTIONS)
    assert applied.returncode == 0, applied.output
    put_back = [name for name in applied.changes if "Replace what differs" in name.task]
    assert put_back == [name for name in predicted.changes if "Replace what differs" in name.task]
    assert "/etc/nginx/nginx.conf" in put_back[0].subject
    assert same_changes(predicted, applied).not_applied == ()
    size = shell("proxy1", "nginx -t -q; test -L /etc/nginx/sites-enabled/default; stat -c %s /etc/nginx/nginx.conf")
    for run in (predicted, applied):
        estimate = run.output.partition("Show what the restore costs")[2].partition("Replace what differs")[0]
        assert f"files that come back: 2 with {size.strip()} bytes, in about " in estimate, run.output
        assert "lost but for a copy in /var/lib/ops-runbook/file-restore: 1 with 23 bytes, the newest of " in estimate
        assert "the newest of 2026-01-02 03:04:05 UTC" in estimate
    again = restore_files.run(*OPTIONS)
    assert (again.returncode, again.changes) == (0, ())


@pytest.mark.usefixtures("damaged")
def test_success_of_a_lost_folder_and_failure_takes_it_away_again(restore_files: Procedure) -> None:
    """All of it comes back at once, with owners, modes and links, whatever its name is."""
    given_folder = partial(given, "app1", paths=[FOLDER], tag="configuration")
    shell("app1", f"rm -r '{FOLDER}'")
    failed = restore_files.run(*given_folder(verify=[["false"]]))
    assert failed.record["outcome"] == "rolled_back"
    shell("app1", f"! test -e '{FOLDER}'")
    before = files("app1")
    predicted = restore_files.run("--check", *given_folder())
    assert changed_files(before, files("app1"), touched=True) == {}
    applied = restore_files.run(*given_folder())
    assert applied.returncode == 0, applied.output
    assert same_changes(predicted, applied).not_applied == ()
    state = shell("app1", f"cd '{FOLDER}'; stat -c '%n %U %a' . 3.json; readlink newest; ls -A /srv/items")
    assert state.split("\n")[:3] == [". nobody 750", "3.json nobody 644", "3.json"]
    assert DRAFT not in state
    again = restore_files.run(*given_folder())
    assert (again.returncode, again.changes) == (0, ())


@pytest.mark.usefixtures("damaged")
def test_interruption_leaves_verifying_and_reloading_to_the_next_run(restore_files: Procedure) -> None:
    """Killed when the files are back: nothing differs any more, and nginx still answers as it was told before."""
    intrude()
    killed = restore_files.killed_at("Replace what differs", *OPTIONS)
    assert killed.killed
    # What is wrong with it is found by the next run, which puts back what both have replaced: nginx reads that again,
    # too, although the second unit cannot be reloaded.
    failed = restore_files.run(*given(paths=[ITEM], reload=[UNRELOADABLE]))
    assert failed.record["outcome"] == "rolled_back", failed.output
    assert f"{UNRELOADABLE} could not be reloaded with them" in " ".join(failed.output.split())
    shell("proxy1", f"grep -q 8099 /etc/nginx/nginx.conf; grep -q forged {ITEM}")
    shell("proxy1", AS_INTRUDED)
    assert restore_files.killed_at("Replace what differs", *OPTIONS).killed
    outcome = restore_files.run(*OPTIONS)
    assert outcome.returncode == 0, outcome.output
    assert [change.task.rpartition(" | ")[2] for change in outcome.changes] == ["Reload"]
    assert "this run goes on with it, verifies and reloads" in outcome.output
    assert_converged()


@pytest.mark.usefixtures("damaged")
def test_failure_on_a_later_host_says_who_keeps_the_restored_files(restore_files: Procedure) -> None:
    """The app host was verified and keeps its files; the proxy, which has what must not be there, gets its own back."""
    before = files("proxy1")
    outcome = restore_files.run(*given("app1,proxy1", paths=[ITEM], verify=[["test", "!", "-e", "/etc/nginx"]]))
    assert outcome.record["outcome"] == "failed", outcome.output
    assert "proxy1 has its former files again; app1 keep those of the snapshot" in outcome.output
    assert shell("app1", f"cat {ITEM}") == '{"document": 2}\n'
    assert {path for path in changed_files(before, files("proxy1")) if not path.startswith(OWN)} == set()
    again = restore_files.run(*given("app1,proxy1", paths=[ITEM]))
    assert again.returncode == 0, again.output
    assert [change.host for change in again.changes] == ["proxy1"]
    assert shell("proxy1", f"cat {ITEM}") == '{"document": 2}\n'


@pytest.mark.usefixtures("damaged")
def test_success_of_one_item_alone_from_an_older_snapshot(restore_files: Procedure) -> None:
    listed = 'set -a; . /etc/restic/environment; restic snapshots --tag drafts --json | grep -o \'"short_id":"[^"]*\''
    drafts = shell("proxy1", listed).rpartition('"')[2].strip()
    outcome = restore_files.run(*given(paths=[ITEM], snapshot=drafts))
    assert outcome.returncode == 0, outcome.output
    assert shell("proxy1", f"cat {ITEM}") == '{"draft": 2}\n'
    assert shell("proxy1", "stat -c %a /srv/items/1.json") == "777\n"


@pytest.mark.usefixtures("damaged")
def test_bad_input_names_the_snapshots(restore_files: Procedure) -> None:
    cases: dict[str, dict[str, Any]] = {
        "there is no snapshot 'abcdef'. There are: ": {"paths": [ITEM], "snapshot": "abcdef"},
        "has no /etc/nowhere": {"paths": ["/etc/nowhere"]},
        "give files or folders as absolute paths": {"paths": []},
    }
    outcomes = side_by_side(restore_files, [given(**values) for values in cases.values()])
    for words, outcome in zip(cases, outcomes, strict=True):
        assert outcome.record["outcome"] == "refused", outcome.output
        assert words in outcome.output


@pytest.mark.parametrize("task", ["restore | Replace what differs", "restore | Verify"], ids=["replace", "verify"])
@pytest.mark.usefixtures("damaged")
def test_failure_by_loss_of_the_host_is_said_and_the_next_run_goes_on(restore_files: Procedure, task: str) -> None:
    intrude()
    lost = restore_files.losing("proxy1", task, *OPTIONS)
    assert (lost.returncode, lost.record["outcome"]) == (2, "failed"), lost.output
    assert "proxy1 did not get its former files back (proxy1 is lost: " in str(lost.record["failures"])
    again = restore_files.run(*OPTIONS)
    assert again.returncode == 0, again.output
    assert_converged()

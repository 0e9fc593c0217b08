"""Files come back as they were in a snapshot: content, owner, mode and links; what fails is undone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.scenario import ROOT, Procedure, changed_files, files, same_changes, shell

SNAPSHOT = """
mkdir -p /etc/restic /srv/items
printf '%s\\n' RESTIC_REPOSITORY=/var/lib/snapshots RESTIC_PASSWORD=of-this-test RESTIC_CACHE_DIR=/var/cache/restic \
    > /etc/restic/environment
set -a
. /etc/restic/environment
echo '{"document": 1}' > /srv/items/1.json
echo '{"document": 2}' > /srv/items/2.json
chmod 0440 /srv/items/1.json
restic init > /dev/null
restic backup --quiet --tag configuration /etc/nginx /srv/items
"""
DAMAGE = """
echo 'server { nonsense }' > /etc/nginx/conf.d/broken.conf
echo 'worker_processes lots;' > /etc/nginx/nginx.conf
rm /etc/nginx/sites-enabled/default
chmod 0777 /srv/items/1.json
echo '{"document": "forged"}' > /srv/items/2.json
"""
ITEM = "/srv/items/2.json"
OWN = "/var/lib/ops-runbook"


@pytest.fixture(scope="module")
def restore_files(state: Path) -> Procedure:
    return Procedure("backup_recovery/recovery_procedures_files", (ROOT / "inventories/lab",), state)


@pytest.fixture(scope="module")
def damaged() -> None:
    shell("proxy1", SNAPSHOT)
    shell("proxy1", DAMAGE)


def given(**values: Any) -> tuple[str, ...]:
    """Options of a run on the proxy: the role's variables."""
    own = {f"file_restore_{name}": value for name, value in {"snapshot": "latest", **values}.items()}
    return "--limit", "proxy1", "--extra-vars", json.dumps(own)


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
    shell("proxy1", "rm /etc/nginx/conf.d/broken.conf")
    options = given(paths=["/etc/nginx"], tag="configuration", verify=[["nginx", "-t"]], reload=["nginx.service"])
    before = files("proxy1")
    predicted = restore_files.run("--check", *options)
    assert changed_files(before, files("proxy1"), touched=True) == {}
    applied = restore_files.run(*options)
    assert applied.returncode == 0, applied.output
    put_back = [name for name in applied.changes if "Replace what differs" in name.task]
    assert put_back == [name for name in predicted.changes if "Replace what differs" in name.task]
    assert "/etc/nginx/nginx.conf" in put_back[0].subject
    assert same_changes(predicted, applied).not_applied == ()
    shell("proxy1", "nginx -t -q; test -L /etc/nginx/sites-enabled/default")
    again = restore_files.run(*options)
    assert (again.returncode, again.changes) == (0, ())


@pytest.mark.usefixtures("damaged")
def test_success_of_one_item_alone(restore_files: Procedure) -> None:
    outcome = restore_files.run(*given(paths=[ITEM]))
    assert outcome.returncode == 0, outcome.output
    assert shell("proxy1", f"cat {ITEM}") == '{"document": 2}\n'
    assert shell("proxy1", "stat -c %a /srv/items/1.json") == "777\n"


@pytest.mark.usefixtures("damaged")
def test_bad_input_names_the_snapshots(restore_files: Procedure) -> None:
    for values, words in (
        ({"paths": [ITEM], "snapshot": "abcdef"}, "there is no snapshot 'abcdef'. There are: "),
        ({"paths": ["/etc/nowhere"]}, "has no /etc/nowhere"),
        ({"paths": []}, "give files or folders as absolute paths"),
    ):
        outcome = restore_files.run(*given(**values))
        assert outcome.record["outcome"] == "refused", outcome.output
        assert words in outcome.output

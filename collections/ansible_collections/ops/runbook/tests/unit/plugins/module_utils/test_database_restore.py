# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restore goes on from where it stopped, goes back without a trace, and leaves no residue of recovery."""

from __future__ import annotations

import errno
import getpass
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import database_restore
from ansible_collections.ops.runbook.plugins.module_utils.database_restore import (
    Restore,
    RestoreError,
    Server,
    State,
    move,
    permitted,
    times,
    under_lock,
)
from ansible_collections.ops.runbook.plugins.module_utils.drill_rehearsal import MARK, Rehearsal

JOB = {"run": "f" * 32, "wish": "latest", "stanza": "evidence", "estimate": {"backup": "A", "timeline": 1}}


class Programs:
    """Programs of a host that only say that they were called; cp really copies."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def __call__(self, words: list[str], cwd: str = "/") -> tuple[int, str, str]:
        self.called.append(" ".join(words))
        if words[0] == "cp":
            shutil.copytree(words[-2], words[-1], symlinks=True)
        return (1 if words[0].endswith("pg_isready") or words[-1] == "status" else 0), "", ""


@pytest.fixture
def programs() -> Programs:
    return Programs()


@pytest.fixture
def server(tmp_path: Path, programs: Programs) -> Server:
    data = tmp_path / "main"
    data.mkdir()
    (data / "PG_VERSION").write_text("15\n", encoding="ascii")
    cluster = {"cluster": "15/main", "port": 5432, "owner": getpass.getuser(), "data": str(data)}
    return Server(programs, cluster)


def fetched(server: Server, *_ignored: Any) -> None:
    (server.data / "PG_VERSION").write_text("restored\n", encoding="ascii")


def test_the_former_database_stays_and_comes_back(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_restore, "fetch", fetched)
    monkeypatch.setattr(Server, "start", lambda _self: None)
    state = State(tmp_path / "state.json")
    assert Restore(server, state, JOB).restore()
    aside = tmp_path / "main.before-ffffffff"
    assert (aside / "PG_VERSION").read_text(encoding="ascii") == "15\n"
    assert (server.data / "PG_VERSION").read_text(encoding="ascii") == "restored\n"
    assert not Restore(server, State(tmp_path / "state.json"), JOB).restore()
    assert Restore(server, state, JOB).rollback()
    assert (server.data / "PG_VERSION").read_text(encoding="ascii") == "15\n"
    assert not aside.exists()
    assert not (tmp_path / "state.json").exists()
    assert not Restore(server, State(tmp_path / "state.json"), JOB).rollback()


def test_an_interrupted_fetch_is_made_anew(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(server: Server, *_ignored: Any) -> None:
        (server.data / "half").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(database_restore, "fetch", killed)
    with pytest.raises(KeyboardInterrupt):
        Restore(server, State(tmp_path / "state.json"), JOB).restore()
    monkeypatch.setattr(database_restore, "fetch", fetched)
    state = State(tmp_path / "state.json")
    assert state.data["phase"] == "aside"
    assert Restore(server, state, {**JOB, "run": "e" * 32}).restore()
    assert [path.name for path in server.data.iterdir()] == ["PG_VERSION"]
    assert (tmp_path / "main.before-ffffffff/PG_VERSION").read_text(encoding="ascii") == "15\n"


def test_a_concluded_restore_is_kept(server: Server, tmp_path: Path) -> None:
    state = State(tmp_path / "state.json")
    state.save(phase="concluded", wish="latest", run="a", aside=str(tmp_path / "x"))
    assert not Restore(server, state, JOB).rollback()
    assert Restore(server, state, JOB).begin()
    assert (state.data["phase"], state.data["run"]) == ("begun", "f" * 32)


def test_standbys_are_kept_away_until_the_database_is_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where opening was interrupted after they were."""
    asked: list[str] = []

    def ask(_self: Server, query: str, database: str = "postgres") -> str:
        asked.append(query)
        return '["replicator"]' if "rolreplication" in query and asked.count(query) == 1 else "[]"

    monkeypatch.setattr(Server, "ask", ask)
    monkeypatch.setattr(Server, "start", lambda _self: None)
    monkeypatch.setattr(database_restore, "modifications", lambda *_ignored: 0)
    state = State(tmp_path / "state.json")
    state.save(phase="verified", run="a", aside=str(tmp_path / "x"))
    monkeypatch.setattr(database_restore, "requests", lambda _urls: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Restore(server, state, JOB).open()
    monkeypatch.setattr(database_restore, "requests", lambda _urls: None)
    Restore(server, State(state.path), JOB).open()
    assert [query for query in asked if query.startswith("ALTER")] == ["ALTER ROLE replicator NOLOGIN"] * 2
    Restore(server, State(state.path), JOB).conclude()
    assert [query for query in asked if query.startswith("ALTER")][2:] == ["ALTER ROLE replicator LOGIN"]


def test_residue_of_recovery_is_removed_and_other_settings_stay(server: Server) -> None:
    path = server.data / "postgresql.auto.conf"
    lines = [
        "# Do not edit this file manually!",
        "work_mem = '8MB'",
        "# Recovery settings generated by pgBackRest restore on 2026-11-23 21:28:30",
        "restore_command = 'pgbackrest archive-get %f \"%p\"'",
        "recovery_target_time = '2026-11-23 21:28:30'",
        "primary_conninfo = 'host=db1'",
        "primary_slot_name = 'db2'",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    server.clean(archive_command="")
    expected = ["# Do not edit this file manually!", "work_mem = '8MB'", "archive_command = ''"]
    assert path.read_text(encoding="utf-8").splitlines() == expected
    server.clean()
    assert path.read_text(encoding="utf-8").splitlines() == expected[:2]


def test_what_cannot_be_renamed_is_copied(
    server: Server, programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def refused(self: Path, target: Path) -> Path:
        if self.name == "main":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    (tmp_path / "aside.partial").mkdir()  # of an interrupted copy
    move(server, server.data, tmp_path / "aside")
    assert (tmp_path / "aside/PG_VERSION").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aside"]
    assert programs.called[0].startswith("cp -a")


def test_times_of_the_parts() -> None:
    state = {"stopped": 100.0, "fetched": 104.5, "verified": 110.0, "opened": 111.0}
    assert times(state) == {"fetched": 4.5, "verified": 5.5, "opened": 1.0, "away": 11.0}
    assert times({}) == {}


def test_two_programs_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "restore/state.json"
    with under_lock(path) as state:
        state.save(phase="begun")
    assert json.loads(path.read_text(encoding="utf-8")) == {"phase": "begun"}


def test_a_rehearsal_empties_no_folder_of_others(tmp_path: Path, programs: Programs) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    (folder / "precious").touch()
    rehearsal = Rehearsal(programs, folder, "15", getpass.getuser())
    with pytest.raises(RestoreError, match="is not empty and is no rehearsal's: it holds precious"):
        rehearsal.prepare()
    assert (folder / "precious").exists()
    (folder / MARK).touch()
    assert rehearsal.prepare()
    assert sorted(path.name for path in folder.iterdir()) == [MARK, "data"]
    assert rehearsal.remove()
    assert not folder.exists()


def test_a_host_without_a_database_gets_the_folder_from_its_owner(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_restore, "fetch", fetched)
    server.data = tmp_path / "15/main"
    assert Restore(server, State(tmp_path / "state.json"), JOB).restore()
    assert (tmp_path / "15").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "15").owner() == server.owner
    assert (server.data / "PG_VERSION").read_text(encoding="ascii") == "restored\n"


def test_a_primary_starts_alone_only_as_long_as_it_has_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    permission = tmp_path / "run/start-as-primary"
    monkeypatch.setattr(database_restore, "ALONE", permission)
    with permitted(alone=False):
        assert not permission.exists()
    with permitted(alone=True):
        assert permission.exists()
    assert not permission.exists()

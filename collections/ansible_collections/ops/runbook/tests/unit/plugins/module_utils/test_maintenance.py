"""The areas of routine maintenance on folders of their own; the scenario shows them on real hosts."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.ops.runbook.plugins.module_utils import maintenance, maintenance_files, maintenance_packages
from ansible_collections.ops.runbook.plugins.module_utils.maintenance import Item, MaintenanceError, Remover, real_root
from ansible_collections.ops.runbook.plugins.module_utils.maintenance_files import (
    ROTATED,
    Journal,
    Logs,
    Releases,
    Temporary,
    newest_entry,
)
from ansible_collections.ops.runbook.plugins.module_utils.maintenance_packages import Orphans, PackageCache
from ansible_collections.ops.runbook.plugins.module_utils.maintenance_postgresql import PostgreSQL
from ansible_collections.ops.runbook.plugins.plugin_utils.maintenance_options import Options

DAY = 86400.0
DEFAULTS = Path(__file__).resolve().parents[8] / "roles/routine_maintenance/defaults/main.yml"


def subjects(items: list[Item], root: Path) -> set[str]:
    return {str(Path(item.subject).relative_to(root)) for item in items}


def aged(path: Path, days: float, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(text, encoding="ascii")
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


# Journals


def journal(path: Path, tail_days: float, entries: int = 1) -> Path:
    header = bytearray(b"LPKSHHRH" + bytes(192 - 8))
    struct.pack_into("<Q", header, 152, entries)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + struct.pack("<Q", int((time.time() - tail_days * DAY) * 1e6)) + bytes(100_000))
    return path


@pytest.fixture
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(maintenance_files, "JOURNALS", (str(tmp_path),))
    return tmp_path / "machine"


def plan_journal(promise: float, keep: float, size: float) -> tuple[Journal, list[Item]]:
    area = Journal({"promise": promise * DAY, "keep": keep * DAY, "size": size})
    return area, area.plan()


def test_journal_is_judged_by_its_newest_entry(journals: Path) -> None:
    journal(journals / "system@old.journal", 500)
    aged(journal(journals / "system@young.journal", 399), 500)
    journal(journals / "user-1000@old.journal~", 401)
    journal(journals / "system.journal", 500)
    _area, items = plan_journal(400, 400, 1e12)
    assert subjects(items, journals) == {"system@old.journal", "user-1000@old.journal~"}


def test_over_its_size_the_oldest_go_but_never_what_is_promised(journals: Path) -> None:
    for days in (500, 300, 200, 50):
        journal(journals / f"system@{days}.journal", days)
    each = (journals / "system@50.journal").stat().st_blocks * 512
    area, items = plan_journal(100, 400, 2 * each)
    assert [Path(item.subject).name for item in items] == ["system@500.journal", "system@300.journal"]
    assert area.notes == []
    area, items = plan_journal(250, 400, each)
    assert [Path(item.subject).name for item in items] == ["system@500.journal", "system@300.journal"]
    assert area.notes[0][0] == "log retention"


def test_what_is_no_journal_is_judged_by_its_age(journals: Path) -> None:
    aged(journals / "system@short.journal", 500)
    aged(journals / "system@new.journal", 1)
    _area, items = plan_journal(400, 400, 1e12)
    assert subjects(items, journals) == {"system@short.journal"}
    assert newest_entry(str(journals / "system@short.journal")) is None
    assert newest_entry(str(journal(journals / "empty.journal", 5, entries=0))) is None


# Logs


@pytest.mark.parametrize(
    "name",
    ["syslog.1", "syslog.2.gz", "app.log-20250101", "app-20250101.gz", "app.log.20250101-12", "x.old", "a.log.xz"],
)
def test_rotated_names(name: str) -> None:
    assert ROTATED.search(name)


@pytest.mark.parametrize("name", ["syslog", "app.log", "postgresql-15-main.log", "wtmp", "access_log"])
def test_live_names(name: str) -> None:
    assert not ROTATED.search(name)


def test_old_rotated_logs_go_unless_open(tmp_path: Path) -> None:
    for name, days in {"a.log.1": 401, "a.log.2.gz": 399, "a.log": 500, "sub/b.log.1": 401, "held.log.1": 401}.items():
        aged(tmp_path / name, days)
    (tmp_path / "link.1").symlink_to("/etc/passwd")
    options = {"keep": 400 * DAY, "paths": [str(tmp_path)], "roots": [str(tmp_path)]}
    with (tmp_path / "held.log.1").open(encoding="ascii"):
        assert subjects(Logs(options).plan(), tmp_path) == {"a.log.1", "sub/b.log.1"}
    area = Logs(options)
    items = area.plan()
    area.apply(items)
    assert subjects(items, tmp_path) == {"a.log.1", "sub/b.log.1", "held.log.1"}
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["a.log", "a.log.2.gz", "link.1"]


def test_a_folder_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logs").symlink_to("/etc")
    with pytest.raises(MaintenanceError, match="leads to /etc, outside"):
        real_root(str(tmp_path / "logs"), [str(tmp_path)], "routine_maintenance_log_paths")


# Temporary files


def temporary(root: Path, later: float, exclude: list[str] | None = None) -> Temporary:
    """The area ten days' age, looked at that many days from now: nobody can make a file's ctime old."""
    area = Temporary({"paths": {str(root): 10 * DAY}, "roots": [str(root)], "exclude": exclude or []})
    area._now = time.time() + later * DAY
    return area


def test_temporary_files_go_when_nobody_has_touched_them(tmp_path: Path) -> None:
    aged(tmp_path / "copied-with-its-old-time", 100)
    assert temporary(tmp_path, 0).plan() == []
    (tmp_path / "folder/sub").mkdir(parents=True)
    aged(tmp_path / "folder/old", 0)
    (tmp_path / "kept").mkdir()
    aged(tmp_path / "kept/new", -5)
    aged(tmp_path / "systemd-private-x/file", 0)
    aged(tmp_path / "spared.sock.d", 0)
    items = temporary(tmp_path, 11, ["spared*"]).plan()
    assert subjects(items, tmp_path) == {"copied-with-its-old-time", "folder/old", "folder/sub", "folder"}
    temporary(tmp_path, 11).apply(items)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "spared.sock.d", "systemd-private-x"]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that works in one folder and has one file open."""
    (tmp_path / "work").mkdir()
    aged(tmp_path / "open", 0)
    with (tmp_path / "open").open(encoding="ascii") as file:
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=file, cwd=tmp_path / "work")
        process.kill()
        process.wait()
        process = subprocess.Popen(["sleep", "60"], stdin=file, cwd=tmp_path / "work")
    yield process
    process.kill()
    process.wait()


def test_what_a_process_uses_stays(tmp_path: Path, reader: subprocess.Popen[bytes]) -> None:
    assert reader.poll() is None
    assert temporary(tmp_path, 11).plan() == []
    reader.kill()
    reader.wait()
    assert subjects(temporary(tmp_path, 11).plan(), tmp_path) == {"open", "work"}


def test_a_file_that_was_opened_after_the_plan_stays(tmp_path: Path) -> None:
    aged(tmp_path / "late", 0)
    area = temporary(tmp_path, 11)
    items = area.plan()
    with (tmp_path / "late").open(encoding="ascii"):
        area.apply(items)
    assert (tmp_path / "late").exists()


def test_a_folder_that_was_used_again_after_the_plan_stays(tmp_path: Path) -> None:
    aged(tmp_path / "folder/old", 0)
    aged(tmp_path / "other", 0)
    area = temporary(tmp_path, 11)
    items = area.plan()
    aged(tmp_path / "folder/new", -5)
    area.apply(items)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "new"]


def test_links_go_and_their_targets_stay(tmp_path: Path) -> None:
    target = aged(tmp_path / "elsewhere/target", -5)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp/file").symlink_to(target)
    (tmp_path / "tmp/folder").symlink_to(target.parent)
    area = temporary(tmp_path / "tmp", 11)
    area.apply(area.plan())
    assert list((tmp_path / "tmp").iterdir()) == []
    assert target.exists()


def test_removal_never_follows_a_link_that_was_put_in_the_way(tmp_path: Path) -> None:
    victim = aged(tmp_path / "victim/file", 0)
    (tmp_path / "root").mkdir()
    (tmp_path / "root/folder").symlink_to(victim.parent)
    with pytest.raises(MaintenanceError, match="cannot be reached"):
        Remover(str(tmp_path / "root")).remove(str(tmp_path / "root/folder/file"))
    assert victim.exists()


# Releases


@pytest.fixture
def application(tmp_path: Path) -> Path:
    for days in (1, 2, 3, 4, 5):
        folder = tmp_path / f"releases/r{days}"
        folder.mkdir(parents=True)
        (folder / "code").write_text("x" * 5000, encoding="ascii")
        then = time.time() - days * DAY
        os.utime(folder, (then, then))
    (tmp_path / "current").symlink_to("releases/r3")
    return tmp_path


def releases(root: Path, keep: int) -> Releases:
    paths = {"path": str(root / "releases"), "current": str(root / "current"), "previous": str(root / "previous")}
    return Releases({"applications": {"api": {**paths, "keep": keep}}, "roots": [str(root)]})


def test_newest_releases_stay_and_the_current_counts(application: Path) -> None:
    root = application / "releases"
    assert subjects(releases(application, 3).plan(), root) == {"r5", "r4"}
    assert subjects(releases(application, 1).plan(), root) == {"r5", "r4", "r2", "r1"}
    assert releases(application, 9).plan() == []
    (application / "previous").symlink_to("releases/r5")
    assert subjects(releases(application, 2).plan(), root) == {"r4", "r2", "r1"}
    assert [Path(item.subject).name for item in releases(application, 2).plan()] == ["r4", "r2", "r1"]


def test_a_release_in_use_stays(application: Path) -> None:
    process = subprocess.Popen(["sleep", "60"], cwd=application / "releases/r5")
    assert subjects(releases(application, 1).plan(), application / "releases") == {"r4", "r2", "r1"}
    process.kill()
    process.wait()


def test_without_a_current_release_none_goes(application: Path) -> None:
    (application / "current").unlink()
    area = releases(application, 1)
    assert area.plan() == []
    assert "names no release" in area.notes[0][1]


def test_none_goes_while_one_is_built(application: Path) -> None:
    (application / "change.json").touch()
    area = releases(application, 1)
    assert area.plan() == []
    assert "is not finished" in area.notes[0][1]


def test_a_release_that_is_being_built_neither_counts_nor_goes(application: Path) -> None:
    (application / "releases/r1/.incomplete").touch()
    assert subjects(releases(application, 2).plan(), application / "releases") == {"r5", "r4"}


def test_a_release_that_is_half_removed_goes(application: Path) -> None:
    (application / "releases/r5").rename(application / "releases/.removing-r5")
    area = releases(application, 4)
    items = area.plan()
    assert subjects(items, application / "releases") == {".removing-r5"}
    area.apply(items)
    assert not (application / "releases/.removing-r5").exists()


# Packages


class Host:
    """A package manager that says what is asked of it."""

    def __init__(self, removable: list[str], held: str = "", drags: str = "") -> None:
        self.removable = removable
        self.held = held
        self.drags = drags
        self.removed: list[str] = []
        self.deaf = False

    def run(self, argv: list[str], stdin: str = "", env: dict[str, str] | None = None) -> str:
        if argv[:2] == ["dpkg", "--get-selections"]:
            return f"bash\t\t\tinstall\n{self.held}\t\t\thold\n" if self.held else ""
        if argv[:2] == ["dpkg", "--audit"]:
            return ""
        if "autoremove" in argv:
            return "".join(f"Remv {name} [1]\n" for name in self.removable)
        if "--simulate" in argv:
            names = argv[argv.index("remove") + 1 :]
            more = [self.drags] if self.drags and names[0] == self.removable[0] else []
            return "".join(f"Remv {name} [1]\n" for name in [*names, *more])
        if "remove" in argv:
            self.removed = [] if self.deaf else argv[argv.index("remove") + 1 :]
            return ""
        assert argv[0] == "dpkg-query"
        return "".join(f"{name} installed 4\n" for name in self.removable if name not in self.removed)


def plan_orphans(monkeypatch: pytest.MonkeyPatch, host: Host) -> tuple[Orphans, list[str]]:
    monkeypatch.setattr(maintenance_packages, "run", host.run)
    monkeypatch.setattr(maintenance_packages, "APT", sys.executable)
    area = Orphans({})
    return area, [item.subject for item in area.plan()]


def test_orphans_go_except_what_is_held_and_the_running_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = f"linux-image-{os.uname().release}"
    area, planned = plan_orphans(monkeypatch, Host(["hello", "kept", kernel, "linux-image-0.0.1"], held="kept"))
    assert planned == ["hello 1", "linux-image-0.0.1 1"]
    assert area.seen == {"held": ["kept"]}
    assert len(area.notes) == 2


def test_an_orphan_that_takes_others_along_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    _area, planned = plan_orphans(monkeypatch, Host(["a-library", "hello"], drags="needed"))
    assert planned == ["hello 1"]


def test_orphans_are_removed_or_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(["hello"])
    area, planned = plan_orphans(monkeypatch, host)
    area.apply([Item("orphans", subject) for subject in planned])
    assert host.removed == ["hello"]
    host.deaf, host.removed = True, []
    with pytest.raises(MaintenanceError, match="did not remove hello"):
        area.apply([Item("orphans", subject) for subject in planned])


def test_package_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance_packages, "ARCHIVES", str(tmp_path))
    for name in ("a.deb", "lock", "partial/b.deb"):
        aged(tmp_path / name, 0)
    area = PackageCache({})
    items = area.plan()
    area.apply(items)
    assert subjects(items, tmp_path) == {"a.deb", "partial/b.deb"}
    assert (tmp_path / "lock").exists()


# PostgreSQL


@pytest.mark.parametrize(
    ("table", "command"),
    [
        ({"dead": 999, "live": 100, "modified": 999, "age": 1}, ""),
        ({"dead": 1000, "live": 100, "modified": 0, "age": 1}, "VACUUM (ANALYZE)"),
        ({"dead": 5000, "live": 100_000, "modified": 0, "age": 1}, ""),
        ({"dead": 0, "live": 100, "modified": 1000, "age": 1}, "ANALYZE"),
        ({"dead": 0, "live": 0, "modified": 0, "age": 181_000_000}, "VACUUM (FREEZE, ANALYZE)"),
    ],
)
def test_statistics_decide(table: dict[str, Any], command: str) -> None:
    area = PostgreSQL({"rows": 1000, "fraction": 0.1, "freeze_fraction": 0.9})
    assert area._wanted(table, 200_000_000)[0] == command


def test_a_busy_server_is_left_alone() -> None:
    area = PostgreSQL({"lag": 10 * 2**20, "transaction_age": 15})
    assert area.busy({"lag": 0, "transaction": 14}) == ""
    assert area.busy({"lag": 11 * 2**20, "transaction": 0}) == "a standby is 11 MiB behind"
    assert area.busy({"lag": 0, "transaction": 16}) == "a transaction has been open for 16 s"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """A PostgreSQL server of its own with a table; gives what starts a session that says something."""
    programs = max(Path("/usr/lib/postgresql").iterdir(), key=lambda path: int(path.name)) / "bin"
    with tempfile.TemporaryDirectory() as home:
        shutil.chown(home, "postgres")
        as_postgres = ["runuser", "-u", "postgres", "--"]
        subprocess.run([*as_postgres, programs / "initdb", "--no-sync", "-D", f"{home}/data"], check=True, cwd=home)
        settings = f"-c listen_addresses= -c port=5999 -c unix_socket_directories={home} -c fsync=off"
        control = [*as_postgres, programs / "pg_ctl", "-D", f"{home}/data", "-w", "-l", f"{home}/log"]
        subprocess.run([*control, "-o", settings, "start"], check=True, cwd=home)
        monkeypatch.setenv("PGHOST", home)
        psql = [*as_postgres, "psql", "-XAtq", "-p", "5999", "-d", "postgres", "-c"]
        subprocess.run([*psql, "CREATE TABLE readings (value int)"], check=True, cwd=home)
        yield lambda text: subprocess.Popen([*psql, text], cwd=home, text=True, stdout=subprocess.PIPE)
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd=home)


def test_a_vacuum_waits_for_a_lock_no_longer_than_it_may(server: Callable[[str], subprocess.Popen[str]]) -> None:
    """Half a second is not for ever."""
    given = {"log_promise": "1d", "log_keep": "1d", "postgresql_port": 5999, "postgresql_lock_timeout": "500ms"}
    defaults = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    options = Options(defaults | {f"routine_maintenance_{name}": value for name, value in given.items()})
    job = options.job({})["areas"]["postgresql"]
    holder = server("BEGIN; LOCK readings; SELECT 'held'; SELECT pg_sleep(8)")
    while "1" not in server("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock'").communicate()[0]:
        time.sleep(0.1)
    with pytest.raises(MaintenanceError, match="lock timeout"):
        PostgreSQL(job).apply([Item("postgresql", "postgres: VACUUM (ANALYZE) public.readings")])
    assert holder.poll() is None, "it waited until the lock was free"
    holder.kill()
    holder.wait()


# The whole


def test_cleaning_stops_at_the_first_area_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = aged(tmp_path / "a.log.1", 500)
    late = aged(tmp_path / "tmp/b", 500)

    def fails(_remover: Remover, path: str) -> None:
        raise MaintenanceError(f"{path} resists")

    monkeypatch.setattr(maintenance.Remover, "remove", fails)
    roots = [str(tmp_path)]
    areas = {
        "logs": {"keep": DAY, "paths": roots, "roots": roots},
        "temporary": {"paths": {str(tmp_path / "tmp"): 0.0}, "exclude": [], "roots": roots},
    }
    result = maintenance.clean({"areas": areas, "paths": ["/"]})
    assert result["failure"] == f"logs: {log} resists"
    assert list(result["areas"]) == ["logs"]
    assert log.exists()
    assert late.exists()

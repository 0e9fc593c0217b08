"""Real left-overs on the hosts of a lab, and what has to be there, and not there, when they have been cleaned."""

from __future__ import annotations

import time

from tests.scenario import on_all, shell

PSQL = "runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1"

#: Archived journals with another time of their oldest and newest entry: what would be found after a year and a half.
_JOURNALS = r"""
journalctl --rotate
folder=$(ls -d /var/log/journal/*/)
python3 - "$folder" <<'PYTHON'
import pathlib, struct, sys, time
folder = pathlib.Path(sys.argv[1])
data = max(folder.glob("system@*.journal"), key=lambda path: path.stat().st_mtime).read_bytes()
for name, oldest, newest in (("a" * 32, 600, 500), ("b" * 32, 600, 100)):
    head, tail = (int((time.time() - age * 86400) * 1e6) for age in (oldest, newest))
    copy = bytearray(data)
    struct.pack_into("<QQ", copy, 184, head, tail)
    path = folder / f"system@{name}-0000000000000001-{head:016x}.journal"
    path.write_bytes(copy)
PYTHON
"""

_LOGS = """
cd /var/log/nginx
for name in access.log.1 access.log.14.gz error.log-20250101.gz error.log.2.gz error.log.held.1; do
    head -c 100000 /dev/urandom > $name; touch -d '500 days ago' $name
done
touch -d '300 days ago' error.log.2.gz
touch -d '500 days ago' access.log.old-name-of-no-rotation
systemd-run --quiet --unit=log-reader -p StandardInput=file:$PWD/error.log.held.1 sleep infinity
"""

_TEMPORARY = """
mkdir -p /tmp/export/parts /tmp/kept /var/tmp/build
head -c 300000 /dev/urandom > /tmp/export/parts/one
head -c 300000 /dev/urandom > /var/tmp/build/object
echo open > /tmp/export-open
ln -s /etc/passwd /tmp/export/link
touch -d '+1 day' /tmp/kept/new
systemd-run --quiet --unit=temporary-reader -p StandardInput=file:/tmp/export-open sleep infinity
python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('/tmp/kept/socket')"
"""

#: The package hello is there for nobody; hostname-like ones are held or are the running kernel's.
_PACKAGES = """
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -q hello >/dev/null 2>&1
apt-mark auto hello >/dev/null
build() {
    mkdir -p /root/$1/DEBIAN
    cat > /root/$1/DEBIAN/control <<CONTROL
Package: $1
Version: 1
Architecture: all
Maintainer: Lab <lab@example.com>
Description: lab
CONTROL
    dpkg-deb --build /root/$1 /root/$1.deb >/dev/null
    dpkg --install /root/$1.deb >/dev/null
    apt-mark auto $1 >/dev/null
}
build held-orphan
apt-mark hold held-orphan >/dev/null
build linux-image-$(uname -r)
# Without this apt itself would spare the running kernel's package.
echo 'APT::Protect-Kernels "false";' > /etc/apt/apt.conf.d/99kernels
test -s /var/cache/apt/archives/hello_*.deb
head -c 50000 /dev/urandom > /var/cache/apt/archives/partial/half.deb
"""

#: Four releases that nobody needs beside the current one, one of which is the previous, and one in use.
_RELEASES = """
cd /opt/evidence-api
for n in 1 2 3 4 5; do
    mkdir -p releases/0.$n.0
    head -c 200000 /dev/urandom > releases/0.$n.0/code
    touch -d "$((60 - n)) days ago" releases/0.$n.0
done
ln -sfn releases/0.1.0 previous
systemd-run --quiet --unit=release-user -p WorkingDirectory=/opt/evidence-api/releases/0.2.0 sleep infinity
"""

_TABLES = f"""
{PSQL} evidence <<'SQL'
CREATE TABLE readings (id bigint, filler text) WITH (autovacuum_enabled = off);
CREATE INDEX readings_unused ON readings (filler);
CREATE TABLE fresh (id bigint) WITH (autovacuum_enabled = off);
INSERT INTO readings SELECT n, repeat('x', 100) FROM generate_series(1, 6000) n;
INSERT INTO fresh SELECT generate_series(1, 100);
ANALYZE readings; ANALYZE fresh;
DELETE FROM readings WHERE id > 2000;
SQL
dead="SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'readings'"
counted() {{ [ "$({PSQL} evidence -c "$dead")" -ge 4000 ]; }}
for n in $(seq 100); do counted && break; sleep 0.1; done
counted
"""


#: For so long that its check is critical, and gates that count it would stop.
_REBOOT = "touch -d '40 days ago' /run/reboot-required; echo linux-base > /run/reboot-required.pkgs"


def replaced(path: str) -> str:
    """A script that puts a new file in the place of one that a process has mapped, as an update does."""
    return f"cp -p {path} {path}.new && mv {path}.new {path}\n"


#: How old temporary files have to be in the inventory before they go, in seconds, and a little more.
AGE = 6


def arrange() -> None:
    """Something of everything, each on one host."""
    scripts = {
        "proxy1": _JOURNALS + _LOGS + replaced("/usr/lib/nginx/modules/ngx_http_echo_module.so"),
        "app1": _TEMPORARY + _RELEASES,
        "app2": _PACKAGES + replaced("/usr/lib/x86_64-linux-gnu/libexpat.so.1.8.10"),
        "db1": _TABLES + replaced("/usr/lib/x86_64-linux-gnu/libxml2.so.2.9.14"),
        "db2": _REBOOT,
    }
    on_all(lambda host: shell(host, scripts[host]), scripts)
    time.sleep(AGE)


def present(host: str, *paths: str) -> dict[str, bool]:
    """Path → whether it is there."""
    script = "".join(f"[ -e {path} ] || [ -L {path} ] && echo 1 || echo 0\n" for path in paths)
    return dict(zip(paths, (line == "1" for line in shell(host, script).split()), strict=True))


#: What has to go, and what has to stay, host by host.
GONE = {
    "proxy1": (
        f"/var/log/journal/*/system@{'a' * 32}-*.journal",
        "/var/log/nginx/access.log.1",
        "/var/log/nginx/access.log.14.gz",
        "/var/log/nginx/error.log-20250101.gz",
    ),
    "app1": (
        "/tmp/export",
        "/var/tmp/build",
        "/opt/evidence-api/releases/0.3.0",
        "/opt/evidence-api/releases/0.4.0",
        "/opt/evidence-api/releases/0.5.0",
    ),
    "app2": ("/usr/bin/hello", "/var/cache/apt/archives/hello_*.deb", "/var/cache/apt/archives/partial/half.deb"),
    "db2": ("/run/reboot-required",),
}
KEPT = {
    "proxy1": (
        # Most of its entries are past the promise, but not all.
        f"/var/log/journal/*/system@{'b' * 32}-*.journal",
        "/var/log/nginx/error.log.2.gz",
        "/var/log/nginx/error.log.held.1",
        "/var/log/nginx/access.log.old-name-of-no-rotation",
        "/var/log/nginx/access.log",
    ),
    "app1": (
        "/etc/passwd",
        "/tmp/export-open",
        "/tmp/kept/new",
        "/tmp/kept/socket",
        "/tmp/.X11-unix",
        "/opt/evidence-api/releases/0.1.0",
        "/opt/evidence-api/releases/0.2.0",
        "/opt/evidence-api/current/gunicorn.conf.py",
    ),
    "app2": ("/var/lib/dpkg/info/held-orphan.list", "/var/lib/dpkg/info/linux-image-$(uname -r).list"),
}


def dead_rows(table: str) -> int:
    query = f"SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = '{table}'"
    return int(shell("db1", f'{PSQL} evidence -c "{query}"'))


def assert_converged() -> None:
    """Everything that should go is gone, and nothing else."""
    gone = {host: present(host, *paths) for host, paths in GONE.items()}
    assert gone == {host: dict.fromkeys(paths, False) for host, paths in GONE.items()}
    kept = {host: present(host, *paths) for host, paths in KEPT.items()}
    assert kept == {host: dict.fromkeys(paths, True) for host, paths in KEPT.items()}
    assert dead_rows("readings") == 0

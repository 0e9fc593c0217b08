"""Hosts with genuine security updates pending, and what they look like when those are installed."""

from __future__ import annotations

from tests.scenario import ROOT, on_all, shell

HOSTS = ("proxy1", "app1", "app2", "db1", "db2")

#: Host → packages whose fixed versions are in the security archive, and whose former ones are in the main archive.
PACKAGES = {
    "proxy1": ("openssl", "libssl3", "nginx", "nginx-common", "nginx-light"),
    "app1": ("openssl", "libssl3"),
    "app2": ("openssl", "libssl3"),
    "db1": ("openssl", "libssl3", "libpq5", "postgresql-15", "postgresql-client-15"),
    "db2": ("openssl", "libssl3", "libpq5", "postgresql-15", "postgresql-client-15"),
}
#: Whatever runs on the former libraries after that would be the test's doing.
_INSTALL = """
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o Acquire::Languages=none update
apt-get -qq install --allow-downgrades {packages} >/dev/null 2>&1
apt-get clean
systemctl daemon-reexec
systemctl restart ssh systemd-journald systemd-logind
systemctl try-restart evidence-api 2>/dev/null || true
"""
#: The application's service starts with no other libssl3 than the one that the host has now.
_FAULT = """
mkdir -p /etc/systemd/system/evidence-api.service.d
version=$(dpkg-query --show --showformat '${Version}' libssl3)
cat > /etc/systemd/system/evidence-api.service.d/fault.conf <<DROP_IN
[Service]
ExecStartPre=+/bin/sh -c 'dpkg-query --show libssl3 | grep -F $version'
DROP_IN
systemctl daemon-reload
"""
#: Apt takes it for no security update: it comes from an archive that names no origin.
_OTHER = """
mkdir -p /srv/archive && cd /srv/archive
apt-get -qq download openssl 2>/dev/null
dpkg-deb --raw-extract openssl_*.deb unpacked
sed -i 's/^Version: .*/&+other1/' unpacked/DEBIAN/control
rm openssl_*.deb
dpkg-deb --build unpacked openssl.deb >/dev/null
{
    dpkg-deb --field openssl.deb
    echo "Filename: ./openssl.deb"
    echo "Size: $(stat --format %s openssl.deb)"
    echo "SHA256: $(sha256sum openssl.deb | cut -d ' ' -f 1)"
} > Packages
echo 'deb [trusted=yes] file:/srv/archive ./' > /etc/apt/sources.list.d/other.list
apt-get -qq -o Acquire::Languages=none update
"""


def forbid_update(host: str) -> None:
    """Let the application's service fail with what is pending."""
    shell(host, _FAULT)


def allow_update(host: str) -> None:
    """Take that away."""
    shell(host, "rm /etc/systemd/system/evidence-api.service.d/fault.conf; systemctl daemon-reload")


def make_pending(hosts: tuple[str, ...] = HOSTS) -> None:
    """Install the versions that are still in the main archive."""
    on_all(
        lambda host: shell(host, _INSTALL.format(packages=" ".join(f"{name}/bookworm" for name in PACKAGES[host]))),
        hosts,
    )


def versions(host: str) -> dict[str, str]:
    """The installed versions of the packages that are updated."""
    lines = shell(host, f"dpkg-query --show --showformat '${{Package}} ${{Version}}\\n' {' '.join(PACKAGES[host])}")
    return dict(line.split() for line in lines.splitlines())


def hide_update(host: str) -> None:
    """Let another archive have something newer than the security update of openssl."""
    shell(host, _OTHER)


def candidates(host: str) -> dict[str, str]:
    """The newest versions that the archive of security updates has."""
    newest: dict[str, str] = {}
    for line in shell(host, f"apt-cache madison {' '.join(PACKAGES[host])}").splitlines():
        name, version, archive = (word.strip() for word in line.split("|"))
        if "-security/" in archive:
            newest.setdefault(name, version)
    return newest


def assert_installed(hosts: tuple[str, ...] = HOSTS) -> None:
    """Every host has the newest versions, nothing runs on replaced files, nobody is left drained, no update is open."""
    for host, installed in on_all(versions, hosts).items():
        newest, old = candidates(host), stale(host).strip()
        assert installed == newest, f"{host} has {installed}, not {newest}"
        assert old == "{}", f"{host} has services that run on replaced files: {old}"
        left = shell(host, "ls -d /var/lib/ops-runbook/updates/* /usr/sbin/policy-rc.d 2>/dev/null || true").split()
        assert left == ["/var/lib/ops-runbook/updates/packages"], f"{host}: an update is open: {left}"
    states = shell("proxy1", "upstream-state evidence-api")
    assert "drained" not in states, states


def stale(host: str) -> str:
    """The units of a host that run on deleted files, as JSON."""
    source = ROOT / "collections/ansible_collections/ops/runbook/plugins/module_utils/stale.py"
    program = source.read_text(encoding="utf-8") + "\nimport json\nprint(json.dumps(stale_units()))\n"
    return shell(host, f"python3 - <<'PROGRAM'\n{program}\nPROGRAM\n")

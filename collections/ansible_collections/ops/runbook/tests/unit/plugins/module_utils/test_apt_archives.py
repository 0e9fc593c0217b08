# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What apt 2.6 says of its archives and of packages, read as a host reads it."""

from __future__ import annotations

import pytest
from ansible_collections.ops.runbook.plugins.module_utils.apt_archives import newest_from, origins

ARCHIVES = """\
Package files:
 100 /var/lib/dpkg/status
     release a=now
 500 file:/srv/archive ./ Packages
     release c=
 500 http://security.example/debian-security bookworm-security/main amd64 Packages
     release v=12,o=Debian,a=oldstable-security,n=bookworm-security,l=Debian-Security,c=main,b=amd64
     origin security.example
 500 http://archive.example/debian bookworm-updates/main amd64 Packages
     release v=12-updates,o=Debian,a=oldstable-updates,n=bookworm-updates,l=Debian,c=main,b=amd64
     origin archive.example
Pinned packages:
"""
SECURITY = "Debian-Security:12/oldstable-security"
#: A newer version of another archive stands above the security update.
HIDDEN = """\
openssl:
  Installed: 3.0.20-1~deb12u2
  Candidate: 3.0.22-1~deb12u2+other1
  Version table:
     3.0.22-1~deb12u2+other1 500
        500 file:/srv/archive ./ Packages
     3.0.22-1~deb12u2 {priority}
        500 http://security.example/debian-security bookworm-security/main amd64 Packages
     3.0.22-1~deb12u1 500
        500 http://security.example/debian-security bookworm-security/main amd64 Packages
 *** 3.0.20-1~deb12u2 500
        500 http://security.example/debian-security bookworm-security/main amd64 Packages
        100 /var/lib/dpkg/status
"""


def is_security(origin: str) -> bool:
    return origin.endswith("-security")


def test_archives_have_the_origins_that_an_upgrade_shows() -> None:
    assert {archive: origin for archive, origin in origins(ARCHIVES).items() if origin} == {
        "/var/lib/dpkg/status": "now",
        "http://security.example/debian-security bookworm-security/main amd64 Packages": SECURITY,
        "http://archive.example/debian bookworm-updates/main amd64 Packages": "Debian:12-updates/oldstable-updates",
    }


@pytest.mark.parametrize(("priority", "version"), [(500, "3.0.22-1~deb12u2"), (-1, "3.0.22-1~deb12u1")])
def test_newest_version_above_the_installed_one(priority: int, version: str) -> None:
    """Not one that preferences forbid."""
    found = newest_from(HIDDEN.format(priority=priority), origins(ARCHIVES), is_security)
    assert found == {"openssl": (version, SECURITY)}


def test_installed_version_and_older_ones_hide_nothing() -> None:
    installed = HIDDEN.replace(" *** 3.0.20", "     3.0.20").replace(
        "     3.0.22-1~deb12u2 {", " *** 3.0.22-1~deb12u2 {"
    )
    assert newest_from(installed.format(priority=500), origins(ARCHIVES), is_security) == {}

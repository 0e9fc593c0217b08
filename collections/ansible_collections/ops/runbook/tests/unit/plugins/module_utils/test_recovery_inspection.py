# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A store that does not answer is found out at once; what is reached otherwise than by TLS is left to pgBackRest."""

from __future__ import annotations

import socket
from pathlib import Path

from ansible_collections.ops.runbook.plugins.module_utils.recovery_inspection import unreachable


def configured(folder: Path, *lines: str) -> tuple[str]:
    path = folder / "pgbackrest.conf"
    path.write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
    return (str(path),)


def test_silent_store_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        lines = ["repo1-host=127.0.0.1", "repo1-host-type=tls", f"repo1-host-port = {port}"]
        paths = configured(tmp_path, *lines)
        assert unreachable(paths) == ""
    assert unreachable(paths).startswith(f"the store 127.0.0.1 does not answer at port {port}: ")


def test_other_ways_to_a_store_are_not_judged(tmp_path: Path) -> None:
    assert unreachable(configured(tmp_path, "repo1-path=/var/lib/pgbackrest")) == ""
    assert unreachable(configured(tmp_path, "repo1-host=127.0.0.1", "repo1-host-port=1")) == ""
    assert unreachable((str(tmp_path / "none"),)) == ""

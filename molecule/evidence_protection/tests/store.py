"""What the scenario does to the store, and where it looks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.scenario import ROOT, shell

INVENTORIES = (ROOT / "inventories/lab", Path(__file__).resolve().parents[1] / "inventory")
STORE = "/var/lib/evidence"


def given(**values: Any) -> tuple[str, str]:
    """Variables of the command line."""
    return "--extra-vars", json.dumps(values)


def add_document(name: str) -> None:
    """One more document in the database."""
    primary = next(host for host in ("db1", "db2") if sql(host, "SELECT pg_is_in_recovery()") == "f")
    values = f"'{name}', 'more', encode(sha256('more'), 'hex'), 'auditor'"
    sql(primary, f"INSERT INTO evidence (name, content, sha256, submitter) VALUES ({values})")


def sql(host: str, query: str) -> str:
    return shell(host, f'cd /; runuser -u postgres -- psql -XAtq -d evidence -c "{query}"').strip()


def seals() -> list[str]:
    """The seals on the store."""
    return shell("store1", f"ls {STORE}/seals 2>/dev/null || true").split()


def items(pattern: str = "*") -> list[str]:
    """The items on the store, as paths below items/."""
    listed = shell("store1", f"cd {STORE}/items && find . -type f -path './{pattern}' | sort").splitlines()
    return [path.removeprefix("./") for path in listed]


def tree() -> str:
    """Digest of everything below the store's root."""
    return shell("store1", f"cd {STORE} && find . -type f ! -name .lock -exec sha256sum {{}} + | sort | sha256sum")


def flip(path: str) -> str:
    """A script that changes one bit of the byte in the middle of a file."""
    program = (
        "import os,sys; p=sys.argv[1]; f=open(p,'r+b'); n=os.path.getsize(p)//2; f.seek(n); b=f.read(1)[0]^1;"
        " f.seek(n); f.write(bytes([b]))"
    )
    return f'python3 -c "{program}" {STORE}/{path}\n'


@contextmanager
def damaged(script: str) -> Iterator[None]:
    """The store after what somebody with root has done to it; as before afterwards."""
    shell("store1", f"rm -rf {STORE}.kept; cp -a {STORE} {STORE}.kept")
    try:
        shell("store1", f"cd {STORE}\n{script}")
        yield
    finally:
        shell("store1", f"rm -rf {STORE}; mv {STORE}.kept {STORE}")


def replica(state: Path) -> Path:
    """Where the controller keeps its replica."""
    return state / "evidence"


@contextmanager
def kept_copy(folder: Path) -> Iterator[None]:
    """A folder of the controller that is put back afterwards."""
    aside = folder.with_name(f"{folder.name}.kept")
    shutil.copytree(folder, aside)
    try:
        yield
    finally:
        shutil.rmtree(folder)
        aside.rename(folder)

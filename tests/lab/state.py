"""What is known about a lab on disk: ``.lab/<name>`` with its keys, ports and secrets."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LABS = ROOT / ".lab"
CACHE = ROOT / ".cache"
SCHEMA = 1


def write_atomically(path: Path, content: str, mode: int = 0o644) -> None:
    """Replace a file in one step: a reader sees the old or the new content, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(content, encoding="utf-8")
    draft.chmod(mode)
    draft.replace(path)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process at a time do what the name stands for. The lock goes away with its process."""
    LABS.mkdir(exist_ok=True)
    with (LABS / f".{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Host:
    """One running container."""

    port: int
    image: str
    account: str = "ops"


@dataclass(frozen=True)
class State:
    """The content of lab.json."""

    name: str
    release: str
    source: str
    hosts: dict[str, Host]
    schema: int = SCHEMA

    def to_json(self) -> str:
        """The text of lab.json."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> State:
        """Read lab.json; ValueError if it was written by another version or is damaged."""
        try:
            fields = json.loads(text)
            if fields["schema"] != SCHEMA:
                raise ValueError(f"schema {fields['schema']}, expected {SCHEMA}")
            hosts = {name: Host(**host) for name, host in fields["hosts"].items()}
            return cls(fields["name"], fields["release"], fields["source"], hosts)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a lab.json: {error!r}") from error


@dataclass(frozen=True)
class Lab:
    """A lab's name and the places that follow from it."""

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", self.name):
            raise ValueError(f"{self.name!r} is no lab name: use small letters, digits, hyphens and underscores")

    @property
    def folder(self) -> Path:
        """Everything about this lab on disk."""
        return LABS / self.name

    @property
    def network(self) -> str:
        """The network of its hosts."""
        return f"runbook-{self.name}"

    @property
    def key(self) -> Path:
        """The private key of the platform's administrator `ops`."""
        return self.key_of("ops")

    @property
    def known_hosts(self) -> Path:
        """The host keys that were read when the hosts were started."""
        return self.folder / "known_hosts"

    @property
    def authority(self) -> Path:
        """The lab's certificate authority."""
        return self.folder / "ca"

    @property
    def secrets(self) -> Path:
        """Passwords and tokens of the lab's platform."""
        return self.folder / "secrets.yml"

    def container(self, host: str) -> str:
        """The container of a host."""
        return f"runbook-{self.name}-{host}"

    def read(self) -> State | None:
        """The recorded state, or None where there is no usable record."""
        try:
            return State.from_json((self.folder / "lab.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def write(self, state: State) -> None:
        """Record the state."""
        write_atomically(self.folder / "lab.json", state.to_json())

    def key_of(self, account: str) -> Path:
        """The private key of an administrator's account."""
        return self.folder / ("id_ed25519" if account == "ops" else f"{account}_ed25519")

    def public_key(self, account: str = "ops") -> str:
        """The public half of an administrator's key, made when it is first asked for."""
        key = self.key_of(account)
        public = key.with_suffix(".pub")
        if not public.exists() or not key.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            key.unlink(missing_ok=True)
            comment = f"{account} of lab {self.name}"
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", key], check=True)
        return public.read_text(encoding="utf-8").strip()

    def forget(self) -> None:
        """Remove everything on disk."""
        shutil.rmtree(self.folder, ignore_errors=True)

"""Settings, from the environment that the systemd unit gives."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """What differs between deployments."""

    database: str
    tokens: dict[str, str]
    release: str
    #: While this file exists nothing is taken in; what stands in it is told to whoever sends something.
    read_only: Path = Path("/etc/evidence-api/read-only")

    def reason_to_refuse(self) -> str:
        """Why nothing is taken in now; empty where it is."""
        try:
            return self.read_only.read_text(encoding="utf-8").strip() or "maintenance"
        except FileNotFoundError:
            return ""

    @classmethod
    def from_environment(cls) -> Settings:
        """Read EVIDENCE_DATABASE (a libpq connection string), EVIDENCE_TOKENS (a file) and the release's own name."""
        tokens = json.loads(Path(os.environ["EVIDENCE_TOKENS"]).read_text(encoding="utf-8"))
        return cls(os.environ["EVIDENCE_DATABASE"], tokens, Path(__file__).resolve().parents[1].name)

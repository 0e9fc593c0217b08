"""The fenced blocks of the pages and of the documents at the top."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(\w+)([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    path: Path
    line: int
    language: str
    #: What follows the language: ``title="example"`` marks commands that no test can run.
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


def blocks(language: str) -> list[Block]:
    """Every block of that language."""
    found = []
    for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "runbook_docs").rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(path.relative_to(ROOT), line, match[1], match[2].strip(), match[3]))
    return [block for block in found if block.language == language]

"""Digests of what an image is made from: an image is built again only when they change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def digest(*words: str, files: Iterable[Path] = (), root: Path = Path("/")) -> str:
    """Twelve hex digits that stand for the words and for the names and contents of the files."""
    total = hashlib.sha256()
    for word in words:
        total.update(f"{len(word)}:{word}".encode())
    for path in sorted(files):
        content = path.read_bytes()
        total.update(f"{path.relative_to(root)}\0{path.stat().st_mode & 0o111:o}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()[:12]


def files_below(*folders: Path) -> list[Path]:
    """Every file in the folders, without what Python and tests leave there."""
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("test_")
    ]

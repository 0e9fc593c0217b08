"""Assembles the one installable collection, ops.runbook, from plugins, roles, playbooks and pages, and builds it.

Usage: python scripts/dist.py [OUTPUT_DIRECTORY]    (default: dist)
Prints the path of the tarball.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLLECTION = Path("collections/ansible_collections/ops/runbook")
#: What the collection holds beside its Python: folder or file in the project.
PARTS = ("roles", "playbooks", "runbook_docs", "LICENSE")


def files_below(folder: Path) -> list[Path]:
    """Files below a folder of the project, tracked or about to be, without what git ignores."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [Path(name) for name in listing.split("\0") if name and (ROOT / name).is_file()]


def assemble(target: Path) -> None:
    """Copy the collection's parts into the target folder."""
    copies = {source: source.relative_to(COLLECTION) for source in files_below(COLLECTION)}
    copies |= {source: source for part in PARTS for source in files_below(Path(part))}
    for source, destination in copies.items():
        (target / destination).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / source, target / destination)


def main() -> None:
    """Build the tarball."""
    output = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").resolve()
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "ops" / "runbook"
        assemble(target)
        build = subprocess.run(
            ["ansible-galaxy", "collection", "build", "--force", "--output-path", str(output), str(target)],
            check=False,
            capture_output=True,
            text=True,
        )
    if build.returncode:
        sys.exit(f"dist: ansible-galaxy could not build the collection:\n{build.stdout}{build.stderr}")
    print(max(output.glob("ops-runbook-*.tar.gz"), key=lambda path: path.stat().st_mtime))


if __name__ == "__main__":
    main()

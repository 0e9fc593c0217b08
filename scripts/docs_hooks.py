"""MkDocs hooks: navigation from the catalogue, fact boxes from front matter, tables in place of markers.

A page holds ``<!-- generated: NAME ARGUMENT -->`` where a table belongs; docs_tables.py makes it. The Markdown itself
stays readable: what is generated has its source in a file that the sentence above the marker names.
"""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "collections")]

from ansible_collections.ops.runbook.plugins.plugin_utils import catalogue  # noqa: E402

from scripts import docs_tables  # noqa: E402

MARKER = re.compile(r"^<!-- generated: (\S+)(?: (.*?))? -->$", re.MULTILINE)


def on_startup(**_kwargs: Any) -> None:
    """Let ``--strict`` see warnings, which ``--quiet`` would hide from the build as well as from the reader."""
    logger = logging.getLogger("mkdocs")
    logger.setLevel(min(logger.level, logging.WARNING))


def on_config(config: MkDocsConfig) -> None:
    """Order the navigation by chapter."""
    try:
        pages = catalogue.read(Path(config.docs_dir))
    except catalogue.CatalogueError as error:
        raise PluginError(str(error)) from error
    config.nav = navigation(pages)


def navigation(pages: catalogue.Catalogue) -> list[Any]:
    """MkDocs' nav: the index, the pages at the top, then a section for each chapter that has pages."""
    nav: list[Any] = [{"Overview": "index.md"}]
    for folder, title in pages.chapters.items():
        entries = [{page.title: f"{page.name}.md"} for page in pages.pages if page.name.rpartition("/")[0] == folder]
        if folder:
            nav.extend([{title: entries}] if entries else [])
        else:
            nav.extend(entry for entry in entries if "index.md" not in entry.values())
    return nav


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_kwargs: Any) -> str:
    """Put the fact box below the title and tables in place of the markers."""
    pages = catalogue.read(Path(config.docs_dir))
    source = docs_tables.Source(root=ROOT, catalogue=pages, page=page.file.src_uri.removesuffix(".md"))

    def table(match: re.Match[str]) -> str:
        try:
            return docs_tables.table(source, match[1], match[2] or "")
        except LookupError as error:
            raise PluginError(f"{page.file.src_uri}: {match[0]}: {error}") from error

    title, _, body = MARKER.sub(table, markdown).lstrip().partition("\n")
    return f"{title}\n\n{docs_tables.facts(source)}\n{body}"

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalogue of procedures: the front matter of the runbook's pages, and the pages that are planned.

Everything that must know the list of procedures reads it here. ``catalogue.yml`` beside the pages holds what no page
can hold: the chapters in their order, the planned pages and the names of the controls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

KINDS = ("read-only", "mutating")
APPROVALS = ("none", "four-eyes")
#: Pages that explain rather than act: the index, descriptions of formats. Their ``kind``.
REFERENCE = "reference"

_DURATION = re.compile(r"(\d+)(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_UNITS = {"s": "s", "m": "min", "h": "h", "d": "days"}


class CatalogueError(ValueError):
    """A page's front matter or catalogue.yml is wrong; the text names file, key and allowed values."""


@dataclass(frozen=True)
class Duration:
    """A length of time as it is written in front matter: ``30s``, ``5m``, ``2h``, ``90d``."""

    number: int
    unit: str

    @classmethod
    def parse(cls, text: object) -> Duration:
        """The duration that the text names; ValueError where it names none."""
        match = _DURATION.fullmatch(str(text))
        if match is None:
            raise ValueError("a number with unit s, m, h or d, such as 30s")
        return cls(int(match[1]), match[2])

    @property
    def seconds(self) -> int:
        """Its length in seconds."""
        return self.number * _SECONDS[self.unit]

    def __str__(self) -> str:
        unit = "day" if (self.number, self.unit) == (1, "d") else _UNITS[self.unit]
        return f"{self.number} {unit}"


def no_durations(options: Mapping[str, object]) -> list[str]:
    """What is wrong with options that have to be lengths of time: variable → value."""
    problems = []
    for name, value in options.items():
        try:
            Duration.parse(value)
        except ValueError as error:
            problems.append(f"{name} is {value!r}; it has to be {error}")
    return problems


@dataclass(frozen=True)
class Procedure:
    """One built procedure: its page's front matter."""

    #: Page without extension, relative to the docs folder: ``monitoring-procedures/health-checks``.
    name: str
    title: str
    #: One sentence for lists.
    summary: str
    #: One of KINDS.
    kind: str
    #: Path from the project's root.
    playbook: str
    #: Molecule scenarios that prove it.
    scenarios: tuple[str, ...]
    #: Roles that it calls, directly or through others; their variables are the page's variables.
    roles: tuple[str, ...]
    #: One of APPROVALS.
    approval: str
    expected_duration: Duration
    #: What users of the platform notice, in one sentence.
    impact: str
    #: Alerts that lead to this page.
    alerts: tuple[str, ...]
    #: Who owns the procedure and answers for it.
    owner_role: str
    #: Identifiers from catalogue.yml.
    controls: tuple[str, ...]
    #: How often it is practised; None where it runs every day anyway.
    drill_interval: Duration | None = None

    @property
    def chapter(self) -> str:
        """Folder of the page; empty for a page at the top."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True)
class Reference:
    """A page that explains rather than acts."""

    name: str
    title: str
    summary: str


@dataclass(frozen=True)
class Planned:
    """A procedure that has no page yet."""

    name: str
    title: str
    summary: str


@dataclass(frozen=True)
class Catalogue:
    """All pages of the runbook."""

    #: Folder → title, in reading order.
    chapters: Mapping[str, str]
    #: Identifier → name, as the framework words it.
    controls: Mapping[str, str]
    procedures: tuple[Procedure, ...]
    references: tuple[Reference, ...]
    planned: tuple[Planned, ...]

    @property
    def pages(self) -> tuple[Procedure | Reference, ...]:
        """Everything that has a page."""
        return (*self.references, *self.procedures)

    @property
    def names(self) -> frozenset[str]:
        """Names of all procedures, built or planned."""
        return frozenset(item.name for item in self.procedures) | {item.name for item in self.planned}


def load(docs_dir: Path) -> list[Procedure]:
    """The built procedures, in reading order. Raises CatalogueError."""
    return list(read(docs_dir).procedures)


def read(docs_dir: Path) -> Catalogue:
    """The whole catalogue. Raises CatalogueError."""
    source = docs_dir / "catalogue.yml"
    data = _mapping(source, yaml.safe_load(source.read_text(encoding="utf-8")), ("chapters", "controls", "planned"))
    chapters: dict[str, str] = data["chapters"]
    pages: list[Procedure | Reference] = [
        _page(docs_dir, path, data["controls"]) for path in sorted(docs_dir.rglob("*.md"))
    ]
    planned = [_planned(source, name, entry) for name, entry in (data["planned"] or {}).items()]
    built = {page.name for page in pages}
    for plan in planned:
        if plan.name in built:
            raise CatalogueError(f"{source}: planned has {plan.name!r}, which has a page by now; delete the entry")
    for name in (*built, *(plan.name for plan in planned)):
        chapter = name.rpartition("/")[0]
        if chapter not in chapters:
            raise CatalogueError(f"{source}: chapters has no {chapter!r}, the folder of {name!r}")
    order = list(chapters)
    pages.sort(key=lambda page: order.index(page.name.rpartition("/")[0]))
    return Catalogue(
        chapters=chapters,
        controls=data["controls"],
        procedures=tuple(page for page in pages if isinstance(page, Procedure)),
        references=tuple(page for page in pages if isinstance(page, Reference)),
        planned=tuple(planned),
    )


def front_matter(path: Path) -> tuple[dict[str, Any], str]:
    """A page's front matter and the Markdown below it. Raises CatalogueError."""
    text = path.read_text(encoding="utf-8")
    match = re.match(r"---\n(.*?\n)---\n", text, re.DOTALL)
    if match is None:
        raise CatalogueError(f"{path}: does not begin with front matter between two lines of ---")
    try:
        data = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        raise CatalogueError(f"{path}: front matter is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise CatalogueError(f"{path}: front matter is not a mapping")
    return data, text[match.end() :]


def _page(docs_dir: Path, path: Path, controls: Mapping[str, str]) -> Procedure | Reference:
    data, _body = front_matter(path)
    name = path.relative_to(docs_dir).with_suffix("").as_posix()
    if data.get("kind") == REFERENCE:
        parsers: dict[str, Callable[[object], Any]] = {"title": _text, "summary": _text, "kind": _choice((REFERENCE,))}
        values = _values(path, data, parsers, optional=())
        return Reference(name, values["title"], values["summary"])
    parsers = {
        "title": _text,
        "summary": _text,
        "kind": _choice((*KINDS, REFERENCE)),
        "playbook": _text,
        "scenarios": _texts,
        "roles": _texts,
        "approval": _choice(APPROVALS),
        "expected_duration": Duration.parse,
        "impact": _text,
        "alerts": _texts,
        "drill_interval": Duration.parse,
        "owner_role": _text,
        "controls": _texts,
    }
    values = _values(path, data, parsers, optional=("drill_interval",))
    for control in values["controls"]:
        if control not in controls:
            raise CatalogueError(f"{path}: controls has {control!r}; allowed: {', '.join(controls)} (catalogue.yml)")
    return Procedure(name=name, **values)


def _planned(source: Path, name: str, entry: object) -> Planned:
    data = _mapping(source, entry, ("title", "summary"), f"planned.{name}")
    return Planned(name, data["title"], data["summary"])


def _values(
    path: Path, data: Mapping[str, Any], parsers: Mapping[str, Callable[[object], Any]], optional: tuple[str, ...]
) -> dict[str, Any]:
    """The parsed values of a page's front matter; every key known, none missing."""
    _mapping(path, data, tuple(key for key in parsers if key not in optional), optional=optional)
    values = {}
    for key, value in data.items():
        try:
            values[key] = parsers[key](value)
        except ValueError as error:
            raise CatalogueError(f"{path}: {key} is {value!r}; allowed: {error}") from error
    return values


def _mapping(
    source: Path, data: object, required: tuple[str, ...], where: str = "front matter", optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise CatalogueError(f"{source}: {where} is {data!r}; allowed: a mapping with {', '.join(required)}")
    for key in required:
        if key not in data:
            raise CatalogueError(f"{source}: {where} lacks {key}")
    for key in data:
        if key not in (*required, *optional):
            raise CatalogueError(f"{source}: {where} has {key}; allowed: {', '.join((*required, *optional))}")
    return data


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text")
    return value.strip()


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("a list of texts")
    return tuple(_text(item) for item in value)


def _choice(choices: tuple[str, ...]) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in choices:
            raise ValueError(", ".join(choices))
        return str(value)

    return parse

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What there is to seal: documents of databases, folders of hosts, and the controller's reports, drills and ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import CONTROL, LEDGER, Item, safe_path
from ansible_collections.ops.runbook.plugins.module_utils.evidence_files import Frame
from ansible_collections.ops.runbook.plugins.module_utils.evidence_hash import files_below, hash_files
from ansible_collections.ops.runbook.plugins.module_utils.evidence_log import Log
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_memory import OWN, new_entries
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_program import program
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_store import (
    Candidate,
    EvidenceError,
    Remote,
    of_bytes,
    of_file,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.recovery_drills import FOLDER as KEPT_DRILLS

REPORTS = "reports"
#: Signed results of restore drills.
DRILLS = "restore-drills"
#: Ledgers that an operator has set aside.
FORMER = "former-ledgers"
_COLLECTION = re.compile(r"[a-z][a-z0-9_-]*")
_KINDS = {"query": {"query", "database", "account"}, "directory": {"directory"}}


@dataclass(frozen=True)
class Source:
    """A collection, where it comes from on one host."""

    collection: str
    host: str
    options: Mapping[str, str]

    @property
    def question(self) -> bytes:
        """The program that describes what is there."""
        if "query" in self.options:
            return program("describe_query", **self._query)
        return program("describe_folder", folder=self.options["directory"])

    @property
    def _query(self) -> dict[str, Any]:
        options = {"account": "postgres", **self.options}
        return {name: options[name] for name in ("database", "query", "account")}

    def fetch(self, remote: Remote, names: Sequence[str]) -> Iterator[Frame]:
        """The contents of these names, in their order."""
        if "query" in self.options:
            return remote.fetch(self.host, "send_documents", names, **self._query)
        return remote.fetch(self.host, "send_files", names, folder=self.options["directory"])


def sources_of(host: str, variable: Any) -> tuple[list[Source], list[str]]:
    """The sources of one host, and what is wrong with the variable."""
    found, errors = [], []
    if not isinstance(variable, Mapping):
        return [], [f"evidence_store_sources of {host} is no mapping of collections"]
    for collection, options in variable.items():
        where = f"evidence_store_sources[{collection!r}] of {host}"
        if not isinstance(options, Mapping):
            errors.append(f"{where} is no mapping; give a directory, or a database and a query")
            continue
        kind = next((kind for kind in _KINDS if kind in options), "")
        if not _COLLECTION.fullmatch(str(collection)) or collection in (*CONTROL, LEDGER, REPORTS, DRILLS, FORMER):
            errors.append(f"{where}: its name is one of the store's own, or has other than small letters and digits")
        elif not kind or set(options) - _KINDS[kind] or (kind == "query" and "database" not in options):
            errors.append(f"{where} needs a directory, or a database and a query with a column name, and nothing else")
        else:
            found.append(Source(str(collection), host, {name: str(value) for name, value in options.items()}))
    return found, errors


@dataclass
class Gathered:
    """What is there to be sealed."""

    candidates: list[Candidate] = field(default_factory=list)
    #: Items that differ from what was sealed under their name.
    altered: list[str] = field(default_factory=list)
    #: Whether a seal is necessary.
    due: bool = False
    #: What is new, for operators: one line for each item but those that each run makes anew.
    lines: list[str] = field(default_factory=list)


@dataclass
class Gatherer:
    """Compares what there is with what was sealed."""

    remote: Remote
    log: Log
    state: Path

    def __post_init__(self) -> None:
        self._sealed = {item.path: item.sha256 for item in self.log.items}
        self._found = Gathered()

    def gather(self, sources: Sequence[Source], directories: Mapping[str, str]) -> Gathered:
        """Everything new, of all sources and of the controller."""
        self._hosts(sources)
        for collection, directory in directories.items():
            self._folder(collection, Path(directory).expanduser())
        self._folder(REPORTS, self.state / "reports")
        self._folder(DRILLS, self.state / KEPT_DRILLS)
        for former in sorted((self.state / "ledger").glob("until-*")):
            self._folder(f"{FORMER}/{former.name}", former)
        entries = new_entries(self.state, self.log.items)
        if entries:
            self._found.candidates.append(of_bytes(entries.piece.path, entries.content))
            self._found.due = self._found.due or entries.due
            self._found.lines.append("new entries of the controller's ledger")
        if not self._found.due:
            return Gathered(altered=self._found.altered)
        return self._found

    def _hosts(self, sources: Sequence[Source]) -> None:
        answers = list(zip(sources, self._ask(sources), strict=True))
        for collection in sorted({source.collection for source in sources}):
            own = [(source.host, said) for source, said in answers if source.collection == collection]
            if all(said.get("standby") for _host, said in own):
                hosts = ", ".join(host for host, _said in own)
                raise EvidenceError(f"{collection}: no primary answers, only the standbys {hosts}")
        for source, said in answers:
            for name, reason in said.get("failures", {}).items():
                raise EvidenceError(f"{source.host}: {source.collection} {name} cannot be read: {reason}")
            new = self._new(source.collection, {name: (sha, size) for name, (sha, size) in said["items"].items()})
            self._found.candidates += fetched(source, self.remote, list(new))

    def _ask(self, sources: Sequence[Source]) -> list[Mapping[str, Any]]:
        """All hosts at once; a host with several sources several times."""
        answers: dict[int, Mapping[str, Any]] = {}
        waiting = list(enumerate(sources))
        while waiting:
            now: dict[str, int] = {}
            for number, source in waiting:
                now.setdefault(source.host, number)
            said = self.remote.ask_all({host: sources[number].question for host, number in now.items()})
            answers.update({number: said[host] for host, number in now.items()})
            waiting = [(number, source) for number, source in waiting if number not in answers]
        return [answers[number] for number in range(len(sources))]

    def _folder(self, collection: str, folder: Path) -> None:
        if not folder.is_dir():
            return
        sizes = dict(files_below(str(folder)))
        hashes, failures = hash_files(str(folder), sizes)
        for name, reason in failures.items():
            raise EvidenceError(f"{folder / name} cannot be read: {reason}")
        described = {name: (hashes[name], sizes[name]) for name in hashes if not name.endswith("latest.json")}
        self._found.candidates += [
            of_file(item.path, item.sha256, folder / name) for item, name, _size in self._new(collection, described)
        ]

    def _new(self, collection: str, described: Mapping[str, tuple[str, int]]) -> Iterator[tuple[Item, str, int]]:
        for name, (sha256, size) in sorted(described.items()):
            path = safe_path(collection, name)
            if self._sealed.get(path) == sha256:
                continue
            if path in self._sealed:
                path = f"{path}@{sha256[:12]}"
                if path in self._sealed:
                    continue
                self._found.altered.append(safe_path(collection, name))
            own = collection == REPORTS and name.startswith(OWN)
            self._found.due = self._found.due or not own
            if not own:
                self._found.lines.append(f"{sha256}  {path}")
            yield Item(path, sha256), name, size


def fetched(source: Source, remote: Remote, new: Sequence[tuple[Item, str, int]]) -> Iterator[Candidate]:
    """What is new on a source. It comes in the order of seals, as soon as the first of it is asked for."""
    ordered = sorted(new, key=lambda row: row[0].path)
    flow = _Flow(source.fetch(remote, [name for _item, name, _size in ordered]))
    for item, name, size in ordered:
        yield Candidate(item, size, partial(flow.pieces, name))


class _Flow:
    """Contents that come one behind the other; some may be left out, and none can be asked for twice."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        #: None at the end; before the beginning, one that nobody asks for.
        self._next: Frame | None = ("", 0, b"")

    def pieces(self, name: str) -> Iterator[bytes]:
        """The content of the next one of that name."""
        while self._next and self._next[:2] != (name, 0):
            self._advance()
        if not self._next:
            raise EvidenceError(f"{name} did not come from its source; run again")
        yield self._next[2]
        self._advance()
        while self._next and self._next[0] == name and self._next[1]:
            yield self._next[2]
            self._advance()

    def _advance(self) -> None:
        self._next = next(self._frames, None)

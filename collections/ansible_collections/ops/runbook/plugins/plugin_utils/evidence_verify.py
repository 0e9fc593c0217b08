# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Verifies a store from the controller, and says as findings what is damaged."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import LEDGER, Checkpoint, moment
from ansible_collections.ops.runbook.plugins.module_utils.evidence_log import Log, Problem, check_items
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.module_utils.merkle import verify_consistency, verify_inclusion
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_memory import check_ledger, damaged_entry
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_replica import KIND, Replica
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_store import EvidenceError, EvidenceStore, now

PAGE = "backup-recovery/evidence-protection"
CONTROLS = ("A.5.28", "A.5.33", "CC4.1")
SCOPES = ("full", "sample", "item", "consistency")
_SHOWN = 50


@dataclass
class Verified:
    """What a verification found."""

    findings: list[Finding] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Wanted:
    """What is to be verified."""

    scope: str = "full"
    item: str = ""
    #: Items whose content the controller fetches and hashes itself.
    sample: int = 20
    #: Seals between which consistency is proven; 0 is the first, or the last.
    start: int = 0
    end: int = 0
    #: Seconds after which a newer seal ought to be there.
    every: float = 0


def verify(store: EvidenceStore, replica: Replica, wanted: Wanted) -> Verified:
    """Verify what is wanted."""
    fewest = 1 if wanted.scope == "sample" else 0
    if wanted.sample < fewest:
        raise EvidenceError(f"evidence_store_sample is {wanted.sample}; read {fewest} items or more")
    log = store.log()
    problems = [*log.problems, *check_ledger(store.state, log.items)]
    done = Verified()
    if wanted.scope == "full":
        problems += _everything(store, log)
        problems += _sampled(store, log, wanted.sample, problems)
    elif wanted.scope == "sample":
        problems += _sampled(store, log, wanted.sample, problems)
    elif wanted.scope == "item":
        problems += _one(store, log, wanted.item, done)
    else:
        problems += _consistent(log, wanted, done)
    problems += replica.problems(log, _of_replica(log, wanted))
    done.findings = [*damage(problems, store.host), *_state(store.host, log, problems, wanted)]
    done.tables.append(_seals(log))
    return done


def _of_replica(log: Log, wanted: Wanted) -> list[str] | None:
    """Items whose bytes are read in the replica: all of them, those that are asked for, or none."""
    if wanted.scope == "full":
        return None
    if wanted.scope == "sample":
        items = [item.path for item in log.items if item.path not in log.deleted()]
        return secrets.SystemRandom().sample(items, min(wanted.sample, len(items)))
    return [wanted.item] if wanted.scope == "item" else []


def _everything(store: EvidenceStore, log: Log) -> list[Problem]:
    said = store.ask("hash")
    found = check_items(log, said["hashes"], said["failures"])
    for problem in list(found):
        if problem.kind == "item" and problem.name.startswith(f"{LEDGER}/") and "altered" in problem.reason:
            number = damaged_entry(store.content(problem.name))
            if number:
                found.append(Problem("ledger entry", str(number), f"it was altered in the sealed {problem.name}"))
    return found


def _sampled(store: EvidenceStore, log: Log, count: int, problems: Sequence[Problem]) -> Iterator[Problem]:
    """Hash some items here, since a host that is in other hands could say any hash."""
    known = {problem.name for problem in problems} | set(log.deleted())
    items = [item for item in log.items if item.path not in known]
    for item in secrets.SystemRandom().sample(items, min(count, len(items))):
        try:
            content = store.content(item.path)
        except EvidenceError as error:
            yield Problem("item", item.path, str(error))
            continue
        if hashlib.sha256(content).hexdigest() != item.sha256:
            yield Problem("item", item.path, "its content, fetched from the store, is not what was sealed")


def _one(store: EvidenceStore, log: Log, path: str, done: Verified) -> Iterator[Problem]:
    index = log.index.get(path)
    if index is None or log.last is None:
        if not log.problems:
            raise EvidenceError(f"evidence_store_item is {path!r}, which was never sealed{_similar(log, path)}")
        return
    item, deletion = log.items[index], _deletion(log, path)
    if deletion:
        yield from _deleted(store, log, path, deletion, done)
        return
    try:
        content = store.content(path)
    except EvidenceError as error:
        yield Problem("item", path, str(error))
        return
    found = hashlib.sha256(content).hexdigest()
    if found != item.sha256:
        yield Problem("item", path, f"it was altered: SHA-256 {found}, sealed {item.sha256}")
        return
    proof = log.tree.inclusion(index)
    root = bytes.fromhex(log.last.root)
    if not verify_inclusion(item.leaf, index, len(log.tree), proof, root):
        yield Problem("item", path, "its inclusion in the newest checkpoint cannot be proven")
        return
    checkpoint = log.checkpoints[log.seals[index] - 1]
    done.findings.append(_fine(store.host, "inclusion proof", f"{path} is leaf {index} of {len(log.tree)}"))
    rows = [["sealed", f"seal {checkpoint.seal}, {checkpoint.time}"], ["SHA-256", item.sha256]]
    rows += [[f"proof {number}", node.hex()] for number, node in enumerate(proof, 1)]
    title = f"{path}: leaf {index}, proven by {len(proof)} hashes"
    done.tables.append({"title": title, "columns": ["What", "Value"], "rows": [*rows, ["root", log.last.root]]})


def _deletion(log: Log, path: str) -> str:
    """The path of the record of its deletion."""
    for record, content in sorted(log.control.items()):
        if record.startswith("deletions/") and any(row["path"] == path for row in content["items"]):
            return record
    return ""


def _deleted(store: EvidenceStore, log: Log, path: str, record: str, done: Verified) -> Iterator[Problem]:
    index = log.index[record]
    checkpoint = log.checkpoints[log.seals[index] - 1]
    try:
        store.content(path)
    except EvidenceError:
        rows = [
            ["deleted", log.control[record]["time"]],
            ["because", log.control[record]["because"]],
            ["sealed as", f"{record}, leaf {index}, seal {checkpoint.seal} of {checkpoint.time}"],
            *([f"proof {number}", node.hex()] for number, node in enumerate(log.tree.inclusion(index), 1)),
        ]
        done.tables.append({"title": f"{path}: deleted when due", "columns": ["What", "Value"], "rows": rows})
    else:
        yield Problem(
            "item", path, f"its deletion was sealed ({record}), and it is still there; run the retention again"
        )


def _similar(log: Log, path: str) -> str:
    name = path.rpartition("/")[2]
    near = [item.path for item in log.items if name and name in item.path][:3]
    return f". There are: {', '.join(near)}" if near else ""


def _consistent(log: Log, wanted: Wanted, done: Verified) -> Iterator[Problem]:
    count = len(log.checkpoints)
    start, end = wanted.start or 1, wanted.end or count
    if log.problems:
        return
    if not 1 <= start <= end <= count:
        raise EvidenceError(
            f"evidence_store_from and evidence_store_to are {start} and {end}; there are seals 1 to {count}"
        )
    old, new = log.checkpoints[start - 1], log.checkpoints[end - 1]
    proof = log.tree.consistency(old.items, new.items)
    if not verify_consistency(old.items, bytes.fromhex(old.root), new.items, bytes.fromhex(new.root), proof):
        yield Problem("checkpoint", f"of seal {end:06}", f"it is no continuation of that of seal {start}")
        return
    rows = [[f"root of seal {start}", old.root], [f"root of seal {end}", new.root]]
    rows += [[f"proof {number}", node.hex()] for number, node in enumerate(proof, 1)]
    title = f"Seal {end} ({new.items} items) continues seal {start} ({old.items} items)"
    done.tables.append({"title": title, "columns": ["What", "Value"], "rows": rows})


def damage(problems: Sequence[Problem], host: str) -> Iterator[Finding]:
    """A finding for everything that is not as it was sealed."""
    for problem in problems:
        yield Finding(
            check=f"{problem.kind} {problem.name}",
            host=host,
            status="critical",
            title=f"{problem.kind} {problem.name}: {problem.reason}",
            expected="as sealed",
            remedy=f"{PAGE}#{'replica' if problem.kind.startswith(KIND) else problem.kind.replace(' ', '-')}",
            controls=CONTROLS,
        )


def _state(host: str, log: Log, problems: Sequence[Problem], wanted: Wanted) -> Iterator[Finding]:
    if not problems:
        yield _fine(host, "sealed evidence", _looked_at(log, wanted))
    if log.last is None:
        yield Finding("sealed evidence", host, "unknown", "nothing was ever sealed here", remedy=f"{PAGE}#late-seal")
        return
    if wanted.every:
        age = (now() - moment(log.last.time)).total_seconds()
        late = age > 2 * wanted.every
        yield Finding(
            check="age of the newest seal",
            host=host,
            status="warning" if late else "ok",
            title=f"seal {log.last.seal} is {age / 3600:.1f} h old",
            observed=round(age),
            expected=f"< {2 * wanted.every:g} s",
            unit="s",
            remedy=f"{PAGE}#late-seal" if late else "",
            controls=CONTROLS,
        )


def _looked_at(log: Log, wanted: Wanted) -> str:
    """What is known to be whole: no more than was looked at."""
    items, seals = len(log.items), f"{len(log.checkpoints)} seals of {len(log.items)} items are whole"
    if wanted.scope == "full":
        return f"{items} items in {len(log.checkpoints)} seals are as they were sealed"
    if wanted.scope == "sample":
        return f"{seals}; {min(wanted.sample, items - len(log.deleted()))} items were read, and are as they were sealed"
    return f"{seals}; {f'of the items {wanted.item} alone' if wanted.scope == 'item' else 'no item'} was looked at"


def _fine(host: str, check: str, title: str) -> Finding:
    return Finding(check=check, host=host, status="ok", title=title, controls=CONTROLS)


def _seals(log: Log) -> dict[str, Any]:
    def row(checkpoint: Checkpoint) -> list[str]:
        return [str(checkpoint.seal), checkpoint.time, str(checkpoint.items), checkpoint.root[:16]]

    newest: Mapping[str, Any] = {
        "title": "Newest seals",
        "columns": ["Seal", "Time (UTC)", "Items in all", "Root begins with"],
        "rows": [row(checkpoint) for checkpoint in log.checkpoints[-5:]],
    }
    return dict(newest)

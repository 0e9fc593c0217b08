# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.evidence_store; the module of the same name documents it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase, VariableLayer
from ansible.utils.display import Display
from ansible_collections.ops.runbook.plugins.module_utils.evidence_checkpoint import Checkpoint
from ansible_collections.ops.runbook.plugins.module_utils.evidence_log import Log
from ansible_collections.ops.runbook.plugins.module_utils.finding import Finding
from ansible_collections.ops.runbook.plugins.module_utils.ledger_entry import LedgerError, NotAnEntryError
from ansible_collections.ops.runbook.plugins.plugin_utils import (
    evidence_package,
    evidence_records,
    evidence_replica,
    evidence_restore,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_units import AmountError, parse_amount
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_keys import Keys, SealingError
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_sources import Gathered, Gatherer, Source, sources_of
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_store import (
    Candidate,
    EvidenceError,
    EvidenceStore,
    Remote,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.evidence_verify import (
    CONTROLS,
    PAGE,
    SCOPES,
    Verified,
    Wanted,
    verify,
)
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut
from ansible_collections.ops.runbook.plugins.plugin_utils.state import state_dir

OPERATIONS = (
    *("plan", "seal", "discard", "replicate", "report", "verify", "hold", "release", "due", "delete", "export"),
    *("restoration", "restore", "put_back"),
)
#: Operations after whose refusal nothing has happened.
_ASKING = ("plan", "verify", "hold", "release", "due", "export", "restoration")
_KEYS = ("signing_key", "allowed_signers", "tsa_url", "tsa_certificate", "tsa_key", "tsa_authority")
_SHOWN = 200
#: Why evidence is restored, where nobody says more.
_DAMAGED = "it was damaged or missing"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Asks the store's host, and seals what it gets."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do one operation, from the controller."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={
                "operation": {"type": "str", "choices": list(OPERATIONS), "required": True},
                "store": {"type": "dict", "required": True},
                "options": {"type": "dict", "default": {}},
            }
        )
        self._variables = task_vars or {}
        self._options: Mapping[str, Any] = arguments["options"]
        self._check = bool(self._task.check_mode)
        #: Whether something was sealed, so that a failure is no refusal any more.
        self._touched = False
        operation = arguments["operation"]
        try:
            self._store = self._open(arguments["store"])
            work: Callable[[], dict[str, Any]] = getattr(self, f"_{operation}")
            return {"changed": False, **work()}
        except (EvidenceError, SealingError, LedgerError, NotAnEntryError, OSError) as error:
            refused = operation in _ASKING and not self._touched
            return {
                "failed": True,
                "changed": False,
                "msg": f"Evidence: {error}",
                **({"refused": True} if refused else {}),
            }

    def _open(self, given: Mapping[str, Any]) -> EvidenceStore:
        host = str(given.get("host", ""))
        if host not in self._variables["hostvars"]:
            raise EvidenceError(f"evidence_store_host is {host!r}, which is no host of the inventory")
        keep = {}
        for collection, text in given["keep"].items():
            try:
                amount = parse_amount(text)
            except AmountError as error:
                raise EvidenceError(f"the retention of {collection or 'evidence'}: {error}") from error
            if amount.kind != "duration" or amount.number < 0:
                raise EvidenceError(
                    f"the retention of {collection or 'evidence'} is {text!r}; give a duration such as 400d"
                )
            keep[collection] = int(amount.number)
        keys = Keys(
            **{name: str(Path(given[name]).expanduser()) if given[name] else "" for name in _KEYS if name != "tsa_url"},
            tsa_url=given["tsa_url"],
        )
        self._remote = Remote(FanOut(self, self._variables))
        anew = str(given["anew"])
        if anew:
            evidence_records.Why(anew).checked()
        state = state_dir().expanduser()
        store = EvidenceStore(self._remote, host, str(given["root"]), keys, state, keep, anew)
        folder = Path(given["replica"]).expanduser() if given["replica"] else state / evidence_replica.FOLDER
        self._replica = evidence_replica.Replica(store, self._remote, folder)
        return store

    # Sealing

    def _plan(self) -> dict[str, Any]:
        """What a seal would add, refused where it cannot be sealed."""
        problems = self._store.keys.problems()
        if problems:
            raise EvidenceError("; ".join(problems))
        log = self._store.sound_log()
        found = self._gather(log)
        self._register(
            evidence_store_queue=[self._store.host] if found.due or self._replica.behind(log) else [],
            __evidence_store_plan={"lines": found.lines, "altered": found.altered},
        )
        result = {"msg": f"{len(found.candidates)} items are to be sealed on {self._store.host}"}
        first = self._store.begun_anew(log)
        return {**result, "checkpoint": first.text} if first else result

    def _gather(self, log: Log) -> Gathered:
        return Gatherer(self._remote, log, self._store.state).gather(self._sources(), self._options["directories"])

    def _sources(self) -> list[Source]:
        sources, errors = [], []
        hostvars = self._variables["hostvars"]
        for host in self._options["hosts"]:
            variables = hostvars[host]
            own, wrong = sources_of(host, variables.get("evidence_store_sources", {}))
            sources += own
            errors += wrong
        if errors:
            raise EvidenceError("; ".join(errors))
        return sources

    def _seal(self) -> dict[str, Any]:
        """Seal what is new."""
        log = self._store.sound_log()
        found = self._gather(log)
        if not found.due:
            return {"msg": "nothing is new"}
        return self._sealed(log, found.candidates, "\n".join(found.lines[:_SHOWN]))

    def _sealed(self, log: Log, candidates: Sequence[Candidate], shown: str) -> dict[str, Any]:
        """Seal the candidates, or say that they would be."""
        result: dict[str, Any] = {
            "changed": True,
            "path": self._store.root,
            "diff": {"before": "", "after": shown + "\n", "before_header": "sealed", "after_header": "new"},
        }
        if self._check:
            return result
        self._touched = True
        try:
            checkpoint = self._store.seal(log, candidates)
        except (EvidenceError, SealingError):
            with suppress(EvidenceError):  # of a store that does not answer; the next seal forgets it
                self._discard()
            raise
        return {
            **result,
            "checkpoint": checkpoint.text,
            "sealed": len(candidates),
            "msg": f"seal {checkpoint.seal}: {len(candidates)} items, {checkpoint.items} in all",
        }

    def _discard(self) -> dict[str, Any]:
        """Forget what was received and not sealed."""
        return {"discarded": 0 if self._check else self._store.ask("discard")["discarded"]}

    def _replicate(self) -> dict[str, Any]:
        """Take what the store has gained into the replica."""
        sealed = self._variables["hostvars"][self._store.host].get("__evidence_store_sealed", {})
        if self._check and sealed.get("changed"):
            return {"changed": True, "path": str(self._replica.root)}
        log = self._store.sound_log()
        behind = self._replica.behind(log)
        result = {"changed": behind, "path": str(self._replica.root)}
        if behind and not self._check:
            result["msg"] = f"{self._replica.take(log)} seals or items were replicated to {self._replica.root}"
        return result

    def _report(self) -> dict[str, Any]:
        """Findings and tables of what was sealed."""
        hostvars = self._variables["hostvars"][self._store.host]
        plan = self._variables.get("__evidence_store_plan", {"lines": [], "altered": []})
        sealed = hostvars.get("__evidence_store_sealed", {})
        checkpoint = Checkpoint.parse(sealed["checkpoint"].encode("ascii")) if sealed.get("checkpoint") else None
        if checkpoint:
            title = f"{sealed['sealed']} items sealed as seal {checkpoint.seal}; {checkpoint.items} in all"
        else:
            title = (
                f"{len(plan['lines'])} items would be sealed"
                if self._check and plan["lines"]
                else "nothing new to seal"
            )
        findings = [Finding("evidence sealed", self._store.host, "ok", title, controls=CONTROLS)]
        findings += [
            Finding(
                check=f"altered {path}",
                host=self._store.host,
                status="warning",
                title=f"{path} differs at its source from what was sealed; both are kept",
                remedy=f"{PAGE}#altered",
                controls=CONTROLS,
            )
            for path in plan["altered"]
        ]
        rows = [[line[66:] or line, line[:16] if line[66:] else ""] for line in plan["lines"][:_SHOWN]]
        table = {"title": "Sealed", "columns": ["Item", "SHA-256 begins with"], "rows": rows}
        if checkpoint:
            table["note"] = f"Checkpoint of seal {checkpoint.seal}: root {checkpoint.root}, {checkpoint.time}"
        self._publish(Verified(findings, [table] if rows else []))
        return {}

    # Verification

    def _verify(self) -> dict[str, Any]:
        """Verify, and leave the findings for the report."""
        given = self._options
        if given["scope"] not in SCOPES:
            raise EvidenceError(f"evidence_store_scope is {given['scope']!r}; give one of {', '.join(SCOPES)}")
        wanted = Wanted(
            given["scope"],
            str(given["item"]),
            int(given["sample"]),
            int(given["from"]),
            int(given["to"]),
            parse_amount(given["every"]).number,
        )
        found = verify(self._store, self._replica, wanted)
        self._publish(found)
        # The store stays as it is: its record of who read what is the run's, which the next seal takes in.
        read = [{"path": path, "sha256": sha256} for path, sha256 in sorted(self._store.fetched.items())]
        return {"evidence_read": read}

    # Records

    def _why(self) -> evidence_records.Why:
        return evidence_records.Why(str(self._options["reason"]), str(self._options["ticket"]))

    def _hold(self) -> dict[str, Any]:
        """Place a legal hold."""
        log, name, items = self._store.sound_log(), str(self._options["hold"]), _patterns(self._options["items"])
        record = evidence_records.hold(log, name, items, self._why())
        return self._recorded(log, record, f"hold {name} placed on {', '.join(items)}")

    def _release(self) -> dict[str, Any]:
        """End a legal hold."""
        log, name = self._store.sound_log(), str(self._options["hold"])
        return self._recorded(log, evidence_records.release(log, name, self._why()), f"hold {name} released")

    def _recorded(self, log: Log, record: Candidate, what: str) -> dict[str, Any]:
        result = self._sealed(log, [record], what)
        active = evidence_records.holds(log if self._check else self._store.log())
        rows = [
            [name, ", ".join(each["items"]), each["time"], each["because"]] for name, each in sorted(active.items())
        ]
        table = {"title": "Holds in force", "columns": ["Hold", "Items", "Since", "Because"], "rows": rows}
        self._publish(Verified([Finding("evidence hold", self._store.host, "ok", what, controls=CONTROLS)], [table]))
        return result

    def _due(self) -> dict[str, Any]:
        """What may be deleted; refused where something that is asked for may not."""
        log = self._store.sound_log()
        found = evidence_records.due(self._store, log, _patterns(self._options["items"]))
        left = list(log.deleted())
        self._register(
            evidence_store_queue=[self._store.host] if found.leaves or left else [],
            __evidence_store_due=[log.items[leaf].path for leaf in found.leaves],
        )
        return {"msg": f"{len(found.leaves)} items are due, {len(found.kept)} are kept"}

    def _delete(self) -> dict[str, Any]:
        """Seal the deletion of what is due, then delete it."""
        log = self._store.sound_log()
        found = evidence_records.due(self._store, log, _patterns(self._options["items"]))
        paths = [log.items[leaf].path for leaf in found.leaves]
        result: dict[str, Any] = {}
        if paths:
            why = evidence_records.Why("their retention is over", str(self._options["ticket"]))
            record = evidence_records.deletion(self._store, log, found.leaves, why)
            result = self._sealed(log, [record], "\n".join(f"deleted {path}" for path in paths[:_SHOWN]))
        if not self._check:
            # What an interrupted run has left, too: its deletion is sealed already.
            self._store.ask("remove", paths=sorted({*paths, *log.deleted()}))
        rows = [[path, "deleted" if not self._check else "would be deleted"] for path in paths]
        table = {"title": "Retention is over", "columns": ["Item", "Result"], "rows": rows}
        title = f"{len(paths)} items were due for deletion, {len(found.kept)} are kept"
        done = Finding("evidence retention", self._store.host, "ok", title, controls=CONTROLS)
        self._publish(Verified([done], [table] if rows else []))
        return result

    def _export(self) -> dict[str, Any]:
        """Write who gets what and why into the chain of custody, then write the package."""
        log, patterns = self._store.sound_log(), _patterns(self._options["items"])
        items = evidence_records.chosen(log, patterns)
        if not patterns or not items:
            raise EvidenceError(f"evidence_store_items is {patterns}, which matches no sealed item")
        folder = Path(str(self._options["destination"])).expanduser()
        if not self._options["destination"] or folder.exists():
            raise EvidenceError(
                f"evidence_store_destination is {str(self._options['destination'])!r}; give a new folder"
            )
        record = evidence_records.custody(log, "exported", items, self._why())
        result = self._sealed(log, [record], "\n".join(f"exported {item.path}" for item in items[:_SHOWN]))
        if not self._check:
            evidence_package.write(self._store, self._store.sound_log(), [*items, record.item], folder)
        title = f"{len(items)} items exported to {folder}"
        done = Finding("evidence export", self._store.host, "ok", title, controls=CONTROLS)
        rows = [[item.path, item.sha256] for item in items]
        self._publish(Verified([done], [{"title": "Exported", "columns": ["Item", "SHA-256"], "rows": rows}]))
        return result

    # Bringing back

    def _restoration(self) -> dict[str, Any]:
        """What would be brought back, from where, and what it costs; refused where nothing can be."""
        problems = self._store.keys.problems()
        if problems:
            raise EvidenceError("; ".join(problems))
        found = self._found()
        text = found.estimate(self._store.host)
        Display().display(text + "\n")
        due = found.due or self._replica.behind(found.log)
        report = found.report(self._store.host, "would be brought back" if self._check else "to be brought back")
        self._publish(report, evidence_store_queue=[self._store.host] if due else [])
        return {"msg": text}

    def _found(self) -> evidence_restore.Restoration:
        wanted = _patterns(self._options["items"])
        return evidence_restore.plan(self._store, self._replica, self._remote, self._sources(), wanted)

    def _restore(self) -> dict[str, Any]:
        """Bring it back, see that it is as it was sealed, and write that into the chain of custody."""
        found = self._found()
        if not found.due:
            return {"msg": "nothing is damaged"}
        shown = "\n".join(found.lines[:_SHOWN])
        if self._check:
            return self._sealed(found.log, [], shown)
        done = dict(found.unrecorded)
        if found.copies or found.seals:
            run = os.environ.get("RUNBOOK_RUN_ID") or "unnamed"
            self._store.send([copy.candidate for copy in found.copies])
            items = {copy.item.path: copy.item.sha256 for copy in found.copies}
            seals = {path: data.decode("latin-1") for path, data in found.seals.items()}
            done[run] = self._store.ask("restore", run=run, items=items, seals=seals)
        evidence_restore.verified(self._store, found)
        log = self._store.sound_log()
        origins = {copy.item.path: copy.origin for copy in found.copies}
        why = evidence_records.Why(str(self._options["reason"]) or _DAMAGED, str(self._options["ticket"]))
        result = self._sealed(log, evidence_restore.custody(log, done, origins, why), shown)
        self._publish(found.report(self._store.host, "brought back"))
        return {**result, "restored": len(found.copies) + len(found.seals)}

    def _put_back(self) -> dict[str, Any]:
        """Undo what this run has restored."""
        if self._check:
            return {}
        self._store.ask("discard")
        return dict(self._store.ask("put_back", run=os.environ.get("RUNBOOK_RUN_ID") or "unnamed"))

    # What later tasks read

    def _publish(self, found: Verified, **more: Any) -> None:
        self._register(
            **more,
            __evidence_store_findings=[finding.to_dict() for finding in found.findings],
            __evidence_store_sections={"tables": found.tables},
        )

    def _register(self, **values: Any) -> None:
        self.register_host_variables(values, VariableLayer.REGISTER_VARS)


def _patterns(given: Any) -> list[str]:
    """Patterns of items: a list, or one text with commas."""
    if isinstance(given, str):
        return [word.strip() for word in given.split(",") if word.strip()]
    return [str(word) for word in given or ()]

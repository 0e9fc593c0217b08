# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ops.runbook.dependency_plan; the module of the same name documents it."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase, VariableLayer
from ansible_collections.ops.runbook.plugins.module_utils import application_release, application_service
from ansible_collections.ops.runbook.plugins.plugin_utils import dependency_audit, dependency_plan, dependency_resolve
from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_audit import AuditError, Verdict
from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_lock import Lock, LockError, canonical, parse
from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_plan import Host, PlanError, Step
from ansible_collections.ops.runbook.plugins.plugin_utils.dependency_resolve import ResolveError, Target, tool
from ansible_collections.ops.runbook.plugins.plugin_utils.fan_out import FanOut
from ansible_collections.ops.runbook.plugins.plugin_utils.state import state_dir

PLAN = "__dependency_updates_plan"
#: Seconds that a host may take to describe its releases.
LOOK = 60.0
#: How many words are a reason.
WORDS = 3


class _RefusedError(Exception):
    """The run must not begin."""


class ActionModule(ActionBase):  # type: ignore[misc]
    """Decides for all hosts of the play what is to be done; changes none."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make the plan, or refuse the run."""
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={"entry_point": {"type": "str", "choices": ["preflight", "back"], "required": True}}
        )
        variables = task_vars or {}
        try:
            options = self._options(arguments["entry_point"], variables)
            hosts = self._hosts(options, variables)
            if isinstance(hosts, dict):
                return hosts
            back = arguments["entry_point"] == "back"
            plan = {**(_back(hosts, options) if back else self._update(hosts, options)), "back": back}
        except (_RefusedError, PlanError, LockError, ResolveError, AuditError, OSError) as error:
            message = f"The dependencies cannot be updated; no host was touched.\n{error}"
            return {"failed": True, "refused": True, "changed": False, "msg": message}
        self.register_host_variables({PLAN: plan}, VariableLayer.REGISTER_VARS)
        pending = plan["pending"]
        what = f"{len(pending)} of {len(hosts)} hosts to change: {', '.join(pending)}" if pending else "nothing to do"
        return {"changed": False, "msg": what, "pending": pending, "packages": plan["packages"], "audit": plan["audit"]}

    # What was asked for

    def _options(self, entry_point: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The role's variables, as its argument specification describes them."""
        path = Path(self._task._role._role_path) / "meta" / "argument_specs.yml"
        specification = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"][entry_point]["options"]
        given, errors = {}, []
        for name in specification:
            if name in variables:
                try:
                    given[name] = self._templar.template(variables[name])
                except AnsibleError as error:
                    errors.append(f"{name}: {getattr(error, 'message', None) or error}".strip())
        if not errors:
            result = ArgumentSpecValidator(specification).validate(given, validate_role_argument_spec=True)
            errors = [*result.error_messages, *_wrong(result.validated_parameters)]
        if errors:
            raise _RefusedError("\n".join(f"- {line}" for line in errors))
        return {name.removeprefix("dependency_updates_"): value for name, value in result.validated_parameters.items()}

    # What is there

    def _hosts(self, options: Mapping[str, Any], variables: Mapping[str, Any]) -> list[Host] | dict[str, Any]:
        """What every host says, or the failure of those that say nothing."""
        names = list(variables["ansible_play_hosts_all"])
        source = application_release.program(options["root"], options["python"]).encode()
        replies = FanOut(self, variables).run_python(dict.fromkeys(names, source), LOOK)
        hosts, lost, wrong = [], [], []
        for name in names:
            reply = replies[name]
            try:
                found = json.loads(reply.stdout)
            except ValueError:
                said = (reply.error or reply.stderr or reply.stdout).strip() or "it said nothing"
                lost.append(f"- {name}: {said[-500:]}")
                continue
            if "error" in found:
                wrong.append(f"{name}: {found['error']}")
            else:
                hosts.append(Host.of(name, found))
        if lost:
            message = "These hosts did not say which release they run; nothing was changed:\n" + "\n".join(lost)
            return {"failed": True, "changed": False, "msg": message}
        if wrong:
            raise PlanError("\n".join(wrong))
        return hosts

    # What is to be done

    def _update(self, hosts: list[Host], options: Mapping[str, Any]) -> dict[str, Any]:
        target = dependency_plan.common_target(hosts)
        archive = Path(options["archive"]) if options["archive"] else None
        code, in_archive = _read_archive(archive) if archive else ("", "")
        requirements = _text(options["requirements"], "dependency_updates_requirements") or in_archive
        lock = _given_lock(options, target)
        if lock is None:
            requirements = requirements or dependency_plan.common_requirements(hosts)
            lock = _resolved(hosts, requirements, target, options)
        steps = dependency_plan.update(hosts, lock, code, options["version"])
        audit, remark = _audited(lock, options)
        bundle = ""
        if not self._task.check_mode and any(step.build for step in steps):
            requirements = requirements or dependency_plan.common_requirements(hosts)
            folder = state_dir() / "dependency_updates"
            bundle = str(dependency_resolve.bundle(lock, requirements, archive, target, folder))
        return {**_plan(steps, options), "bundle": bundle, "audit": audit, "remark": remark, "lock": lock.text}


def _back(hosts: list[Host], options: Mapping[str, Any]) -> dict[str, Any]:
    steps = dependency_plan.back(hosts, options["release"])
    return {**_plan(steps, options), "bundle": "", "audit": [], "remark": "A way back is not audited.", "lock": ""}


def _plan(steps: Sequence[Step], options: Mapping[str, Any]) -> dict[str, Any]:
    pending = [step for step in steps if step.pending]
    moves = {str(move): None for step in pending for move in step.moves}
    return {
        "hosts": {step.host: step.to_dict() for step in steps},
        "pending": [step.host for step in pending],
        "packages": list(moves),
        "batches": dependency_plan.sizes(options["batches"], len(pending), len(steps)),
    }


def _wrong(options: Mapping[str, Any]) -> list[str]:
    """What the types of the options do not say."""
    errors = dependency_plan.wrong_batches(options["dependency_updates_batches"])
    keep = options["dependency_updates_keep"]
    if keep < 0:
        errors.append(f"application_release_keep is {keep}; it is the number of releases that stay, 0 or more")
    errors += application_service.wrong(options["dependency_updates_requests"], "application_release_requests")
    if not options["dependency_updates_requests"]:
        errors.append("application_release_requests is empty; a release is judged by what it answers")
    if "dependency_updates_release" in options:
        name = options["dependency_updates_release"]
        if not dependency_plan.is_release_name(name):
            errors.append(f"dependency_updates_release is {name!r}; it is the name of a release, or previous")
        return errors
    upgrade, packages = options["dependency_updates_upgrade"], options["dependency_updates_packages"]
    if (upgrade == "listed") != bool(packages):
        errors.append(
            f"dependency_updates_upgrade is {upgrade} and dependency_updates_packages names"
            f" {', '.join(packages) or 'none'}: packages are named for listed, and only for it"
        )
    reason = options["dependency_updates_unaudited"].strip()
    if reason and len(reason.split()) < WORDS:
        errors.append(f"dependency_updates_unaudited is {reason!r}; give the reason in at least {WORDS} words")
    if options["dependency_updates_advisory_url"] and options["dependency_updates_advisory_service"] != "osv":
        errors.append("dependency_updates_advisory_url: only the service osv can be at another address")
    version = options["dependency_updates_version"]
    if version and not dependency_plan.is_release_name(version):
        errors.append(f"dependency_updates_version is {version!r}; it becomes part of a folder's name")
    try:
        dependency_audit.acceptances(
            options["dependency_updates_accepted_advisories"], "dependency_updates_accepted_advisories"
        )
    except ValueError as error:
        errors.append(str(error))
    return errors


def _text(path: str, variable: str) -> str:
    if not path:
        return ""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _RefusedError(f"{variable}: {path} cannot be read: {error}") from error
    if not any(line.strip() and not line.strip().startswith("#") for line in text.splitlines()):
        raise _RefusedError(f"{variable}: {path} is empty")
    return text


def _given_lock(options: Mapping[str, Any], target: Target) -> Lock | None:
    path = options["lock"]
    if not path:
        return None
    text = _text(path, "dependency_updates_lock")
    try:
        return parse(text, target.markers, path)
    except LockError as error:
        raise _RefusedError(f"dependency_updates_lock: {error}") from error


def _resolved(hosts: Sequence[Host], requirements: str, target: Target, options: Mapping[str, Any]) -> Lock:
    """Resolve on the base of the first host's lock: after an interrupted run it is the one that is furthest."""
    base = hosts[0].running.lock if hosts[0].running else None
    packages = [canonical(name) for name in options["packages"]]
    known = set(base.pins) if base else set()
    unknown = [name for name in packages if name not in known]
    if unknown:
        raise _RefusedError(
            f"dependency_updates_packages names {', '.join(unknown)}, which the running release does not have;"
            f" it has {', '.join(sorted(known)) or 'no lock'}"
        )
    upgrade = options["upgrade"]
    try:
        return dependency_resolve.resolve(
            requirements, options["constraints"], target, base=base, upgrade=upgrade, packages=packages
        )
    except ResolveError as error:
        sources = "dependency_updates_requirements, dependency_updates_constraints"
        raise _RefusedError(f"{sources}: {error}") from error


def _audited(lock: Lock, options: Mapping[str, Any]) -> tuple[list[str], str]:
    """What the advisories say, one line each; refuses what nobody has accepted."""
    service, url = options["advisory_service"], options["advisory_url"]
    try:
        advisories = dependency_audit.audit(lock, tool("pip-audit"), service, url)
    except AuditError as error:
        reason = options["unaudited"].strip()
        if not reason:
            raise _RefusedError(
                f"The advisory source could not be asked, so nothing is known about the new versions: {error}\n"
                "Run again when it answers, or give the reason to go without in dependency_updates_unaudited."
            ) from error
        return [f"{error}"], f"NOT AUDITED: {reason}"
    accepted = dependency_audit.acceptances(options["accepted_advisories"], "dependency_updates_accepted_advisories")
    verdict = dependency_audit.judge(advisories, accepted)
    if verdict.forbidding:
        raise _RefusedError(_forbidden(verdict))
    lines = [f"{item}; accepted until {why.until}: {why.reason}" for item, why in verdict.accepted]
    return lines, f"{len(lock.pins)} packages audited by {service}, {len(lines)} accepted advisories."


def _forbidden(verdict: Verdict) -> str:
    lines = [f"- {item}{f' ({note})' if note else ''}" for item, note in verdict.forbidding]
    return (
        "The new versions have known vulnerabilities:\n" + "\n".join(lines) + "\nAllow newer versions"
        " (dependency_updates_constraints), or accept them with a reason (dependency_updates_accepted_advisories)."
    )


def _read_archive(archive: Path) -> tuple[str, str]:
    """The digest of the code in an archive, and its requirements."""
    try:
        with tempfile.TemporaryDirectory(prefix="code-") as name, tarfile.open(archive) as tar:
            tar.extractall(name, filter="data")
            requirements = Path(name) / "requirements.in"
            text = requirements.read_text(encoding="utf-8") if requirements.exists() else ""
            if not application_release.code_files(Path(name)):
                raise _RefusedError(f"dependency_updates_archive: {archive} has no code in it")
            return application_release.code_digest(Path(name)), text
    except (OSError, tarfile.TarError) as error:
        raise _RefusedError(f"dependency_updates_archive: {archive} cannot be read: {error}") from error

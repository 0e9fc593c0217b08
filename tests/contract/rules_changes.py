"""Rules about procedures that change hosts: guarded, approved as their page says, and tested in the same six ways."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.contract.project import IMPORTS, Project, Rule, walk

GUARD = "change_guard"
#: How many people have to approve: a demand of the playbook, above which only the inventory can go.
APPROVALS = "change_guard_approvals"
#: What each of them calls, in the order of a run.
GUARDED = ("preflight", "acquire", "batch", "release")
#: Entry points of roles that change hosts.
CHANGING = {"apply", "drain", "fence", "follow", "promote", "reboot", "restart", "restore", "rollback"}
TASK_FILES = ("ansible.builtin.import_tasks", "ansible.builtin.include_tasks")
PLAYBOOKS = "ansible.builtin.import_playbook"

#: What the name of a test says that it shows.
SHOWN = ("success", "second_run", "check_mode", "failure", "bad_input", "interruption")
#: What tests of these cannot do without: one of each row.
USED = (
    ("same_changes",),
    ("changed_files", "Untouched"),
    ("killed_after", "killed_at"),
    ("refused",),
    ("interrupted",),
)

Step = tuple[str, str]


def steps(project: Project, path: Path, seen: frozenset[Path] = frozenset()) -> Iterator[Step]:
    """The entry points that a playbook or task file calls, in order, with those that these call themselves."""
    if path in seen or path not in project.tracked:
        return
    seen |= {path}
    for mapping in walk(project.yaml(path)):
        if PLAYBOOKS in mapping:
            yield from steps(project, path.parent / mapping[PLAYBOOKS], seen)
        for module in TASK_FILES:
            if module in mapping:
                yield from steps(project, path.parent / _file(mapping[module]), seen)
        for module in IMPORTS:
            if module in mapping:
                call = mapping[module]
                role, entry = call["name"], _entry(call)
                yield role, entry
                yield from steps(project, Path("roles", role, "tasks", f"{entry}.yml"), seen)


def _file(argument: Any) -> str:
    return argument if isinstance(argument, str) else str(argument["file"])


def _imported(project: Project) -> set[Path]:
    """Playbooks that are parts of others."""
    return {
        path.parent / mapping[PLAYBOOKS]
        for path in project.playbooks
        for mapping in walk(project.yaml(path))
        if PLAYBOOKS in mapping
    }


def change_is_guarded(project: Project) -> Iterator[str]:
    """Whoever changes hosts asks the guard, locks the hosts first, looks at the clock, and frees them at last."""
    mutating = {Path(page.playbook) for page in project.catalogue.procedures if page.kind == "mutating"}
    for path in sorted({*project.playbooks, *mutating} - _imported(project)):
        called = list(steps(project, path))
        changes = [number for number, (role, entry) in enumerate(called) if role != GUARD and entry in CHANGING]
        if not changes and path not in mutating:
            continue
        missing = [entry for entry in GUARDED if (GUARD, entry) not in called]
        yield from (f"{path}: does not call {GUARD} {entry}" for entry in missing)
        if changes and not missing:
            yield from (f"{path}: {problem}" for problem in _order(called, changes[0], changes[-1]))


def _order(called: list[Step], first: int, last: int) -> Iterator[str]:
    """What is wrong with the moment at which the hosts are locked and freed."""
    if called.index((GUARD, "preflight")) > called.index((GUARD, "acquire")):
        yield f"calls {GUARD} acquire before {GUARD} preflight"
    if called.index((GUARD, "acquire")) > first:
        yield f"calls {' '.join(called[first])} before {GUARD} acquire"
    if (GUARD, "release") not in called[last:]:
        yield f"calls no {GUARD} release after {' '.join(called[last])}"


def change_is_tested(project: Project) -> Iterator[str]:
    """Success, second run, check mode, failure, bad input and interruption of everything that changes hosts."""
    for page in project.catalogue.procedures:
        if page.kind != "mutating":
            continue
        sources = [
            project.text(path) for name in page.scenarios for path in project.files(f"molecule/{name}/tests/*.py")
        ]
        nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
        tests = [node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
        for word in SHOWN:
            if not any(word in name for name in tests):
                yield f"{page.name}: no test of its scenarios has {word} in its name"
        used = _words(nodes)
        yield from (
            f"{page.name}: its tests never use {' or '.join(row)}" for row in USED if not used.intersection(row)
        )
        if _can_be_rolled_back(project, Path(page.playbook)) and "rolled_back" not in used:
            yield f"{page.name}: its tests never use rolled_back, which its playbook can end with"
        module = Path("molecule", Path(page.playbook).stem, "tests/interruption.py")
        if module not in project.tracked:
            yield f"{page.name}: there is no {module}, which the interruption matrix needs"


def _can_be_rolled_back(project: Project, playbook: Path) -> bool:
    """Whether tasks of the roles that it calls end a run so."""
    roles = {role for role, _entry in steps(project, playbook)}
    tasks = [path for path in project.tracked if path.match("roles/*/tasks/*.yml") and path.parts[1] in roles]
    return any("rolled_back" in project.text(path) for path in tasks)


def _words(nodes: list[ast.AST]) -> set[str]:
    """Names, attributes and texts in the code, without comments and docstrings of it as a whole."""
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return names | {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def approval_is_demanded(project: Project) -> Iterator[str]:
    """A page that asks for a second person has a playbook that demands one, and no other page has."""
    for page in project.catalogue.procedures:
        playbook = Path(page.playbook)
        if playbook not in project.tracked:
            continue
        demanded = max(_demands(project, playbook), default=0)
        if page.approval == "four-eyes" and demanded < 1:
            yield f"{playbook}: {APPROVALS} is not set where {GUARD} preflight is called; the page says four-eyes"
        if page.approval == "none" and demanded:
            yield f"{playbook}: sets {APPROVALS} to {demanded}; the page says that no approval is needed"


def _demands(project: Project, playbook: Path) -> Iterator[int]:
    """How many people have to approve, in each play that asks the guard."""
    for play in project.yaml(playbook):
        if any(call.get("name") == GUARD and _entry(call) == "preflight" for call in _role_calls(play)):
            yield from (mapping["vars"].get(APPROVALS, 0) for mapping in walk(play) if mapping.get("vars"))


def _role_calls(play: Any) -> Iterator[dict[str, Any]]:
    return (mapping[module] for mapping in walk(play) for module in IMPORTS if module in mapping)


def _entry(call: dict[str, Any]) -> str:
    return Path(call.get("tasks_from", "main")).stem


RULES: tuple[Rule, ...] = (change_is_guarded, change_is_tested, approval_is_demanded)

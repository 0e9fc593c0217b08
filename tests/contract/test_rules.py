"""Every rule notices what it forbids, and keeps quiet where nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.contract import miniature
from tests.contract import rules_changes as changes
from tests.contract import rules_pages as pages
from tests.contract import rules_roles as roles
from tests.contract import rules_source as source
from tests.contract.miniature import PAGE, ROLE
from tests.contract.project import Project, Rule
from tests.contract.test_contract import RULES

FILES = miniature.files()
PLAYBOOK = "playbooks/monitoring_procedures/health_checks.yml"
SPEC = f"{ROLE}/meta/argument_specs.yml"
DEFAULTS = f"{ROLE}/defaults/main.yml"
TASKS = f"{ROLE}/tasks/sweep.yml"
OBJECTIVES = "inventories/example/group_vars/all/objectives.yml"
CATALOGUE = "runbook_docs/catalogue.yml"


def replaced(name: str, old: str, new: str) -> dict[str, str | None]:
    assert old in FILES[name]
    return {name: FILES[name].replace(old, new)}


def added(name: str, text: str) -> dict[str, str | None]:
    return {name: FILES.get(name, "") + text}


@dataclass(frozen=True)
class Broken:
    """The small project with something wrong, and what the rule says about it."""

    rule: Rule
    changes: dict[str, str | None]
    said: str
    also: Callable[[Path], None] = field(default=lambda root: None)


#: The guard, and a procedure that changes hosts and keeps the rules for those.
_CALL = "    - ansible.builtin.import_role: {{name: {}, tasks_from: {}}}\n"
_STEPS = ("change_guard preflight", "change_guard acquire", "change_guard batch", "other apply", "change_guard release")
_TESTS = """\
def test_success(): assert run() == "succeeded"
def test_second_run(): assert run().changes == ()
def test_check_mode(): assert same_changes(check, run()) and changed_files(before, after) == {}
def test_failure(): assert run() == "rolled_back"
def test_bad_input(): assert run() == "refused"
def test_interruption(): assert killed_after(1) == "interrupted"
"""
MUTATING = {
    PAGE: FILES[PAGE].replace("kind: read-only", "kind: mutating"),
    PLAYBOOK: "- hosts: platform\n  tasks:\n" + "".join(_CALL.format(*step.split()) for step in _STEPS),
    "molecule/health_checks/tests/test_all.py": _TESTS,
    "molecule/health_checks/tests/interruption.py": "OPTIONS = ()\n",
}


def mutating(name: str, old: str, new: str) -> dict[str, str | None]:
    assert old in MUTATING[name]
    return {**MUTATING, name: MUTATING[name].replace(old, new)}


DEMANDING = mutating(PLAYBOOK, "  tasks:", "  vars: {change_guard_approvals: 1}\n  tasks:")


def without_step(step: str) -> dict[str, str | None]:
    return mutating(PLAYBOOK, _CALL.format(*step.split()), "")


def _symlink(root: Path) -> None:
    (root / "link").symlink_to("README.md")


BROKEN = [
    Broken(pages.front_matter_is_valid, replaced(PAGE, "kind: read-only", "kind: safe"), "kind is 'safe'"),
    Broken(
        pages.pages_are_built_or_planned,
        replaced(CATALOGUE, "  troubleshooting/common-issues: {title: T, summary: S}\n", ""),
        "troubleshooting/common-issues is neither a page nor planned",
    ),
    Broken(
        pages.pages_are_built_or_planned,
        added(CATALOGUE, "  troubleshooting/rare-issues: {title: T, summary: S}\n"),
        "troubleshooting/rare-issues is no page of the runbook",
    ),
    Broken(
        pages.built_is_not_called_planned,
        replaced(PAGE, "# Health checks\n", "# Health checks\n\nSee the planned\nprocedure *Health checks*.\n"),
        "calls Health checks planned, which is built",
    ),
    Broken(
        pages.playbook_has_the_name_of_its_page,
        replaced(PAGE, "playbooks/monitoring_procedures/health_checks.yml\nsc", "playbooks/other.yml\nsc"),
        "playbook is playbooks/other.yml, not playbooks/monitoring_procedures/health_checks.yml",
    ),
    Broken(pages.playbook_has_the_name_of_its_page, {PLAYBOOK: None}, "there is no playbooks/"),
    Broken(pages.playbook_has_a_page, {"playbooks/orphan.yml": "[]\n"}, "playbooks/orphan.yml has no page"),
    Broken(
        pages.scenario_belongs_to_a_page,
        {"molecule/orphan/molecule.yml": "{}\n"},
        "molecule/orphan is named by no page",
    ),
    Broken(
        pages.scenario_belongs_to_a_page,
        {"molecule/health_checks/molecule.yml": None},
        "a page names molecule/health_checks, which does not exist",
    ),
    Broken(
        pages.scenario_belongs_to_a_page,
        replaced(PAGE, "scenarios: [health_checks]", "scenarios: []"),
        "names no scenario",
    ),
    Broken(
        pages.roles_are_those_of_the_playbook,
        replaced(PAGE, "roles: [health_check]", "roles: []"),
        "does not name role health_check",
    ),
    Broken(
        pages.roles_are_those_of_the_playbook,
        replaced(PAGE, "roles: [health_check]", "roles: [health_check, other]"),
        "names role other, which its playbook does not call",
    ),
    Broken(
        pages.roles_are_those_of_the_playbook,
        added(TASKS, "- ansible.builtin.include_role: {name: hidden}\n"),
        "does not name role hidden",
    ),
    Broken(pages.title_is_the_heading, replaced(PAGE, "# Health checks\n", "# Checks\n"), "begins with '# Checks'"),
    Broken(pages.sections_are_complete, replaced(PAGE, "## Escalate\n\nText.\n", ""), "lacks the section 'Escalate'"),
    Broken(
        pages.sections_are_complete,
        replaced(PAGE, "## Escalate\n\nText.", "## Escalate\n"),
        "the section 'Escalate' is empty",
    ),
    Broken(
        pages.sections_are_complete,
        replaced(PAGE, "## Escalate\n\nText.\n", "```\n## Escalate\n\nText.\n```\n"),
        "lacks the section 'Escalate'",
    ),
    Broken(
        pages.sections_are_complete,
        {
            PAGE: FILES[PAGE]
            .replace("## Impact\n", "## Here\n")
            .replace("## Purpose\n", "## Impact\n")
            .replace("## Here\n", "## Purpose\n")
        },
        "sections stand in the order ['Impact'",
    ),
    Broken(
        pages.variables_table_is_generated,
        replaced(PAGE, "<!-- generated: variables -->", "None."),
        "lacks the line <!-- generated: variables -->",
    ),
    Broken(pages.named_things_exist, added(PAGE, "`health_check_timeouts`\n"), "names health_check_timeouts"),
    Broken(pages.named_things_exist, added("README.md", "`playbooks/gone.yml`\n"), "names playbooks/gone.yml"),
    Broken(
        pages.remedies_exist,
        {f"{ROLE}/vars/main.yml": "x: monitoring-procedures/health-checks#tape\n"},
        "remedy monitoring-procedures/health-checks#tape is no section",
    ),
    Broken(pages.remedies_exist, {f"{ROLE}/vars/main.yml": "x: maintenance/gone#a\n"}, "remedy maintenance/gone#a"),
    Broken(
        pages.check_types_have_a_section, replaced(PAGE, "### disk\n", "### disc\n"), "check type disk has no section"
    ),
    Broken(pages.check_types_have_a_section, replaced(PAGE, "### disk\n", "### disc\n"), "describes disc"),
    Broken(
        pages.check_types_have_a_section,
        replaced(PAGE, "<!-- generated: check disk -->", ""),
        "lacks the line <!-- generated: check disk -->",
    ),
    Broken(
        pages.check_types_have_a_section,
        replaced(PAGE, "### reachable\n**Means**", "### reachable\n"),
        "the section reachable says nothing under **Means**",
    ),
    Broken(
        pages.schedule_names_procedures,
        replaced(OBJECTIVES, "health-checks", "naps"),
        "monitoring-procedures/naps is no procedure",
    ),
    Broken(
        pages.schedule_names_procedures,
        replaced(OBJECTIVES, "by: on-call", "by: nobody"),
        "nobody is not in objectives_contacts",
    ),
    Broken(
        pages.owners_are_contacts,
        replaced(PAGE, "owner_role: on-call", "owner_role: nobody"),
        "owner_role 'nobody' is not in objectives_contacts",
    ),
    Broken(roles.role_is_used, replaced(PLAYBOOK, "name: health_check", "name: other"), "roles/health_check is called"),
    Broken(
        roles.called_entry_point_exists,
        replaced(PLAYBOOK, "tasks_from: sweep", "tasks_from: gate"),
        "there is no roles/health_check/tasks/gate.yml",
    ),
    Broken(
        roles.called_entry_point_exists,
        {**replaced(PLAYBOOK, "tasks_from: sweep", "tasks_from: gate.yml"), f"{ROLE}/tasks/gate.yml": "[]\n"},
        "lacks entry point gate",
    ),
    Broken(roles.called_entry_point_exists, {TASKS: None}, "sweep has no task file"),
    Broken(roles.option_is_described, replaced(SPEC, "type: int", "type: ''"), "health_check_timeout lacks type"),
    Broken(roles.option_is_described, replaced(SPEC, "short_description", "notes"), "sweep lacks short_description"),
    Broken(
        roles.defaults_agree_with_the_spec,
        added(DEFAULTS, "health_check_x: 1\n"),
        "default health_check_x is in no argument spec",
    ),
    Broken(
        roles.defaults_agree_with_the_spec,
        replaced(DEFAULTS, "30", "31"),
        "health_check_timeout is 30 in the spec, 31 in defaults",
    ),
    Broken(
        roles.defaults_agree_with_the_spec, {DEFAULTS: None}, "health_check_timeout has a default in the spec, none in"
    ),
    Broken(
        roles.defaults_agree_with_the_spec,
        replaced(SPEC, "        default: 30\n", ""),
        "health_check_timeout lacks its default 30",
    ),
    Broken(
        roles.variable_is_public_or_internal,
        replaced(TASKS, "{{ health_check_timeout }}", "{{ health_check_limit }}"),
        "health_check_limit is in no argument spec",
    ),
    Broken(
        roles.variable_is_public_or_internal,
        replaced(TASKS, "__health_check_seen", "seen"),
        "sets seen, which bears another name",
    ),
    Broken(
        roles.variable_is_public_or_internal,
        added(TASKS, "- ansible.builtin.set_fact: {seen: 1}\n"),
        "sets seen, which bears another name",
    ),
    Broken(
        roles.role_knows_no_group,
        added(TASKS, "- ansible.builtin.debug: {msg: \"{{ groups['app'] }}\"}\n"),
        "uses 'groups['",
    ),
    Broken(
        roles.role_is_called_by_a_plain_name,
        added(TASKS, "- ansible.builtin.include_role: {name: '{{ item }}'}\n"),
        "calls the role {{ item }}",
    ),
    *(
        Broken(changes.change_is_guarded, without_step(step), f"does not call {step}")
        for step in _STEPS
        if step.startswith("change_guard")
    ),
    Broken(
        changes.change_is_guarded,
        replaced(PLAYBOOK, "tasks_from: sweep", "tasks_from: apply"),
        "does not call change_guard acquire",
    ),
    Broken(
        changes.change_is_guarded,
        {
            **replaced(PLAYBOOK, "tasks_from: sweep", "tasks_from: change"),
            f"{ROLE}/tasks/change.yml": "- ansible.builtin.import_tasks: {file: more.yml}\n",
            f"{ROLE}/tasks/more.yml": "- ansible.builtin.include_role: {name: traffic, tasks_from: drain}\n",
        },
        "does not call change_guard acquire",
    ),
    Broken(
        changes.change_is_guarded,
        mutating(PLAYBOOK, "  tasks:\n", "  tasks:\n" + _CALL.format("traffic", "drain")),
        "calls traffic drain before change_guard acquire",
    ),
    Broken(
        changes.change_is_guarded,
        mutating(PLAYBOOK, "  tasks:\n", "  tasks:\n" + _CALL.format("change_guard", "acquire")),
        "calls change_guard acquire before change_guard preflight",
    ),
    Broken(
        changes.change_is_guarded,
        {**MUTATING, PLAYBOOK: MUTATING[PLAYBOOK] + _CALL.format("other", "restore")},
        "calls no change_guard release after other restore",
    ),
    *(
        Broken(
            changes.change_is_tested,
            mutating("molecule/health_checks/tests/test_all.py", f"test_{word}", "test_it"),
            f"no test of its scenarios has {word} in its name",
        )
        for word in changes.SHOWN
    ),
    *(
        Broken(
            changes.change_is_tested,
            mutating("molecule/health_checks/tests/test_all.py", row[0], "other"),
            f"its tests never use {' or '.join(row)}",
        )
        for row in changes.USED
    ),
    Broken(
        changes.change_is_tested,
        {
            **mutating("molecule/health_checks/tests/test_all.py", "rolled_back", "other"),
            "roles/other/tasks/undo.yml": "- ops.runbook.fail_as: {outcome: rolled_back, msg: undone}\n",
        },
        "its tests never use rolled_back, which its playbook can end with",
    ),
    Broken(
        changes.change_is_tested,
        {name: text for name, text in MUTATING.items() if not name.endswith("interruption.py")},
        "there is no molecule/health_checks/tests/interruption.py",
    ),
    Broken(
        changes.approval_is_demanded,
        {**MUTATING, PAGE: MUTATING[PAGE].replace("approval: none", "approval: four-eyes")},
        "change_guard_approvals is not set where change_guard preflight is called; the page says four-eyes",
    ),
    Broken(changes.approval_is_demanded, DEMANDING, "sets change_guard_approvals to 1; the page says that no approval"),
    Broken(source.playbook_fits_on_a_screen, added(PLAYBOOK, "#\n" * 60), "has 64 lines; at most 60"),
    Broken(
        source.failure_is_never_ignored,
        replaced(TASKS, "  register:", "  ignore_errors: true\n  register:"),
        "task 'sweep | Look' ignores errors",
    ),
    Broken(
        source.failure_is_never_ignored,
        replaced(TASKS, "  register:", "  failed_when: false\n  register:"),
        "task 'sweep | Look' never fails",
    ),
    Broken(
        source.rescue_ends_in_failure,
        added(
            PLAYBOOK, "    - name: Try\n      block: []\n      rescue:\n        - ansible.builtin.debug: {msg: oh}\n"
        ),
        "the rescue of 'Try' does not end in ansible.builtin.fail",
    ),
    Broken(
        source.rescue_ends_in_failure,
        added(
            PLAYBOOK,
            "    - name: Try\n      block: []\n      rescue:\n        - {ansible.builtin.fail: {}, when: late}\n",
        ),
        "the rescue of 'Try' does not end",
    ),
    Broken(source.there_are_no_symlinks, {}, "link is a symlink", also=_symlink),
    Broken(
        source.text_speaks_of_the_project_alone,
        added("README.md", "see /wo" + "rk/shared\n"),
        "README.md:2: /wo" + "rk/ is a path of one machine",
    ),
    Broken(
        source.text_speaks_of_the_project_alone,
        added("README.md", "TO" + "DO: write\n"),
        "is work that is left",
    ),
    Broken(source.inventories_promise_the_same, added(OBJECTIVES, "objectives_more: 1\n"), "lacks objectives_more"),
    Broken(
        source.collections_are_pinned,
        replaced("requirements.yml", "2.2.2", "'>=2.2'"),
        "ansible.posix has version >=2.2, which pins nothing",
    ),
]


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.__name__) for rule in RULES])
def test_rule_accepts_a_project_that_keeps_it(rule: Rule, tmp_path: Path) -> None:
    miniature.write(tmp_path)
    assert list(rule(Project(tmp_path))) == []


@pytest.mark.parametrize("broken", [pytest.param(item, id=f"{item.rule.__name__}: {item.said}") for item in BROKEN])
def test_rule_notices(broken: Broken, tmp_path: Path) -> None:
    miniature.write(tmp_path, changes=broken.changes)
    broken.also(tmp_path)
    violations = list(broken.rule(Project(tmp_path)))
    assert any(broken.said in violation for violation in violations), violations


def test_a_guarded_and_tested_change_is_accepted(tmp_path: Path) -> None:
    four_eyes = {PAGE: MUTATING[PAGE].replace("approval: none", "approval: four-eyes")}
    projects: list[dict[str, str | None]] = [dict(MUTATING), {**DEMANDING, **four_eyes}]
    for number, files in enumerate(projects):
        miniature.write(tmp_path / str(number), changes=files)
        assert [said for rule in changes.RULES for said in rule(Project(tmp_path / str(number)))] == []


def test_a_part_of_a_guarded_playbook_is_guarded(tmp_path: Path) -> None:
    part = PLAYBOOK.replace(".yml", "_part.yml")
    call = _CALL.format("other", "apply")
    parts = {
        part: f"- hosts: platform\n  tasks:\n{call}",
        PLAYBOOK: MUTATING[PLAYBOOK].replace(
            call,
            f"- ansible.builtin.import_playbook: {Path(part).name}\n- hosts: platform\n  tasks:\n",
        ),
    }
    miniature.write(tmp_path, changes={**MUTATING, **parts})
    assert list(changes.change_is_guarded(Project(tmp_path))) == []


@pytest.mark.parametrize("before", ["", "block: []\n          always:\n            - "])
def test_rescue_may_end_in_fail_as(tmp_path: Path, before: str) -> None:
    last = "ops.runbook.fail_as: {msg: oh, outcome: rolled_back}"
    rescue = f"    - name: Try\n      block: []\n      rescue:\n        - {before}{last}\n"
    miniature.write(tmp_path, changes=added(PLAYBOOK, rescue))
    assert list(source.rescue_ends_in_failure(Project(tmp_path))) == []


def test_every_rule_has_a_project_that_breaks_it() -> None:
    assert {item.rule for item in BROKEN} == set(RULES)

"""Rules about pages: each has its playbook, scenarios and roles, and says all that an operator needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.ops.runbook.plugins.plugin_utils.catalogue import CatalogueError, front_matter
from ansible_collections.ops.runbook.plugins.plugin_utils.checks import CHECK_TYPES

from tests.contract.project import Project, Rule, anchor, sections, without_code

#: The runbook's table of contents. Only this test and the catalogue know it; the test keeps the catalogue honest.
PAGES = {
    "operational-procedures",
    "monitoring-procedures/health-checks",
    "monitoring-procedures/alert-response",
    "monitoring-procedures/performance-monitoring",
    "monitoring-procedures/security-monitoring",
    "incident-response/incident-classification",
    "incident-response/security-incidents",
    "incident-response/system-failures",
    "incident-response/escalation-procedures",
    "troubleshooting/common-issues",
    "troubleshooting/performance-issues",
    "troubleshooting/authentication-issues",
    "troubleshooting/api-integration-issues",
    "maintenance/routine-maintenance",
    "maintenance/security-updates",
    "maintenance/dependency-updates",
    "maintenance/configuration-changes",
    "backup-recovery/backup-procedures",
    "backup-recovery/recovery-procedures",
    "backup-recovery/disaster-recovery",
    "backup-recovery/evidence-protection",
}

SECTIONS = (
    "Purpose",
    "When to use, when not",
    "Impact",
    "Prerequisites",
    "Pre-checks",
    "Run it",
    "What you will see",
    "Post-checks",
    "Roll back",
    "If it fails",
    "Escalate",
    "Evidence produced",
    "Variables",
    "Limits, related pages",
)

#: The check that every host has without asking for it.
HOST_CHECK = "reachable"
#: What a section about a check type answers.
ANSWERS = ("**Means**", "**Impact**", "**Diagnos", "**Do**")

#: Scenarios that prove no single page.
SCENARIOS_WITHOUT_PAGE = {"default", "shared"}


def front_matter_is_valid(project: Project) -> Iterator[str]:
    """Every page's front matter and catalogue.yml can be read."""
    try:
        assert project.catalogue
    except CatalogueError as error:
        yield str(error)


def pages_are_built_or_planned(project: Project) -> Iterator[str]:
    """The runbook has its 21 procedures, each a page or a plan, and no other."""
    known = project.catalogue.names
    yield from (f"{name} is neither a page nor planned" for name in sorted(PAGES - known))
    yield from (f"{name} is no page of the runbook" for name in sorted(known - PAGES))


def built_is_not_called_planned(project: Project) -> Iterator[str]:
    """No page's text speaks of a procedure as planned that has a page."""
    titles = {re.sub(r"\W+", " ", page.title): page for page in project.catalogue.procedures}
    for path in project.pages:
        text = re.sub(r"\W+", " ", without_code(project.text(path)))
        for title, page in titles.items():
            if f"planned procedure {title}" in text:
                yield f"{path}: calls {page.title} planned, which is built"


def playbook_has_the_name_of_its_page(project: Project) -> Iterator[str]:
    """A page's playbook stands at the page's path, with underscores, and exists."""
    for page in project.catalogue.procedures:
        expected = Path("playbooks", page.name.replace("-", "_") + ".yml")
        if Path(page.playbook) != expected:
            yield f"{page.name}: playbook is {page.playbook}, not {expected}"
        elif expected not in project.playbooks:
            yield f"{page.name}: there is no {expected}"


def playbook_has_a_page(project: Project) -> Iterator[str]:
    """Every playbook belongs to a page: by its name, or as a variant ``name_x``."""
    stems = [page.playbook.removesuffix(".yml") for page in project.catalogue.procedures]
    for path in project.playbooks:
        name = path.with_suffix("").as_posix()
        if not any(name == stem or name.startswith(stem + "_") for stem in stems):
            yield f"{path} has no page"


def scenario_belongs_to_a_page(project: Project) -> Iterator[str]:
    """Every page has a scenario, every named scenario exists, and every scenario is named by a page."""
    named: set[str] = set()
    for page in project.catalogue.procedures:
        named.update(page.scenarios)
        if not page.scenarios:
            yield f"{page.name} names no scenario"
    existing = set(project.scenarios)
    yield from (f"a page names molecule/{name}, which does not exist" for name in sorted(named - existing))
    yield from (f"molecule/{name} is named by no page" for name in sorted(existing - named - SCENARIOS_WITHOUT_PAGE))


def roles_are_those_of_the_playbook(project: Project) -> Iterator[str]:
    """A page names the roles that its playbooks call, directly or through others, and no more."""
    for page in project.catalogue.procedures:
        stem = page.playbook.removesuffix(".yml")
        called: set[str] = set()
        for path in project.playbooks:
            if path.with_suffix("").as_posix() == stem or path.with_suffix("").as_posix().startswith(stem + "_"):
                called |= project.roles_behind(path)
        for role in sorted(called.difference(page.roles)):
            yield f"{page.name}: does not name role {role}, which its playbook calls"
        for role in sorted(set(page.roles) - called):
            yield f"{page.name}: names role {role}, which its playbook does not call"


def title_is_the_heading(project: Project) -> Iterator[str]:
    """A page's first line is its title."""
    for page in project.catalogue.pages:
        _data, body = front_matter(project.root / "runbook_docs" / f"{page.name}.md")
        heading = body.lstrip().partition("\n")[0]
        if heading != f"# {page.title}":
            yield f"{page.name}: begins with {heading!r}, not '# {page.title}'"


def sections_are_complete(project: Project) -> Iterator[str]:
    """A procedure's page has every section, in order; no page has an empty one."""
    procedures = {page.name for page in project.catalogue.procedures}
    for path in project.pages:
        name = path.relative_to("runbook_docs").with_suffix("").as_posix()
        _data, body = front_matter(project.root / path)
        found = sections(body)
        if name in procedures:
            yield from (f"{name}: lacks the section {title!r}" for title in SECTIONS if title not in found)
            present = [title for title in found if title in SECTIONS]
            if present != [title for title in SECTIONS if title in found]:
                yield f"{name}: sections stand in the order {present}"
        yield from (f"{name}: the section {title!r} is empty" for title, text in found.items() if not text)


def variables_table_is_generated(project: Project) -> Iterator[str]:
    """A procedure's variables come from the argument specs."""
    for page in project.catalogue.procedures:
        _data, body = front_matter(project.root / "runbook_docs" / f"{page.name}.md")
        if "<!-- generated: variables -->" not in sections(body).get("Variables", ""):
            yield f"{page.name}: the section Variables lacks the line <!-- generated: variables -->"


def named_things_exist(project: Project) -> Iterator[str]:
    """Variables and paths that a page or a document at the top names exist."""
    sources = project.below("roles", "inventories", "playbooks", "molecule")
    sources += [*project.below("collections", suffix=".py"), *project.files("ansible.cfg")]
    words = {word for path in sources for word in re.findall(r"[a-z]+(?:_[a-z0-9]+)+", project.text(path))}
    folders = {path.parts[0] for path in project.tracked if len(path.parts) > 1}
    for path in (*project.pages, *project.files("*.md")):
        for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", without_code(project.text(path))):
            is_path = re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", code) and code.split("/")[0] in folders
            if re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", code) and code not in words:
                yield f"{path}: names {code}, which no inventory, role, playbook or plugin has"
            elif is_path and not (project.root / code).exists():
                yield f"{path}: names {code}, which does not exist"


def remedies_exist(project: Project) -> Iterator[str]:
    """A page that a plugin, role or inventory names as remedy exists, with its anchor."""
    anchors = {
        path.relative_to("runbook_docs").with_suffix("").as_posix(): {
            anchor(heading) for heading in re.findall(r"^#+ (.+)$", without_code(project.text(path)), re.MULTILINE)
        }
        for path in project.pages
    }
    chapters = "|".join(sorted({name.partition("/")[0] for name in PAGES}))
    pattern = re.compile(rf"\b({chapters})(/[a-z-]+)?#([a-z_-]+)")
    sources = [*project.below("collections", suffix=".py"), *project.below("roles", "playbooks", "inventories")]
    for path in sources:
        if "tests" in path.parts:
            continue
        for match in pattern.finditer(project.text(path)):
            page = match[1] + (match[2] or "")
            if match[3] not in anchors.get(page, ()):
                yield f"{path}: remedy {match[0]} is no section of a page"


def check_types_have_a_section(project: Project) -> Iterator[str]:
    """Each check type has its section, with its generated table, on the health checks' page; no other has one."""
    page = project.text(Path("runbook_docs/monitoring-procedures/health-checks.md"))
    parts = re.split(r"^### (.+)$", sections(page).get("Check types", ""), flags=re.MULTILINE)[1:]
    described = dict(zip(parts[::2], parts[1::2], strict=True))
    yield from (f"check type {name} has no section" for name in sorted(set(CHECK_TYPES) - set(described)))
    for name, text in described.items():
        if name not in CHECK_TYPES and name != HOST_CHECK:
            yield f"the page describes {name}, which is no check type"
        yield from (
            f"the section {name} says nothing under {word}" for word in ANSWERS if word.lower() not in text.lower()
        )
        if name in CHECK_TYPES and f"<!-- generated: check {name} -->" not in text:
            yield f"the section {name} lacks the line <!-- generated: check {name} -->"


def schedule_names_procedures(project: Project) -> Iterator[str]:
    """The tasks in objectives.yml are procedures of the runbook, answered for by a contact."""
    for path in project.files("inventories/*/group_vars/all/objectives.yml"):
        data = project.yaml(path)
        for task in data["objectives_schedule"]:
            if task["procedure"] not in PAGES:
                yield f"{path}: {task['task']}: {task['procedure']} is no procedure"
            if task["by"] not in data["objectives_contacts"]:
                yield f"{path}: {task['task']}: {task['by']} is not in objectives_contacts"


def owners_are_contacts(project: Project) -> Iterator[str]:
    """A procedure's owner can be reached."""
    contacts = project.yaml(Path("inventories/example/group_vars/all/objectives.yml"))["objectives_contacts"]
    for page in project.catalogue.procedures:
        if page.owner_role not in contacts:
            yield f"{page.name}: owner_role {page.owner_role!r} is not in objectives_contacts: {', '.join(contacts)}"


RULES: tuple[Rule, ...] = (
    front_matter_is_valid,
    pages_are_built_or_planned,
    built_is_not_called_planned,
    playbook_has_the_name_of_its_page,
    playbook_has_a_page,
    scenario_belongs_to_a_page,
    roles_are_those_of_the_playbook,
    title_is_the_heading,
    sections_are_complete,
    variables_table_is_generated,
    named_things_exist,
    remedies_exist,
    check_types_have_a_section,
    schedule_names_procedures,
    owners_are_contacts,
)

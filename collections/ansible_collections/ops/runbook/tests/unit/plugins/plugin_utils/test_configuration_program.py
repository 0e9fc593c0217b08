"""The parts of the configuration program become one file."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from ansible_collections.ops.runbook.plugins.module_utils import configuration_basics
from ansible_collections.ops.runbook.plugins.plugin_utils import configuration_program


def parts() -> list[Path]:
    folder = Path(configuration_basics.__file__).parent
    return [folder / f"configuration_{part}.py" for part in configuration_program._PARTS]


def test_no_part_replaces_a_name_of_another() -> None:
    """Joined, two functions of one name would be one."""
    names: Counter[str] = Counter()
    for path in parts():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names[node.name] += 1
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names.update(n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))
    assert [name for name, count in names.items() if count > 1] == []


def test_every_part_is_sent() -> None:
    folder = Path(configuration_basics.__file__).parent
    assert {path.name for path in folder.glob("configuration_*.py")} == {path.name for path in parts()}


def test_the_program_is_python_39() -> None:
    program = configuration_program.program({"operation": "inspect", "entries": [], "store": "/x"})
    ast.parse(program.decode(), feature_version=(3, 9))
    assert b"ansible_collections" not in program


def test_the_job_survives_quotes_and_backslashes() -> None:
    job = {"content": 'it\'s "quoted" \\ and\nlong \u2028 ümlaut'}
    line = configuration_program.program(job).decode().splitlines()[-1]
    assert eval(line.replace("main(json.loads(", "__import__('json').loads(").removesuffix(")")) == job


def test_the_answer_is_found_among_what_a_login_prints() -> None:
    said = f'Welcome!\n{configuration_basics.MARK}{{"changed": true}}\nbye\n'
    assert configuration_program.answer(said) == {"changed": True}
    assert configuration_program.answer("Welcome!\n") is None

"""The program that hosts get, run as hosts run it: through a pipe into a Python of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.plugin_utils.checks import CHECK_TYPES
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_judge import parse_answers
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_program import program
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_resolve import resolve


def sweep(specs: dict[str, dict[str, Any]], timeout: float = 30) -> tuple[dict[str, dict[str, Any]], bool, float]:
    """Answers by name, whether the probe came to its end, and how long it took."""
    text = program([resolve(name, spec) for name, spec in specs.items()], timeout)
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-IBX", "utf8", "-"], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    answers, complete = parse_answers(done.stdout)
    return answers, complete, time.monotonic() - begin


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_every_check_type_has_its_function_in_the_file_of_its_group() -> None:
    for name, kind in CHECK_TYPES.items():
        source = Path(program.__code__.co_filename).parents[1] / "module_utils" / f"probe_{kind.group}.py"
        assert f'@check("{name}")\n' in source.read_text(encoding="utf-8"), name


def oldest_python() -> str:
    """The oldest that hosts may have. A shim on PATH may not be it."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    managed = data.glob("uv/python/cpython-3.9.*/bin/python3.9")
    for candidate in (*Path.home().glob(".pyenv/versions/3.9.*/bin/python"), "python3.9", *managed):
        with suppress(OSError):
            said = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False).stdout
            if said.startswith("Python 3.9."):
                return str(candidate)
    raise AssertionError("there is no Python 3.9 here, the oldest that hosts may have: run `make setup`")


@pytest.mark.parametrize("find", [oldest_python, lambda: sys.executable], ids=["oldest", "own"])
def test_the_program_runs_on_old_and_new_pythons(find: Callable[[], str]) -> None:
    interpreter = find()
    specs: dict[str, dict[str, Any]] = {
        "root": {"disk": "/"},
        "name": {"dns": "localhost"},
        "none": {"process": "no-such-program", "min": 0},
    }
    text = program([resolve(name, spec) for name, spec in specs.items()], 30)
    done = subprocess.run([interpreter, "-IB", "-"], input=text, capture_output=True, text=True, check=True, timeout=60)
    answers, complete = parse_answers(done.stdout)
    assert complete
    assert {name: answer.get("unknown") for name, answer in answers.items()} == dict.fromkeys(specs)


def test_only_the_files_that_the_checks_need_are_sent() -> None:
    text = program([resolve("root", {"disk": "/"})], 30)
    assert "def disk(" in text
    assert "def http(" not in text


def test_checks_run_at_the_same_time() -> None:
    answers, complete, seconds = sweep({f"sleeper {number}": {"plugin": "sleep 1"} for number in range(10)})
    assert complete
    assert len(answers) == 10
    assert seconds < 4


def test_a_hung_check_is_unknown_and_holds_up_nobody() -> None:
    answers, complete, seconds = sweep({"hung": {"plugin": "sleep 60", "timeout": "1s"}, "root": {"disk": "/"}})
    assert complete
    assert answers["hung"]["unknown"] == "did not answer within 1 s"
    assert "unknown" not in answers["root"]
    assert seconds < 5


def test_more_hung_checks_than_run_at_once_do_not_starve_the_others() -> None:
    hung = {f"hung {number:02}": {"plugin": "sleep 60", "timeout": "1s"} for number in range(20)}
    answers, complete, seconds = sweep({**hung, "root": {"disk": "/"}})
    assert complete
    assert answers["root"]["title"].startswith("/ is ")
    assert seconds < 10


def test_checks_that_cannot_be_ended_do_not_starve_the_others(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)  # nobody ever writes: opening it blocks for good
    hung = {f"hung {number:02}": {"certificate": str(fifo), "timeout": "1s"} for number in range(20)}
    answers, complete, seconds = sweep({**hung, "root": {"disk": "/"}})
    assert complete
    assert {answers[name]["unknown"] for name in hung} == {"did not answer within 1 s"}
    assert answers["root"]["title"].startswith("/ is ")
    assert seconds < 10


def test_the_children_of_a_plugin_that_ran_out_of_time_are_dead(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 300 & echo $! > {pids}; echo $$ >> {pids}; sleep 300"
    answers, _unused, _unused = sweep({"plugin": {"plugin": ["sh", "-c", script], "timeout": "1s"}})
    assert answers["plugin"]["unknown"] == "did not answer within 1 s"
    child, parent = map(int, pids.read_text(encoding="ascii").split())
    time.sleep(0.2)
    assert not alive(child)
    assert not alive(parent)


def test_the_end_of_the_sweep_cuts_off_what_still_runs_and_keeps_what_is_finished() -> None:
    answers, complete, seconds = sweep({"long": {"plugin": "sleep 60", "timeout": "50s"}, "root": {"disk": "/"}}, 2)
    assert complete
    assert answers["long"]["unknown"] == "the sweep was cut off after 2 s"
    assert answers["root"]["title"].startswith("/ is ")
    assert seconds < 6


def test_a_check_that_never_lets_go_of_the_interpreter_cannot_stop_the_end(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("a" * 60, encoding="ascii")
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout
    port = server.stdout.readline().split("port ")[1].split()[0]
    greedy = {"http": f"http://127.0.0.1:{port}/page", "matches": "(a+)+$b"}
    begin = time.monotonic()
    answers, complete, _unused = sweep({"greedy": greedy, "root": {"disk": "/"}}, 2)
    server.kill()
    server.wait()
    assert time.monotonic() - begin < 8
    assert not complete
    assert answers["root"]["title"].startswith("/ is ")
    assert "greedy" not in answers


def test_endless_output_of_a_plugin_is_cut_and_ended() -> None:
    answers, complete, _unused = sweep({"endless": {"plugin": "yes", "timeout": "1s"}})
    assert complete
    assert answers["endless"]["unknown"] == "did not answer within 1 s"


def test_a_check_that_breaks_is_unknown_with_the_reason() -> None:
    check = resolve("root", {"disk": "/"})
    del check["options"]["mount"]
    text = program([check], 30)
    done = subprocess.run([sys.executable, "-"], input=text, capture_output=True, text=True, check=True)
    assert parse_answers(done.stdout)[0]["root"]["unknown"] == "KeyError: 'mount'"


def test_nothing_is_written_on_the_host(tmp_path: Path) -> None:
    text = program([resolve("root", {"disk": "/"}), resolve("name", {"dns": "localhost"})], 30)
    environment = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-IB", "-"], input=text, text=True, check=True, cwd=tmp_path, env=environment, stdout=-3
    )
    assert list(tmp_path.iterdir()) == []


def test_answers_are_written_as_they_come() -> None:
    text = program([resolve("long", {"plugin": "sleep 5"}), resolve("root", {"disk": "/"})], 30)
    process = subprocess.Popen([sys.executable, "-IB", "-"], stdin=-1, stdout=-1, text=True)
    assert process.stdin
    assert process.stdout
    process.stdin.write(text)
    process.stdin.close()
    first = process.stdout.readline()
    process.kill()
    process.wait()
    assert json.loads(first.split(" ", 1)[1])["name"] == "root"

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Candidates are checked in their place, in a view of the file system that only the checking programs have.

A child process gets a mount name space of its own. There an overlay in memory covers the folders of the candidates, and
those into which programs write when they only check (`nginx -t` opens its logs and its pid file). The candidates are
written into the overlay, the validators run and see one whole configuration, and with the child everything is gone,
also if it is killed. The host's own files are never touched.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import re
import signal
import tempfile
from typing import Any, Callable, Optional

from ansible_collections.ops.runbook.plugins.module_utils.configuration_basics import Step, execute, unique
from ansible_collections.ops.runbook.plugins.module_utils.configuration_files import install_file

Errors = list[tuple[str, str]]
Validator = Callable[[dict[str, Any], list[Step]], list[tuple[str, str]]]

_NEW_MOUNTS = 0x00020000
_BIND, _RECURSIVE, _PRIVATE_MOUNTS = 0x1000, 0x4000, 0x40000
#: Where the overlay's memory is mounted, unseen by the validators' subjects: folders that every system has.
_PLACES = ("/mnt", "/media", "/srv")
#: Into these, programs write that only check.
_WRITTEN = ("/run", "/var")
#: Seconds that all validators of a host may take together.
_TIMEOUT = 240
#: The server's views of what it made of these files. That of the maps came with version 15.
_RULES = {
    "pg_hba.conf": "select line_number || ': ' || error as row from pg_hba_file_rules where error is not null\n",
    "pg_ident.conf": "select line_number || ': ' || error as row from pg_ident_file_mappings where error is not null\n",
}
_CLUSTER = re.compile(r"/etc/postgresql/(\d+)/([^/]+)/")


def _system(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class _View:
    """The child's own view of the file system."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)

    def _mount(self, source: str, target: str, kind: str, flags: int, options: str = "") -> None:
        words = [word.encode() if word else None for word in (source, target, kind)]
        _system(self._library.mount(*words, ctypes.c_ulong(flags), options.encode() if options else None))

    def separate(self, place: str) -> None:
        """Leave the mounts that all see, and get memory to write into."""
        _system(self._library.unshare(_NEW_MOUNTS))
        self._mount("", "/", "", _RECURSIVE | _PRIVATE_MOUNTS)
        self._mount("tmpfs", place, "tmpfs", 0, "mode=0755")

    def cover(self, folder: str, place: str) -> None:
        """Put an overlay over the folder; what is mounted below it stays where it is."""
        layers = os.path.join(place, folder.strip("/").replace("/", "-"))
        upper, work = layers + "-upper", layers + "-work"
        os.mkdir(upper, 0o755)
        os.mkdir(work, 0o755)
        below = [(path, os.open(path, os.O_PATH)) for path in _mounts_below(folder) if not path.startswith(place)]
        self._mount("overlay", folder, "overlay", 0, f"lowerdir={folder},upperdir={upper},workdir={work}")
        for path, number in below:
            self._mount(f"/proc/self/fd/{number}", path, "", _BIND)


def _mounts_below(folder: str) -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split()[4].replace("\\040", " ") for line in file]
    return unique(point for point in points if point.startswith(folder + "/"))


def validate(steps: list[Step], contents: dict[str, Optional[bytes]]) -> Errors:
    """Variable and reason of every candidate that its validators refuse; contents are the candidates' by path."""
    files = [step for step in steps if step["kind"] == "file"]
    if not any(step["validate"] for step in files):
        return []
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        # Whatever happens, the child ends here and never goes on as a second program.
        try:
            os.close(reading)
            os.setsid()
            answer: dict[str, Any] = {"errors": _check_in_child(files, contents)}
        except Exception as error:  # noqa: BLE001 - the parent reports it
            answer = {"failure": f"{type(error).__name__}: {error}"}
        with os.fdopen(writing, "w") as stream:
            json.dump(answer, stream)
        os._exit(0)
    os.close(writing)
    said = _answer(child, reading)
    if "failure" in said:
        first = next(step for step in files if step["validate"])
        return [(first["variable"], f"cannot be checked on this host: {said['failure']}")]
    errors: Errors = said["errors"]
    return errors


def _answer(child: int, reading: int) -> dict[str, Any]:
    """What the child says before its time is over."""

    def give_up(_number: int, _frame: Any) -> None:
        os.killpg(child, signal.SIGKILL)

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_TIMEOUT)
    try:
        with os.fdopen(reading) as stream:
            text = stream.read()
        os.waitpid(child, 0)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    said: dict[str, Any] = json.loads(
        text or json.dumps({"failure": f"the validators did not end within {_TIMEOUT} s"})
    )
    return said


def _check_in_child(files: list[Step], contents: dict[str, Optional[bytes]]) -> Errors:
    tops = unique("/" + step["real"].split("/")[1] for step in files)
    place = next(place for place in _PLACES if os.path.isdir(place) and place not in tops)
    view = _View()
    view.separate(place)
    for folder in unique([*tops, *_WRITTEN]):
        view.cover(folder, place)
    for step in files:
        install_file(step["variable"], step["real"], step["after"], contents[step["real"]])
    errors: Errors = []
    for name, options, judged in _validators(files):
        errors += [(variable, f"does not pass {name}: {text}") for variable, text in VALIDATORS[name](options, judged)]
    return errors


def _validators(files: list[Step]) -> list[tuple[str, dict[str, Any], list[Step]]]:
    """Each validator once, with the files that it judges."""
    found: dict[str, tuple[str, dict[str, Any], list[Step]]] = {}
    for step in files:
        for validator in step["validate"] or ():
            name = validator["type"]
            # A command is for one file, and so is a PostgreSQL cluster; nginx and the like look at everything at once.
            own = json.dumps([validator, step["subject"] if name == "command" else ""], sort_keys=True)
            found.setdefault(own, (name, validator, []))[2].append(step)
    return list(found.values())


def _whole(*argv: str) -> Validator:
    """A program that checks the whole configuration in place."""

    def run(_options: dict[str, Any], judged: list[Step]) -> Errors:
        done = execute(list(argv))
        if not done.code:
            return []
        # The program names the file that it stumbled over; it need not be the one that was changed.
        blamed = [step for step in judged if step["subject"] in done.said or step["real"] in done.said] or judged
        return [(blamed[0]["variable"], _plain_log(done.said))]

    return run


def _command(options: dict[str, Any], judged: list[Step]) -> Errors:
    step = judged[0]
    argv = [word.replace("{candidate}", step["real"]) for word in options["command"]]
    if options.get("user"):
        argv = ["runuser", "-u", options["user"], "--", *argv]
    done = execute(argv, timeout=options.get("timeout") or 30)
    # Of a traceback, the end says what is the matter.
    said = "\n".join(done.said.splitlines()[-5:])
    return [(step["variable"], f"{options['command'][0]} ended with {done.code}: {said}")] if done.code else []


def _systemd(options: dict[str, Any], judged: list[Step]) -> Errors:
    """systemd-analyze ends with 0 for lines that systemd ignores, and complains of units that are no concern here."""
    done = execute(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", options["unit"]])
    errors: Errors = []
    for step in judged:
        lines = [line for line in done.err.splitlines() if step["real"] in line]
        errors += [(step["variable"], "\n".join(lines))] if lines else []
    lines = [line for line in done.err.splitlines() if line.startswith(options["unit"])]
    if not errors and done.code and lines:
        errors.append((judged[0]["variable"], "\n".join(lines)))
    return errors


def _postgresql(_options: dict[str, Any], judged: list[Step]) -> Errors:
    """Let the server's own program read the configuration, and the rules of access in a cluster made for this."""
    place = "is not below /etc/postgresql/<version>/<cluster>/, so no cluster can check it"
    errors: Errors = [(step["variable"], place) for step in judged if not _CLUSTER.match(step["real"])]
    for folder in unique(match[0] for step in judged for match in [_CLUSTER.match(step["real"])] if match):
        mine = [step for step in judged if step["real"].startswith(folder)]
        program = f"/usr/lib/postgresql/{folder.split('/')[3]}/bin/postgres"
        done = execute(["runuser", "-u", "postgres", "--", program, "-C", "data_directory", "-D", folder])
        if done.code:
            blamed = [step for step in mine if step["real"] in done.said] or mine
            errors.append((blamed[0]["variable"], _plain_log(done.said)))
        rules = [step for step in mine if os.path.basename(step["real"]) in _RULES and step["after"]["exists"]]
        errors += _access_rules(program, folder, rules) if rules else []
    return errors


def _plain_log(text: str) -> str:
    """The messages without time stamp and process number."""
    text = re.sub(r"(?m)^\d{4}/\d\d/\d\d \S+ (\[\w+\]) \d+#\d+: ", r"\1 ", text)  # nginx
    return re.sub(r"(?m)^\S+ \S+ \S+ \[\d+\] ", "", text)  # PostgreSQL


def _access_rules(program: str, folder: str, rules: list[Step]) -> Errors:
    """Errors in pg_hba.conf and pg_ident.conf, which only a server reads: one without a data directory's history."""
    account = pwd.getpwnam("postgres")
    home = tempfile.mkdtemp(dir="/run")
    os.chown(home, account.pw_uid, account.pw_gid)
    data = os.path.join(home, "data")
    as_postgres = ["runuser", "-u", "postgres", "--"]
    made = execute([*as_postgres, _initdb(program), "--no-sync", "--auth=trust", "-D", data])
    if made.code:
        return [(rules[0]["variable"], f"cannot be checked: {made.said}")]
    # A rule for encrypted connections is an error where the server has none.
    encrypted = execute([*as_postgres, program, "-C", "ssl", "-D", folder]).out.strip() or "off"
    errors: Errors = []
    for step in rules:
        query = _RULES[os.path.basename(step["real"])]
        options = ["-c", f"hba_file={folder}pg_hba.conf", "-c", f"ident_file={folder}pg_ident.conf"]
        quiet = ["-c", "log_min_messages=fatal", "-c", f"ssl={encrypted}"]
        asked = [*as_postgres, program, "--single", "-j", "-D", data, *options, *quiet, "postgres"]
        done = execute(asked, stdin=query)
        found = re.findall(r'row = "(.*?)"\t\(typeid', done.out)
        if done.code:
            errors.append((step["variable"], f"cannot be checked: {_plain_log(done.said)}"))
        elif found:
            errors.append((step["variable"], "; ".join(f"line {text}" for text in found)))
    return errors


def _initdb(program: str) -> str:
    return os.path.join(os.path.dirname(program), "initdb")


VALIDATORS: dict[str, Validator] = {
    "nginx": _whole("nginx", "-t", "-q"),
    "sshd": _whole("sshd", "-t"),
    "sudoers": _whole("visudo", "--check", "--quiet"),
    "command": _command,
    "systemd": _systemd,
    "postgresql": _postgresql,
}

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of services and of what they wrote into the journal: systemd units, errors, OOM kills, logins, packages."""

# The probe starts faster without pathlib.
# ruff: noqa: PTH110, PTH112, PTH116, PTH207

from __future__ import annotations

import collections
import fnmatch
import os
import re
import time
from typing import Iterator

from ansible_collections.ops.runbook.plugins.module_utils.apt_archives import newest_from, origins
from ansible_collections.ops.runbook.plugins.module_utils.probe import (
    Options,
    Result,
    UnobservableError,
    check,
    lines_of,
    output_of,
    plural,
    read,
    run,
    shorten,
    span,
)

#: Lines and names that a finding's detail lists.
_MOST_SHOWN = 10


@check("failed_units")
def failed_units(options: Options) -> Result:
    """Units in the state failed."""
    lines = output_of(
        ["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--full", "--no-pager"]
    ).splitlines()
    names = [line.split()[0] for line in lines if line.strip()]
    names = [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in options["ignore"])]
    result = Result("no failed units" if not names else f"{plural(len(names), 'failed unit')}: {', '.join(names[:3])}")
    result.detail = shorten(names)
    result.values = result.metrics = {"failed_units": len(names)}
    return result


def _unit_fault(unit: dict[str, str], enabled: object) -> str:
    """What is wrong with the unit; empty if nothing is."""
    name = unit["Id"]
    if unit["LoadState"] == "not-found":
        return f"{name} does not exist"
    if unit["ActiveState"] not in ("active", "reloading"):
        reason = "" if unit.get("Result") in ("success", "", None) else f": {unit['Result']}"
        return f"{name} is {unit['ActiveState']} ({unit['SubState']}{reason})"
    state = unit.get("UnitFileState", "")
    if enabled is not None and state in ("enabled", "disabled") and (state == "enabled") is not enabled:
        return f"{name} is {state}"
    return ""


@check("unit")
def unit(options: Options) -> Result:
    """Units that have to be active."""
    names = options["subject"] if isinstance(options["subject"], list) else [options["subject"]]
    properties = "Id,LoadState,ActiveState,SubState,Result,UnitFileState,NRestarts"
    shown = output_of(["systemctl", "show", "--no-pager", f"--property={properties}", "--", *names])
    units = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    units = [item for item in units if "Id" in item]
    result = Result(f"{', '.join(item['Id'] for item in units)} active")
    for item in units:
        text = _unit_fault(item, options["enabled"])
        if text:
            result.fault("critical", text)
    result.metrics = {
        "units": len(units),
        "faulty_units": len(result.faults),
        "restarts": sum(int(item.get("NRestarts") or 0) for item in units),
    }
    return result


class Tally:
    """How often each text occurred. Logs are as long as their writers want: of each text only the head is kept."""

    #: Of more different texts than these, only the number of occurrences is known.
    MOST = 20000
    HEAD = 300

    def __init__(self) -> None:
        self.total = 0
        self.counts: dict[str, int] = {}

    def add(self, text: str, number: int = 1) -> None:
        """Count the text."""
        self.total += number
        text = text[: self.HEAD]
        if text in self.counts or not self.full:
            self.counts[text] = self.counts.get(text, 0) + number

    @property
    def full(self) -> bool:
        """Whether there may be more different texts than are known."""
        return len(self.counts) >= self.MOST

    def ranked(self) -> list[tuple[str, int]]:
        """Texts and numbers, the most frequent first."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))


def _journal(since: float, *arguments: str) -> Iterator[str]:
    """Lines of the journal of the last seconds. A login without a journal cannot tell."""
    window = [f"--since=@{time.time() - since:.0f}"] if since else ["--boot"]
    # journalctl -g ends with 1 and says nothing if no line matches.
    for line in lines_of(["journalctl", "--quiet", "--no-pager", "--no-hostname", *window, *arguments]):
        if line:
            yield line


@check("oom_kills")
def oom_kills(options: Options) -> Result:
    """Processes that the kernel killed for want of memory."""
    since = 0.0 if options["subject"] is True else options["subject"]
    # Not --dmesg, which sees nothing from before the last boot.
    victims, first = Tally(), []
    for line in _journal(since, "--output=short-iso", "--grep=Killed process [0-9]+", "_TRANSPORT=kernel"):
        for victim in re.findall(r"Killed process \d+ \(([^)]*)\)", line):
            victims.add(victim)
            first += [line] if victims.total <= _MOST_SHOWN else []
    window = f"in the last {span(since)}" if since else "since boot"
    result = Result(f"{plural(victims.total, 'OOM kill')} {window}" if victims.total else f"no OOM kills {window}")
    if victims.total:
        result.title += f": {', '.join(sorted(victims.counts)[:5])}"
    result.detail = shorten(first, _MOST_SHOWN, victims.total)
    result.values = result.metrics = {"oom_kills": victims.total}
    return result


@check("journal_errors")
def journal_errors(options: Options) -> Result:
    """How many messages of priority err or worse the journal gets."""
    since = options["subject"]
    ignored = [re.compile(pattern) for pattern in options["ignore"]]
    errors = Tally()
    for line in _journal(since, f"--priority={options['priority']}", "--output=short-iso"):
        # short-iso: "<time> <program>[<pid>]: <message>"
        text = line.split(" ", 1)[-1]
        if not any(pattern.search(text) for pattern in ignored):
            errors.add(re.sub(r"\[\d+\]:", ":", text, count=1))
    rate = round(errors.total * 3600 / since, 1)
    result = Result(f"{plural(errors.total, 'error')} in the last {span(since)}")
    result.detail = shorten([f"{number}x {text}" for text, number in errors.ranked()])
    result.values = {"errors_per_hour": rate}
    result.metrics = {"errors": errors.total, "errors_per_hour": rate}
    return result


#: Where syslog daemons write who logged in.
AUTHENTICATION_LOGS = ("/var/log/auth.log", "/var/log/secure")


def _authentication_log(since: float, *identifiers: str) -> Iterator[str]:
    """Lines of the login programs: from the journal, else from the file that a syslog daemon writes."""
    begun = False
    try:
        for line in _journal(since, "--output=short-iso", *(f"--identifier={name}" for name in identifiers)):
            begun = True
            yield line
    except UnobservableError as journal:
        path = next((path for path in AUTHENTICATION_LOGS if os.path.exists(path)), "")
        if begun or not path:
            raise UnobservableError(
                f"neither the journal ({journal}) nor an authentication log can be read"
            ) from journal
        yield from _logged(path, time.time() - since, identifiers)


def _logged(path: str, oldest: float, identifiers: tuple[str, ...]) -> Iterator[str]:
    """The programs' lines of a log and of what was rotated away from it, from this moment on."""
    import glob  # noqa: PLC0415 - few hosts need them
    import gzip  # noqa: PLC0415

    wanted = re.compile("|".join(identifiers))
    ages = {name: os.stat(name).st_mtime for name in glob.glob(f"{glob.escape(path)}*")}
    for name in sorted((name for name in ages if ages[name] >= oldest), key=ages.__getitem__):
        opened = gzip.open if name.endswith(".gz") else open
        with opened(name, "rt", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if wanted.search(line) and _logged_time(name, line) >= oldest:
                    yield line.rstrip("\n")


def _logged_time(path: str, line: str) -> float:
    """Seconds since the epoch of a line that begins with an ISO 8601 time or as 'Nov 23 14:02:11', without a year."""
    import datetime  # noqa: PLC0415 - few hosts need it

    now = time.localtime()
    try:
        if line[:1].isdigit():
            return datetime.datetime.fromisoformat(line.split(" ", 1)[0]).timestamp()
        moment = time.mktime(time.strptime(f"{now.tm_year} {line[:15]}", "%Y %b %d %H:%M:%S"))
    except ValueError as error:
        raise UnobservableError(f"{path}: {line[:40]!r} does not begin with a time that is known here") from error
    return moment if moment <= time.time() + 86400 else moment - 365 * 86400


_FAILED = re.compile(r"(sshd\S*):\s+Failed \S+ for (?:invalid user )?(\S+) from (\S+)")
#: How a connection ends on which no key was accepted; sshd logs no "Failed" for keys.
_GAVE_UP = re.compile(
    r"(sshd\S*):\s+(?:Connection (?:closed|reset) by|Disconnected from) "
    r"(?:invalid|authenticating) user (\S+) (\S+) port"
)
_SUDO_FAILED = re.compile(r"sudo\S*:\s+(\S+) : (\d+) incorrect password attempt")
#: The whole beginning of the command that Ansible gives to sudo: its mark elsewhere in a command hides nothing.
_BY_ANSIBLE = re.compile(r"\S*/(?:ba|da|k|z)?sh -c '?echo BECOME-SUCCESS-[a-z]+ ; ")
_SUDO_RAN = re.compile(r"sudo\S*:\s+(\S+) : (?:TTY=\S+ ; )?PWD=.*? ; USER=\S+ ; .*?COMMAND=(.*)")


@check("failed_logins")
def failed_logins(options: Options) -> Result:
    """Refused logins over SSH, and refused passwords of sudo."""
    sources, users = Tally(), Tally()
    counted = set()
    for line in _authentication_log(options["subject"], "sshd", "sshd-session", "sudo"):
        refused, gave_up, sudo = _FAILED.search(line), _GAVE_UP.search(line), _SUDO_FAILED.search(line)
        if refused:
            process, user, source = refused.groups()
            counted.add(process)
            attempts = 1
        elif gave_up:
            process, user, source = gave_up.groups()
            attempts = 0 if process in counted else 1
            counted.discard(process)  # its number may be another connection's later
        elif sudo:
            user, source, attempts = sudo.group(1), "sudo", int(sudo.group(2))
        else:
            continue
        if attempts:
            users.add(user, attempts)
            sources.add(source, attempts)
    result = Result(f"{plural(users.total, 'failed login')} in the last {span(options['subject'])}")
    result.detail = _ranking("from", sources) + _ranking("as", users)
    result.values = {"failed_logins": users.total}
    result.metrics = {"failed_logins": users.total}
    if not sources.full:
        result.metrics["failed_login_sources"] = len(sources.counts)
    return result


def _ranking(word: str, names: Tally) -> str:
    ranked = names.ranked()[:_MOST_SHOWN]
    return f"{word}: {', '.join(f'{name} ({number})' for name, number in ranked)}\n" if ranked else ""


@check("sudo_use")
def sudo_use(options: Options) -> Result:
    """Commands run through sudo by people; Ansible's own, which it marks, are counted apart."""
    people, automatic = Tally(), 0
    newest: collections.deque[str] = collections.deque(maxlen=_MOST_SHOWN)
    for line in _authentication_log(options["subject"], "sudo"):
        match = _SUDO_RAN.search(line)
        if not match:
            continue
        if _BY_ANSIBLE.match(match.group(2)):
            automatic += 1
            continue
        people.add(match.group(1))
        newest.appendleft(f"{match.group(1)}: {match.group(2)}")
    result = Result(f"{plural(people.total, 'sudo command')} by people in the last {span(options['subject'])}")
    result.detail = _ranking("by", people) + shorten(list(newest), _MOST_SHOWN, people.total)
    result.values = {"sudo_commands": people.total}
    result.metrics = {"sudo_commands": people.total, "automation_sudo_commands": automatic}
    if not people.full:
        result.metrics["sudo_users"] = len(people.counts)
    return result


REBOOT_FLAG = "/run/reboot-required"


@check("reboot_required")
def reboot_required(_options: Options) -> Result:
    """Whether an update waits for a reboot, and for how long."""
    path = REBOOT_FLAG
    if not os.path.exists(path):
        return Result("no reboot is required")
    age = max(0.0, time.time() - os.stat(path).st_mtime)
    packages = sorted(set(read(f"{path}.pkgs").split())) if os.path.exists(f"{path}.pkgs") else []
    result = Result(
        f"a reboot is required since {span(age)}", shorten([f"for {', '.join(packages)}"] if packages else [])
    )
    result.values = {"waiting": age}
    result.metrics = {"waiting_seconds": round(age)}
    return result


_UPGRADE = re.compile(r"^Inst (\S+) (?:\[(\S+)\] )?\((\S+) ([^)]*)\)", re.MULTILINE)


@check("security_updates")
def security_updates(_options: Options) -> Result:
    """Security updates that apt would install, from the lists that the host has."""
    if not os.path.isdir("/var/lib/apt/lists"):
        raise UnobservableError("this host has no apt")
    options = ("Debug::NoLocking=1", "APT::Get::Show-User-Simulation-Note=0")
    out = _apt("apt-get", "-s", "-qq", *(f"-o{option}" for option in options), "dist-upgrade")
    pending = {name: (new, origin) for name, _old, new, origin in _UPGRADE.findall(out)}
    others = [name for name, (_new, origin) in pending.items() if not _is_of_security(origin)]
    if others:  # newer versions of other archives may hide security updates
        known = origins(_apt("apt-cache", "policy"))
        pending.update(newest_from(_apt("apt-cache", "policy", *others), known, _is_of_security))
    urgent = [f"{name} {new}" for name, (new, origin) in pending.items() if _is_of_security(origin)]
    age = _lists_age()
    result = Result(f"{plural(len(urgent), 'security update')} pending" if urgent else "no security updates pending")
    result.detail = shorten([*urgent, f"package lists are {span(age)} old"], most=11)
    result.values = {"security_updates": len(urgent), "lists_age": age}
    result.metrics = {"security_updates": len(urgent), "updates": len(pending), "lists_age_seconds": round(age)}
    return result


def _apt(*words: str) -> str:
    """What apt says. As nobody it uses its caches where they are fresh, and writes nothing; niced, it disturbs none."""
    return output_of(["nice", "-n19", *words], harmless=True)


def _is_of_security(origin: str) -> bool:
    return "security" in origin.lower()


def _lists_age() -> float:
    """Seconds since somebody refreshed the package lists."""
    stamps = ("/var/lib/apt/periodic/update-success-stamp", "/var/lib/apt/lists/partial", "/var/lib/apt/lists")
    return max(0.0, time.time() - max(os.stat(path).st_mtime for path in stamps if os.path.exists(path)))


_PERFORMANCE = re.compile(r"('[^']+'|[^\s=']+)=(-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)([^\s;]*)")


def _plugin_output(out: str) -> tuple[list[str], str]:
    """Text and performance data: the latter after the first line's bar, and after the first one in the lines below."""
    first, _newline, rest = out.partition("\n")
    title, _bar, performance = first.partition("|")
    text, _bar, more = rest.partition("|")
    return f"{title}\n{text}".strip().splitlines(), f"{performance} {more}"


@check("plugin")
def plugin(options: Options) -> Result:
    """A monitoring plugin that the host has: exit status, first line, performance data."""
    command = options["subject"]
    done = run(command)
    text, performance = _plugin_output(done.out)
    lines = text or (done.err.strip() or "no output").splitlines()
    result = Result(lines[0][:300], shorten(lines[1:]))
    for label, number, unit_name in _PERFORMANCE.findall(performance):
        suffix = {"%": "_percent", "s": "_seconds", "B": "_bytes"}.get(unit_name, "")
        result.metrics[re.sub(r"\W+", "_", label.strip("'")) + suffix] = float(number)
    status = {0: "ok", 1: "warning", 2: "critical"}.get(done.code, "unknown")
    if done.code not in (0, 1, 2, 3):
        result.title = f"ended with {done.code}: {result.title}"
    if status != "ok":
        result.fault(status, result.title)
    return result

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of services and of what they wrote into the journal: systemd units, errors, OOM kills, logins, packages."""

# The probe starts faster without pathlib.
# ruff: noqa: PTH110, PTH112, PTH116

from __future__ import annotations

import fnmatch
import os
import re
import time

from ansible_collections.ops.runbook.plugins.module_utils.probe import (
    Options,
    Result,
    UnobservableError,
    check,
    output_of,
    plural,
    read,
    run,
    shorten,
    span,
)


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


def _journal(since: float, *arguments: str) -> list[str]:
    """Lines of the journal of the last seconds. A login without a journal cannot tell."""
    window = [f"--since=@{time.time() - since:.0f}"] if since else ["--boot"]
    done = run(["journalctl", "--quiet", "--no-pager", "--no-hostname", *window, *arguments])
    # journalctl -g ends with 1 and says nothing if no line matches.
    if done.code and done.err.strip():
        raise UnobservableError(f"journalctl ended with {done.code}: {done.err.strip().splitlines()[-1]}")
    return [line for line in done.out.splitlines() if line]


@check("oom_kills")
def oom_kills(options: Options) -> Result:
    """Processes that the kernel killed for want of memory."""
    since = 0.0 if options["subject"] is True else options["subject"]
    # Not --dmesg, which sees nothing from before the last boot.
    lines = _journal(since, "--output=short-iso", "--grep=Killed process [0-9]+", "_TRANSPORT=kernel")
    victims = re.findall(r"Killed process \d+ \(([^)]*)\)", "\n".join(lines))
    window = f"in the last {span(since)}" if since else "since boot"
    result = Result(f"{plural(len(victims), 'OOM kill')} {window}" if victims else f"no OOM kills {window}")
    if victims:
        result.title += f": {', '.join(sorted(set(victims))[:5])}"
    result.detail = shorten(lines)
    result.values = result.metrics = {"oom_kills": len(victims)}
    return result


@check("journal_errors")
def journal_errors(options: Options) -> Result:
    """How many messages of priority err or worse the journal gets."""
    since = options["subject"]
    ignored = [re.compile(pattern) for pattern in options["ignore"]]
    lines = _journal(since, f"--priority={options['priority']}", "--output=short-iso", "--lines=5000")
    # short-iso: "<time> <program>[<pid>]: <message>"
    messages = [line.split(" ", 1)[-1] for line in lines]
    messages = [text for text in messages if not any(pattern.search(text) for pattern in ignored)]
    rate = round(len(messages) * 3600 / since, 1)
    counts: dict[str, int] = {}
    for text in messages:
        key = re.sub(r"\[\d+\]:", ":", text, count=1)
        counts[key] = counts.get(key, 0) + 1
    frequent = sorted(counts.items(), key=lambda item: -item[1])
    result = Result(f"{plural(len(messages), 'error')} in the last {span(since)}")
    result.detail = shorten([f"{number}x {text}" for text, number in frequent])
    result.values = {"errors_per_hour": rate}
    result.metrics = {"errors": len(messages), "errors_per_hour": rate}
    return result


def _authentication_log(since: float, *identifiers: str) -> list[str]:
    """Lines of the login programs: from the journal, else from the file that a syslog daemon writes."""
    try:
        return _journal(since, "--output=short-iso", *(f"--identifier={name}" for name in identifiers))
    except UnobservableError as journal:
        for path in ("/var/log/auth.log", "/var/log/secure"):
            if os.path.exists(path):
                oldest = time.time() - since
                lines = read(path).splitlines()
                wanted = re.compile("|".join(identifiers))
                return [line for line in lines if _syslog_time(line) >= oldest and wanted.search(line)]
        raise UnobservableError(f"neither the journal ({journal}) nor an authentication log can be read") from journal


def _syslog_time(line: str) -> float:
    """Seconds since the epoch of a line that starts with 'Nov 23 14:02:11' (this year's, or last year's)."""
    now = time.localtime()
    try:
        moment = time.mktime(time.strptime(f"{now.tm_year} {line[:15]}", "%Y %b %d %H:%M:%S"))
    except ValueError:
        return 0.0
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
    sources: dict[str, int] = {}
    users: dict[str, int] = {}
    counted = set()
    for line in _authentication_log(options["subject"], "sshd", "sshd-session", "sudo"):
        refused, gave_up, sudo = _FAILED.search(line), _GAVE_UP.search(line), _SUDO_FAILED.search(line)
        if refused:
            process, user, source = refused.groups()
            counted.add(process)
            attempts = 1
        elif gave_up and gave_up.group(1) not in counted:
            user, source = gave_up.groups()[1:]
            attempts = 1
        elif sudo:
            user, source, attempts = sudo.group(1), "sudo", int(sudo.group(2))
        else:
            continue
        users[user] = users.get(user, 0) + attempts
        sources[source] = sources.get(source, 0) + attempts
    total = sum(users.values())
    result = Result(f"{plural(total, 'failed login')} in the last {span(options['subject'])}")
    result.detail = _ranking("from", sources) + _ranking("as", users)
    result.values = {"failed_logins": total}
    result.metrics = {"failed_logins": total, "failed_login_sources": len(sources)}
    return result


def _ranking(word: str, counts: dict[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return f"{word}: {', '.join(f'{name} ({number})' for name, number in ranked[:10])}\n" if ranked else ""


@check("sudo_use")
def sudo_use(options: Options) -> Result:
    """Commands run through sudo by people; Ansible's own, which it marks, are counted apart."""
    people: dict[str, int] = {}
    commands, automatic = [], 0
    for line in _authentication_log(options["subject"], "sudo"):
        match = _SUDO_RAN.search(line)
        if not match:
            continue
        if _BY_ANSIBLE.match(match.group(2)):
            automatic += 1
            continue
        people[match.group(1)] = people.get(match.group(1), 0) + 1
        commands.append(f"{match.group(1)}: {match.group(2)}")
    total = len(commands)
    result = Result(f"{plural(total, 'sudo command')} by people in the last {span(options['subject'])}")
    result.detail = _ranking("by", people) + shorten(commands[::-1])
    result.values = {"sudo_commands": total}
    result.metrics = {"sudo_commands": total, "sudo_users": len(people), "automation_sudo_commands": automatic}
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
    # As nobody, apt uses its caches where they are fresh and writes nothing; without locks, niced, it disturbs nobody.
    options = ("Debug::NoLocking=1", "APT::Get::Show-User-Simulation-Note=0")
    out = output_of(
        ["nice", "-n19", "apt-get", "-s", "-qq", *(f"-o{option}" for option in options), "dist-upgrade"], harmless=True
    )
    pending = [(name, new, origin) for name, _old, new, origin in _UPGRADE.findall(out)]
    urgent = [f"{name} {new}" for name, new, origin in pending if "security" in origin.lower()]
    age = _lists_age()
    result = Result(f"{plural(len(urgent), 'security update')} pending" if urgent else "no security updates pending")
    result.detail = shorten([*urgent, f"package lists are {span(age)} old"], most=11)
    result.values = {"security_updates": len(urgent), "lists_age": age}
    result.metrics = {"security_updates": len(urgent), "updates": len(pending), "lists_age_seconds": round(age)}
    return result


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

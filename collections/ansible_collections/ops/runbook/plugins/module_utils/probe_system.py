# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of the machine: file systems, memory, processes, clock, files."""

# The probe starts faster without pathlib.
# ruff: noqa: PTH110, PTH116, PTH207, PTH208

from __future__ import annotations

import glob
import os
import re
import stat
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
    size,
    span,
)

CHRONY_FIELDS = 14
#: Reference of a host that is told to trust its own clock (`local`) while it has no source.
CHRONY_LOCAL = "7F7F0101"


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def _statvfs(path: str) -> os.statvfs_result:
    try:
        return os.statvfs(path)
    except OSError as error:
        raise UnobservableError(f"{path}: {error.strerror}") from error


@check("disk")
def disk(options: Options) -> Result:
    """Space in a file system, as df sees it: what is reserved for root counts as used up."""
    path = options["subject"]
    info = _statvfs(path)
    used = (info.f_blocks - info.f_bfree) * info.f_frsize
    free = info.f_bavail * info.f_frsize
    percent = _percent(used, used + free)
    result = Result(f"{path} is {percent:g} % full, {size(free)} free")
    result.values = {"used_percent": percent, "free_bytes": free}
    result.metrics = {"used_bytes": used, "free_bytes": free, "size_bytes": info.f_blocks * info.f_frsize}
    if options["mount"] and not os.path.ismount(path):
        result.fault("critical", f"nothing is mounted at {path}")
    if options["writable"] and info.f_flag & os.ST_RDONLY:
        result.fault("critical", f"{path} is mounted read-only")
    return result


@check("inodes")
def inodes(options: Options) -> Result:
    """Inodes of a file system."""
    path = options["subject"]
    info = _statvfs(path)
    if not info.f_files:
        return Result(f"{path} has no fixed number of inodes")
    used = info.f_files - info.f_ffree
    percent = _percent(used, used + info.f_favail)
    result = Result(f"{percent:g} % of the inodes of {path} are used, {info.f_favail} free")
    result.values = {"used_percent": percent, "free_count": info.f_favail}
    result.metrics = {"used_inodes": used, "size_inodes": info.f_files}
    return result


def _meminfo() -> dict[str, int]:
    pairs = (line.split(":", 1) for line in read("/proc/meminfo").splitlines())
    return {key: int(value.split()[0]) * 1024 for key, value in pairs}


@check("memory")
def memory(_options: Options) -> Result:
    """Memory that programs could still get without swapping."""
    info = _meminfo()
    total, available = info["MemTotal"], info["MemAvailable"]
    percent = _percent(total - available, total)
    result = Result(f"{percent:g} % of the memory is used, {size(available)} available")
    result.values = {"used_percent": percent, "available_bytes": available}
    result.metrics = {"used_bytes": total - available, "available_bytes": available, "size_bytes": total}
    return result


@check("swap")
def swap(_options: Options) -> Result:
    """Swap space."""
    info = _meminfo()
    total, free = info["SwapTotal"], info["SwapFree"]
    if not total:
        return Result("no swap is configured")
    percent = _percent(total - free, total)
    result = Result(f"{percent:g} % of the swap is used, {size(free)} free")
    result.values = {"used_percent": percent, "free_bytes": free}
    result.metrics = {"used_bytes": total - free, "size_bytes": total}
    return result


@check("load")
def load(options: Options) -> Result:
    """Load average by CPU."""
    one, five, fifteen = os.getloadavg()
    cpus = len(os.sched_getaffinity(0))
    value = {"1": one, "5": five, "15": fifteen}[str(options["subject"])]
    result = Result(
        f"load of {value:.2f} on {plural(cpus, 'CPU')}", f"1, 5, 15 min: {one:.2f}, {five:.2f}, {fifteen:.2f}"
    )
    result.values = {"load_per_cpu": round(value / cpus, 2)}
    result.metrics = {"load_ratio": round(value / cpus, 3), "cpus": cpus}
    return result


@check("pressure")
def pressure(options: Options) -> Result:
    """Pressure stall information: the share of time in which work waited for the resource."""
    result = Result()
    names = options["subject"] if isinstance(options["subject"], list) else [options["subject"]]
    worst = 0.0
    for name in names:
        path = f"/proc/pressure/{name}"
        if not os.path.exists(path):
            raise UnobservableError(f"this kernel reports no pressure ({path} is missing)")
        for line in read(path).splitlines():
            kind, *fields = line.split()
            value = float(dict(field.split("=") for field in fields)["avg10"])
            result.metrics[f"{name}_{kind}_percent"] = value
            if kind == options["kind"] and value >= worst:
                worst = value
                result.title = f"work waited for {name} {value:g} % of the last 10 s"
    result.values = {"stalled_percent": worst}
    return result


class _Process:
    def __init__(self, pid: str) -> None:
        text = read(f"/proc/{pid}/stat")
        start, end = text.index("("), text.rindex(")")
        self.pid = int(pid)
        self.name = text[start + 1 : end]
        self.state = text[end + 2]
        self.parent = int(text[end + 4 :].split()[0])

    def command_line(self) -> str:
        return read(f"/proc/{self.pid}/cmdline").replace("\0", " ").strip()


def _processes() -> list[_Process]:
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit() and int(pid) != os.getpid():
            try:
                found.append(_Process(pid))
            except UnobservableError:
                continue  # it ended meanwhile
    return found


@check("process")
def process(options: Options) -> Result:
    """Number of running processes with a name, or with a command line that matches."""
    subject, matching = options["subject"], []
    pattern = re.compile(subject) if options["match"] == "command" else None
    for item in _processes():
        if item.state == "Z":
            continue
        try:
            matches = pattern.search(item.command_line()) if pattern else item.name == subject[:15]
        except UnobservableError:
            continue  # it ended meanwhile
        if matches:
            matching.append(item.pid)
    count = len(matching)
    result = Result(f"{count} {subject} processes" if count != 1 else f"1 {subject} process")
    result.detail = f"process ids: {shorten([' '.join(map(str, matching[:20]))])}" if matching else ""
    result.metrics = {"processes": count}
    if count < options["min"]:
        result.fault("critical", f"{result.title}, fewer than {options['min']}")
    if options["max"] is not None and count > options["max"]:
        result.fault("critical", f"{result.title}, more than {options['max']}")
    return result


@check("zombies")
def zombies(_options: Options) -> Result:
    """Processes that ended and whose parent does not notice."""
    everyone = _processes()
    names = {item.pid: item.name for item in everyone}
    dead = [item for item in everyone if item.state == "Z"]
    result = Result(plural(len(dead), "zombie") if dead else "no zombies")
    lines = [f"{item.name} ({item.pid}) of {names.get(item.parent, '?')} ({item.parent})" for item in dead]
    result.detail = shorten(lines)
    result.values = result.metrics = {"zombies": len(dead)}
    return result


def _without_source(tracking: list[str], sources: list[list[str]]) -> str:
    """What keeps chronyd from following a source; empty if it follows one, or needs none.

    Its leap status tells only that there was one: it stays "Normal" for good.
    """
    if any(source[1] == "*" for source in sources) or (not sources and tracking[0] == CHRONY_LOCAL):
        return ""
    alone = f"the clock follows no time source, and was last set {span(max(0.0, time.time() - float(tracking[3])))} ago"
    answering = sum(source[5] != "0" for source in sources)
    return f"{alone}: of {plural(len(sources), 'source')}, {answering} answer"


def _chrony_clock(result: Result) -> None:
    # As nobody, chronyc asks over the loopback. As root it makes a socket in /run/chrony: needed where cmdport is 0.
    command = ["chronyc", "-c", "-m", "tracking", "sources"]
    done = run(command, harmless=True)
    if done.code:
        done = run(command)
    fields, *sources = (line.split(",") for line in done.out.strip().split("\n"))
    if done.code or len(fields) < CHRONY_FIELDS:
        reason = done.out.strip() or done.err.strip() or "no answer"
        result.detail = "asked: chronyc tracking, sources"
        result.fault("critical", f"chronyd does not answer: {reason}")
        return
    offset = abs(float(fields[4]))
    result.detail = (
        f"asked: chronyc tracking, sources; source {fields[1] or fields[0]}, stratum {fields[2]}, "
        f"leap status {fields[13]}"
    )
    if fields[13] == "Not synchronised":
        result.fault("critical", "the clock is not synchronised")
        return
    result.title = f"the clock is synchronised, off by {span(offset)}"
    alone = _without_source(fields, sources)
    if alone:
        result.fault("warning", alone)
    result.values = {"offset": offset}
    result.metrics = {"offset_seconds": offset, "stratum": float(fields[2])}


def _systemd_clock(result: Result) -> None:
    shown = output_of(["timedatectl", "show", "-p", "NTP", "-p", "NTPSynchronized"])
    result.detail = "asked: timedatectl (the kernel's synchronisation flag; it knows no offset)"
    if "NTPSynchronized=yes" in shown:
        result.title = "the clock is synchronised"
    else:
        service = "the time service is on" if "NTP=yes" in shown else "no time service is on"
        result.fault("critical", f"the clock is not synchronised: {service}")


@check("clock")
def clock(options: Options) -> Result:
    """Whether the clock is synchronised, asked of chrony if there is one, else of systemd."""
    result = Result()
    source = options["source"]
    if source == "chrony" or (source == "auto" and any(map(os.path.exists, ("/usr/bin/chronyc", "/bin/chronyc")))):
        _chrony_clock(result)
    else:
        _systemd_clock(result)
    return result


def _age(info: os.stat_result) -> float:
    return max(0.0, time.time() - info.st_mtime)


@check("file")
def file(options: Options) -> Result:
    """A file, or the newest of those that match a pattern: there, young enough, of the right size."""
    path = options["subject"]
    found = []
    for name in glob.glob(path, recursive=True) if glob.has_magic(path) else [path]:
        try:
            info = os.stat(name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UnobservableError(f"{name}: {error.strerror}") from error
        found.append((info.st_mtime, name, info))
    if not found:
        absent = Result(f"{path} does not exist")
        return absent if options["exists"] is False else absent.fault("critical", absent.title)
    _time, name, info = max(found)
    kind = "directory" if stat.S_ISDIR(info.st_mode) else "file"
    result = Result(
        f"{name} is {span(_age(info))} old, {size(info.st_size)}", f"{plural(len(found), kind)} match {path}"
    )
    result.values = {"age": _age(info)}
    result.metrics = {"age_seconds": round(_age(info)), "size_bytes": info.st_size, "files": len(found)}
    if options["exists"] is False:
        result.fault("critical", f"{name} exists")
    if options["min_size"] is not None and info.st_size < options["min_size"]:
        result.fault("critical", f"{name} has {size(info.st_size)}, less than {size(options['min_size'])}")
    if options["max_size"] is not None and info.st_size > options["max_size"]:
        result.fault("critical", f"{name} has {size(info.st_size)}, more than {size(options['max_size'])}")
    return result

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kernel settings: read, tried where that harms nobody, set."""

from __future__ import annotations

import ctypes
import json
import os
import re
from typing import Any

from ansible_collections.ops.runbook.plugins.module_utils.configuration_basics import Entry, EntryError, Step

_NEW_NETWORK, _NEW_IPC, _NEW_UTS = 0x40000000, 0x08000000, 0x04000000
#: Settings that a process may have for itself: there, a value can be tried on the real kernel.
_PRIVATE = re.compile(r"net/|kernel/(msg\w*|shm\w*|sem|domainname|hostname)$|fs/mqueue/")
_NUMBERS = re.compile(r"-?\d+(\s+-?\d+)*$")


def kernel_path(key: str) -> str:
    """The file of the setting. A slash in the key keeps dots, which names of interfaces may have."""
    return "/proc/sys/" + (key if "/" in key else key.replace(".", "/"))


def _words(text: str) -> str:
    return " ".join(text.split())


def read_kernel(path: str) -> str:
    """The setting's value; several numbers with one space between them."""
    with open(path, encoding="ascii", errors="replace") as file:
        return _words(file.read())


def write_kernel(path: str, value: str) -> None:
    """Set it. The kernel's refusal is an OSError."""
    number = os.open(path, os.O_WRONLY)
    try:
        os.write(number, value.encode("ascii"))
    finally:
        os.close(number)


def plan_kernel(entry: Entry) -> Step:
    """The step of a kernel setting."""
    path = kernel_path(entry["name"])
    try:
        now = read_kernel(path)
    except FileNotFoundError as error:
        raise EntryError(entry["variable"], "is no setting that this host's kernel has") from error
    except (OSError, ValueError) as error:
        raise EntryError(entry["variable"], f"cannot be read on this host: {error}") from error
    wanted = _words(str(entry["value"]))
    return {
        "kind": "sysctl",
        "name": entry["name"],
        "variable": entry["variable"],
        "subject": entry["name"],
        "secret": False,
        "before": {"value": now},
        "after": {"value": wanted},
        "differs": [] if now == wanted else ["value"],
    }


def kernel_diff(step: Step) -> list[dict[str, str]]:
    """The old and the new value."""
    before, after = (f"{step['subject']} = {step[side]['value']}\n" for side in ("before", "after"))
    return [{"before_header": "sysctl", "after_header": "sysctl", "before": before, "after": after}]


def try_kernel(steps: list[Step]) -> list[EntryError]:
    """What the kernel would not take, found out without a change of the running system."""
    errors = []
    private = []
    for step in steps:
        path = kernel_path(step["subject"])
        if not os.access(path, os.W_OK):
            errors.append(
                EntryError(step["variable"], "cannot be changed on this host: its kernel setting is read-only")
            )
        elif _PRIVATE.match(path[len("/proc/sys/") :]):
            private.append(step)
        else:
            errors += _shape(step)
    return errors + (_try_apart(private) if private else [])


def _shape(step: Step) -> list[EntryError]:
    """A value can only be compared with the present one where trying it would change the whole machine."""
    now, wanted = step["before"]["value"], step["after"]["value"]
    if _NUMBERS.match(now) and (not _NUMBERS.match(wanted) or len(now.split()) != len(wanted.split())):
        count = len(now.split())
        kind = "a whole number" if count == 1 else f"{count} whole numbers"
        return [EntryError(step["variable"], f"is {wanted!r}; it has to be {kind}, now {now}")]
    return []


def _try_apart(steps: list[Step]) -> list[EntryError]:
    """Set the values in a child that has a network, an IPC and a name space of its own, which end with it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        # Whatever happens, the child ends here and never goes on as a second program.
        try:
            os.close(reading)
            answer: dict[str, Any] = {"errors": _try_in_child(steps)}
        except Exception as error:  # noqa: BLE001 - the parent reports it
            answer = {"failure": f"{type(error).__name__}: {error}"}
        with os.fdopen(writing, "w") as stream:
            json.dump(answer, stream)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        said = json.loads(stream.read() or '{"failure": "the trial ended without an answer"}')
    os.waitpid(child, 0)
    if "failure" in said:
        return [EntryError(steps[0]["variable"], f"cannot be tried on this host: {said['failure']}")]
    return [EntryError(variable, text) for variable, text in said["errors"]]


def _try_in_child(steps: list[Step]) -> list[tuple[str, str]]:
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_NEW_NETWORK | _NEW_IPC | _NEW_UTS):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    errors = []
    for step in steps:
        path, wanted = kernel_path(step["subject"]), step["after"]["value"]
        if not os.path.exists(path):
            # A setting of one interface, or of the first network alone.
            errors += [(error.variable, error.text) for error in _shape(step)]
            continue
        try:
            write_kernel(path, wanted)
            made = read_kernel(path)
        except (OSError, UnicodeEncodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            now = step["before"]["value"]
            errors.append((step["variable"], f"is {wanted!r}, which the kernel refuses ({reason}); now it is {now}"))
            continue
        if made != wanted:
            errors.append((step["variable"], f"is {wanted!r}, of which the kernel makes {made!r}: write that"))
    return errors


def install_kernel(variable: str, key: str, value: str) -> None:
    """Set the value, and make sure that it is set."""
    path = kernel_path(key)
    try:
        write_kernel(path, value)
    except OSError as error:
        raise EntryError(variable, f"cannot be set to {value!r}: {error.strerror}") from error
    made = read_kernel(path)
    if made != value:
        raise EntryError(variable, f"is {made!r} after it was set to {value!r}")

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the parts of the configuration program share.

The configuration_*.py files are joined into one program that runs on a managed host and is sent to ``python3 -``, as
the probe is. Hence the rules for these files: Python 3.9, the standard library alone, one-line imports between them.

An *entry* is what has to be the case: a file, a kernel setting or a service. A *step* is an entry that is not the case,
with the state before and the state after it.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from typing import Any, Optional

#: Prefix of the line that holds the program's answer, among whatever else a login prints.
MARK = "@ops.runbook.configuration "
#: Seconds that one program, such as a validator or a restart, may take.
PROGRAM_TIMEOUT = 90
#: The shortest word of a secret file that is masked wherever a program repeats it.
SHORTEST_SECRET = 6
MASK = "[secret]"
_OUTPUT_LIMIT = 4000
#: What ends a word of a configuration file, as part of a regular expression.
_ENDS = r"\s\"'=:,;{}()\[\]<>"

Entry = dict[str, Any]
Step = dict[str, Any]


class EntryError(Exception):
    """What is wrong with an entry; the text is a sentence that continues its variable's name."""

    def __init__(self, variable: str, text: str) -> None:
        super().__init__(text)
        self.variable = variable
        self.text = text

    def to_dict(self) -> dict[str, str]:
        """As it travels to the controller."""
        return {"variable": self.variable, "text": self.text}


class Finished:
    """A program's exit status and what it said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def said(self) -> str:
        """Both outputs, shortened: errors first, because the last lines of a long output are the least."""
        text = "\n".join(part.strip() for part in (self.err, self.out) if part.strip())
        return text[:_OUTPUT_LIMIT] or f"exit status {self.code}, without a message"


def execute(argv: list[str], stdin: str = "", timeout: float = PROGRAM_TIMEOUT) -> Finished:
    """Run a program to its end; one that is missing or hangs has failed."""
    try:
        # pylint: disable-next=ansible-bad-function
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
            timeout=timeout,
            cwd="/",
            env={**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"},
        )
    except subprocess.TimeoutExpired:
        return Finished(124, "", f"{argv[0]} did not end within {timeout:g} s")
    except OSError as error:
        return Finished(127, "", f"{argv[0]}: {error.strerror}")
    return Finished(done.returncode, done.stdout, done.stderr)


class Mask:
    """Hides what secret files hold in texts that programs print about them."""

    def __init__(self) -> None:
        self._words: set[str] = set()

    def learn(self, content: Optional[bytes], path: str = "") -> None:
        """Make the content of a secret file known; names of settings and words of its path are no secrets."""
        text = (content or b"").decode("utf-8", "replace")
        names = set(re.findall(r"(?m)^\s*(?:export\s+)?([A-Za-z_]\w*)\s*[=:]", text))
        words = [word for ends in (_ENDS, _ENDS + "@/") for word in re.split(f"[{ends}]+", text)]
        lines = [line.strip() for line in text.splitlines()]
        found = (word for word in [*words, *lines] if len(word) >= SHORTEST_SECRET)
        self._words.update(word for word in found if word not in names and word not in path)

    def text(self, text: str) -> str:
        """The text without words of secret files."""
        for word in sorted(self._words, key=len, reverse=True):
            if word in text:
                text = text.replace(word, MASK)
        return text


def unique(values: Iterable[str]) -> list[str]:
    """The values, each once, in their order."""
    return list(dict.fromkeys(values))

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Redaction: known secrets leave every string before it is written anywhere."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

MASK = "[secret]"
#: Shorter secrets only count as whole words: a PIN "42" must not eat the middle of "1423".
WHOLE_WORD_BELOW = 4
#: Lines of a multi-line secret that are shorter, such as a lone brace, are no secret.
SHORTEST_LINE = 8

_SECRET_NAME = re.compile(
    r"(^|[_\W])(pass|passwd|password|passphrase|pwd|token|secret|private_?key|api_?key|access_?key|credential)s?\d*($|[_\W])",
    re.IGNORECASE,
)
#: What such a name says about a secret, without being one.
_ABOUT_A_SECRET = re.compile(
    r"_(file|path|dir|directory|name|user|length|id|url|ttl|days|seconds|age|expiry|expires|algorithm|type|enabled"
    r"|required|policy|changed|authentication|method|owner|group|mode)$",
    re.IGNORECASE,
)
#: Values that say nothing even under the name of a secret.
_TRIVIAL = frozenset({"", "true", "false", "yes", "no", "none", "null", "on", "off", "present", "absent", MASK.lower()})


def is_secret_name(name: str) -> bool:
    """Whether the variable's name says that its value is a secret."""
    return bool(_SECRET_NAME.search(name)) and not _ABOUT_A_SECRET.search(name)


def is_trivial(value: str) -> bool:
    """Whether the value is a word that every text contains."""
    return value.strip().lower() in _TRIVIAL


class Redactor:
    """Replaces secrets in strings and in all strings inside of data."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._long: set[str] = set()
        self._short: set[str] = set()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Make the value known, in the forms in which it travels."""
        value = secret.strip()
        if not value:
            return
        if len(value) < WHOLE_WORD_BELOW:
            self._short.add(value)
            return
        self._long.update(_forms(value))
        if "\n" in value:
            for line in value.splitlines():
                if len(line.strip()) >= SHORTEST_LINE:
                    self._long.update(_forms(line.strip()))

    def text(self, text: str) -> str:
        """The text without secrets."""
        for secret in sorted(self._long, key=len, reverse=True):
            if secret in text:
                text = text.replace(secret, MASK)
        for secret in self._short:
            if secret in text:
                text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
        return text

    def data(self, value: Any) -> Any:
        """JSON-ready data of the same shape without secrets."""
        plain = json.loads(json.dumps(value, default=str, skipkeys=True))
        # Most data holds no secret at all: one search in the whole is much cheaper than one in each string.
        whole = json.dumps(plain, ensure_ascii=False)
        present = Redactor()
        present._long = {secret for secret in self._long if _inside_json(secret) in whole}
        present._short = {secret for secret in self._short if _inside_json(secret) in whole}
        return present._walk(plain) if present._long or present._short else plain

    def _walk(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._walk(item) for item in value]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return MASK if str(value) in self._long else value
        return value


def _forms(value: str) -> set[str]:
    """The value as it is, and quoted or encoded as configuration files, command lines and addresses carry it."""
    encoded = value.encode("utf-8", "surrogateescape")
    forms = {
        value,
        _inside_json(value),
        json.dumps(value)[1:-1],
        # JSON inside of JSON, as the output of a program that prints it.
        _inside_json(_inside_json(value)),
        json.dumps(json.dumps(value)[1:-1])[1:-1],
        shlex.quote(value).strip("'"),
        value.replace("'", "''"),
        quote(value, safe="", errors="replace"),
        quote(value, errors="replace"),
        base64.b64encode(encoded).decode("ascii"),
        base64.b64encode(encoded + b"\n").decode("ascii"),
    }
    return {form for form in forms if len(form) >= WHOLE_WORD_BELOW}


def _inside_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]

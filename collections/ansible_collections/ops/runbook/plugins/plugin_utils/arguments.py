# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validation of the arguments of actions that take the findings of a whole platform."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

#: Bulky arguments by their types. Ansible's values carry tags that make them slow to copy, and its validator copies
#: them all: half a second for 800 findings, and again with every use. These are looked at here and made plain once.
#: They may come as JSON, which Ansible hands on without looking into it.
_BULK: Mapping[str, type] = {"findings": list, "sections": dict}


def _read(value: Any) -> Any:
    if isinstance(value, str):
        with suppress(ValueError):
            return json.loads(value)
    return value


def validated(given: Mapping[str, Any], specification: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The arguments with their defaults; AnsibleActionFail where one is missing, unknown or of another type."""
    bulk = {name: _read(given[name]) for name in _BULK if name in given}
    rest = {name: option for name, option in specification.items() if name not in bulk}
    result = ArgumentSpecValidator(rest).validate({name: given[name] for name in given if name not in bulk})
    errors = list(result.error_messages)
    for name, value in bulk.items():
        if name not in specification:
            errors.append(f"there is no argument {name}")
        elif not isinstance(value, _BULK[name]):
            errors.append(f"{name} is a {type(value).__name__}, not a {_BULK[name].__name__}")
    if errors:
        raise AnsibleActionFail("Wrong arguments: " + "; ".join(errors))
    return {**result.validated_parameters, **json.loads(json.dumps(bulk, default=str))}

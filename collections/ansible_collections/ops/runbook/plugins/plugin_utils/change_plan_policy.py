# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the inventory and the procedure demand of a plan; the command line has no say in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.ops.runbook.plugins.plugin_utils.catalogue import Duration
from ansible_collections.ops.runbook.plugins.plugin_utils.change_plan import PlanError
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_layers import Layers

_PREFIX = "change_guard_"
_NAMES = ("approvals", "allowed_signers", "accounts", "plan_lifetime")


@dataclass(frozen=True)
class Policy:
    """The demands of all hosts of a run together."""

    #: How many people have to approve: the highest demand.
    approvals: int = 0
    #: The hosts that demand so many.
    demanding: tuple[str, ...] = ()
    allowed_signers: Path | None = None
    #: Account on the controller → principal in allowed_signers.
    accounts: Mapping[str, str] | None = None
    #: In seconds.
    lifetime: int = 0

    def demand(self) -> dict[str, Any]:
        """What the callback has to know to save a plan."""
        return {"approvals": self.approvals, "lifetime": self.lifetime}


def read(task: Any, templar: Any, hosts: list[str]) -> Policy:
    """The policy for the hosts. Raises PlanError naming the variable that is wrong."""
    given = [f"{_PREFIX}{name}" for name in _NAMES if f"{_PREFIX}{name}" in task.get_variable_manager().extra_vars]
    if given:
        raise PlanError(f"{', '.join(given)}: only inventory and procedure say it; leave it out of the command line")
    layers = Layers(task, ())
    found = {host: _values(layers.rules(host, hosts), templar, host) for host in hosts}
    approvals = max(values["approvals"] for values in found.values())
    demanding = tuple(host for host, values in found.items() if approvals and values["approvals"] == approvals)
    return Policy(
        approvals=approvals,
        demanding=demanding,
        allowed_signers=_one("allowed_signers", (found[host]["allowed_signers"] for host in demanding or hosts)),
        accounts={name: who for values in found.values() for name, who in values["accounts"].items()},
        lifetime=min(values["plan_lifetime"] for values in found.values()),
    )


def _one(name: str, values: Iterable[Any]) -> Any:
    different = set(values)
    if len(different) > 1:
        raise PlanError(f"{_PREFIX}{name} is not the same on all hosts of this run; use --limit")
    return different.pop()


def _values(variables: Mapping[str, Any], templar: Any, host: str) -> dict[str, Any]:
    own = templar.copy_with_new_env(available_variables=variables)
    values = {}
    for name in _NAMES:
        variable = f"{_PREFIX}{name}"
        try:
            values[name] = _CHECKS[name](own.template(variables[variable]))
        except (ValueError, AnsibleError, KeyError) as error:
            raise PlanError(f"{variable} of {host}: {error}") from error
    return values


def _count(value: Any) -> int:
    if isinstance(value, bool) or not str(value).isdecimal():
        raise ValueError(f"it is {value!r}, not the number of people who have to approve")
    return int(value)


def _path(value: Any) -> Path | None:
    if not isinstance(value, str):
        raise ValueError(f"it is {value!r}, not a path")
    return Path(value).expanduser() if value else None


def _accounts(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(who, str) for who in value.values()):
        raise ValueError(f"it is {value!r}, not a mapping from account to principal")
    return {str(name): str(who) for name, who in value.items()}


def _seconds(value: Any) -> int:
    try:
        return Duration.parse(value).seconds
    except ValueError as error:
        raise ValueError(f"it is {value!r}, not {error}") from error


_CHECKS = {"approvals": _count, "allowed_signers": _path, "accounts": _accounts, "plan_lifetime": _seconds}

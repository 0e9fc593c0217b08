# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options with which no platform can be rebuilt are refused by their names."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.action.platform_plan import _checked
from ansible_collections.ops.runbook.plugins.plugin_utils.rebuild_plan import RefusalError

NOW = 1_795_500_000.0
KNOWN = {"hostvars": dict.fromkeys(("db1", "proxy1", "store1"), None)}
OPTIONS: dict[str, Any] = {
    "hosts": ["db1", "proxy1"],
    "databases": ["db1"],
    "entrances": ["proxy1"],
    "store": "store1",
    "rpo": "5m",
    "lost_at": "",
}


def test_the_time_of_the_loss() -> None:
    assert _checked(OPTIONS, KNOWN, NOW) == 0.0
    assert _checked({**OPTIONS, "lost_at": "2026-11-23 01:00"}, KNOWN, NOW) == 1_795_395_600.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"store": ""}, "platform_rebuild_store is empty"),
        ({"hosts": ["db9"]}, "platform_rebuild_hosts names 'db9', which is no host"),
        ({"hosts": []}, "platform_rebuild_hosts is empty"),
        ({"hosts": ["db1", "store1"]}, "platform_rebuild_hosts has the store itself"),
        ({"entrances": ["gate"]}, "platform_rebuild_entrances names 'gate'"),
        ({"rpo": ""}, "platform_rebuild_rpo is ''; it has to be a number with unit"),
        ({"lost_at": "noon"}, "platform_rebuild_lost_at: 'noon' is no time"),
        ({"lost_at": "2027-01-01"}, "platform_rebuild_lost_at is '2027-01-01', which is in the future"),
    ],
)
def test_refusals_name_the_variable(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusalError, match=words):
        _checked({**OPTIONS, **changes}, KNOWN, NOW)

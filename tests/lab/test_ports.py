"""Ports that somebody else takes between podman's choice and its bind."""

from __future__ import annotations

import pytest

from tests.lab import hosts
from tests.lab.podman import LabError
from tests.lab.state import Lab

KEYS = {"ops": "key"}


@pytest.mark.parametrize(
    ("failures", "message", "calls"),
    [
        (2, "bind: address already in use", 3),
        (hosts.PORT_ATTEMPTS, "bind: address already in use", hosts.PORT_ATTEMPTS),
        (1, "no such image", 1),
    ],
)
def test_another_port_is_tried(monkeypatch: pytest.MonkeyPatch, failures: int, message: str, calls: int) -> None:
    seen: list[str] = []

    def podman(*arguments: str) -> None:
        if arguments[0] == "run":
            seen.append("run")
            if len(seen) <= failures:
                raise LabError(message)

    monkeypatch.setattr(hosts, "podman", podman)
    if calls > failures:
        hosts.run(Lab("ports"), "app1", "image", KEYS, "--network=none")
    else:
        with pytest.raises(LabError, match=message):
            hosts.run(Lab("ports"), "app1", "image", KEYS, "--network=none")
    assert len(seen) == calls

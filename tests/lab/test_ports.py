"""Ports that somebody takes between podman's choice and its bind, silent hosts, and containers that stay a while."""

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


@pytest.mark.parametrize("silent", [1, 2])
def test_a_host_that_never_answers_is_started_once_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], silent: int
) -> None:
    ports = {"app1": 2021}
    asked: list[int] = []
    begun: list[str] = []

    def host_key(_lab: Lab, host: str, port: int) -> str:
        asked.append(port)
        if len(asked) <= silent:
            raise LabError(f"SSH of {host} did not happen")
        return "key"

    monkeypatch.setattr(hosts, "podman", lambda *_arguments: "")
    monkeypatch.setattr(hosts, "containers", lambda _lab: {"app1": {"Ports": [{"host_port": "2022"}]}})
    monkeypatch.setattr(hosts, "host_key", host_key)
    if silent == 1:
        assert hosts.first_key(Lab("ports"), "app1", ports, begun.append) == "key"
    else:
        with pytest.raises(LabError, match="SSH of app1"):
            hosts.first_key(Lab("ports"), "app1", ports, begun.append)
    assert (asked, begun, ports) == ([2021, 2022], ["app1"], {"app1": 2022})
    assert "starting app1 once more" in capsys.readouterr().err


def test_a_container_whose_file_system_is_busy_is_removed_as_soon_as_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["unlinkat shm: device or resource busy", "", "no space left on device"]

    def podman(*_arguments: str) -> None:
        answer = answers.pop(0)
        if answer:
            raise LabError(answer)

    monkeypatch.setattr(hosts, "podman", podman)
    hosts.remove(Lab("ports"), ["app1"])
    with pytest.raises(LabError, match="no space"):
        hosts.remove(Lab("ports"), ["app1"])

"""The proxy: TLS, evidence through it, and upstreams that can be drained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://proxy"]

TEXT = "Access review of November: 14 accounts, 2 revoked. \u2713"


def call(host: Host, path: str, *options: str) -> Any:
    command = "curl --silent --show-error --max-time 10 " + " ".join(["%s"] * len(options)) + " https://evidence.lab%s"
    return json.loads(host.check_output(command, *options, path))


@pytest.fixture(scope="module")
def token(lab_secrets: dict[str, Any]) -> str:
    return f"Authorization: Bearer {lab_secrets['tokens']['collector']}"


@pytest.fixture
def drained(host: Host) -> Iterator[str]:
    host.check_output("upstream-state evidence-api app2 drained")
    yield "app2"
    host.check_output("upstream-state evidence-api app2 active")


def test_nginx_runs(host: Host) -> None:
    nginx = host.service("nginx")
    assert nginx.is_running
    assert nginx.is_enabled


@pytest.mark.parametrize("name", ["proxy1", "evidence.lab"])
def test_certificate_is_trusted_under_its_names_only(host: Host, name: str) -> None:
    assert host.run("curl --silent --fail https://%s/healthz", name).rc == 0
    untrusted = host.run("curl --silent --fail --resolve other.lab:443:127.0.0.1 https://other.lab/healthz")
    assert untrusted.rc == 60


def test_certificate_is_not_trusted_without_the_authority(host: Host) -> None:
    assert host.run("curl --silent --fail --capath /nonexistent --cacert /dev/null https://proxy1/healthz").rc != 0


def test_plain_http_leads_to_tls(host: Host) -> None:
    assert host.check_output("curl --silent --output /dev/null --write-out %{redirect_url} http://proxy1/healthz") == (
        "https://proxy1/healthz"
    )


def test_evidence_is_stored_and_read_back(host: Host, token: str) -> None:
    body = json.dumps({"name": "access-review", "content": TEXT})
    stored = call(host, "/evidence", "--header", token, "--json", body)
    assert stored["submitter"] == "collector"
    assert len(stored["sha256"]) == 64
    read = call(host, f"/evidence/{stored['id']}", "--header", token)
    assert read["content"] == TEXT
    assert read["sha256"] == stored["sha256"]
    assert stored["id"] in [document["id"] for document in call(host, "/evidence", "--header", token)["evidence"]]


def test_evidence_needs_a_token(host: Host) -> None:
    for header in ("X-Nothing: 1", "Authorization: Bearer wrong", "Authorization: Bearer "):
        answer = host.check_output(
            "curl --silent --output /dev/null --write-out %%{http_code} --header %s https://proxy1/evidence", header
        )
        assert answer == "401"


def test_requests_reach_both_upstreams(host: Host) -> None:
    assert len(upstreams_of(host, 10)) == 2


def test_drained_upstream_gets_no_request(host: Host, drained: str) -> None:
    assert call_status(host) == {"app1": "active", "app2": "drained"}
    answered = upstreams_of(host, 20)
    assert answered == {f"{host.check_output('getent hosts app1').split()[0]}:8000"}
    with pytest.raises(AssertionError, match="last active"):
        host.check_output("upstream-state evidence-api app1 drained")
    assert call_status(host)["app1"] == "active"


def test_restored_upstream_gets_requests(host: Host) -> None:
    assert call_status(host) == {"app1": "active", "app2": "active"}
    assert len(upstreams_of(host, 10)) == 2


def call_status(host: Host) -> Any:
    return json.loads(host.check_output("curl --silent --fail http://127.0.0.1:8080/upstreams"))


def upstreams_of(host: Host, requests: int) -> set[str]:
    headers = host.check_output(
        "for n in $(seq %s); do curl --silent --fail --output /dev/null --dump-header - https://proxy1/healthz; done",
        str(requests),
    )
    found = [line.split(": ")[1].strip() for line in headers.splitlines() if line.lower().startswith("x-upstream")]
    assert len(found) == requests
    return set(found)

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import application_service as service

#: No such unit: systemd, where there is one, calls it dead.
UNIT = "no-such-unit.service"


class Application(BaseHTTPRequestHandler):
    documents: dict[str, dict[str, Any]]

    def _answer(self, status: int, body: Any) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._answer(200, {"release": "new", "status": "ok"})
        elif self.path == "/text":
            self._answer(200, "hello")
        elif self.path.lstrip("/") in self.documents:
            self._answer(200, self.documents[self.path.lstrip("/")])
        else:
            self._answer(404, {"error": "there is no such document"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization") != "Bearer secret":
            self._answer(401, {"error": "send a token"})
            return
        self.documents["d1"] = {**body, "id": "d1"}
        self._answer(201, self.documents["d1"])

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    handler = type("Handler", (Application,), {"documents": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def asked(*requests: dict[str, Any], token: str = "secret") -> dict[str, str]:
    return service.await_answer(UNIT, requests, {"release": "new"}, token, 5)


def test_requests_that_build_on_each_other(address: str) -> None:
    known = asked(
        {"get": f"{address}/healthz", "json": {"release": "{release}", "status": "ok"}},
        {"post": f"{address}/", "token": True, "send": {"name": "by {release}"}, "status": 201, "keep": {"doc": "id"}},
        {"get": f"{address}/{{doc}}", "json": {"name": "by new"}},
    )
    assert known == {"release": "new", "doc": "d1"}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"get": "/healthz", "json": {"release": "old"}}, "release is not 'old'"),
        ({"get": "/nothing"}, "404 instead of 200: .*no such document"),
        ({"get": "/text", "json": {"a": 1}}, "the answer is no JSON: hello"),
        ({"post": "/", "send": {}, "status": 201}, "401 instead of 201: .*send a token"),
    ],
)
def test_answers_that_are_wrong(
    address: str, request_: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "has_died", lambda unit: False)
    filled = {key: f"{address}{value}" if key in ("get", "post") else value for key, value in request_.items()}
    with pytest.raises(service.ServiceError, match=said):
        service.await_answer(UNIT, [filled], {}, "", 0.2)


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "has_died", lambda unit: False)
    with pytest.raises(service.ServiceError, match="Connection refused"):
        service.await_answer(UNIT, [{"get": "http://127.0.0.1:9/"}], {}, "", 0.2)


def test_a_dead_service_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "has_died", lambda unit: True)
    monkeypatch.setattr(service, "last_words", lambda unit: "ImportError")
    with pytest.raises(service.ServiceError, match=r"has died:\nImportError"):
        service.await_answer(UNIT, [{"get": "http://127.0.0.1:9/"}], {}, "", 600)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "localhost:8000", ""])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(service.ServiceError, match="has to begin with http"):
        service.ask({"get": address}, {}, "", 1)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ("http://localhost", r"r\[0\] is no mapping"),
        ({}, r"r\[0\] has to have one of get, post, put, delete"),
        ({"get": "x", "post": "y"}, "has to have one of"),
        ({"get": "x", "header": "y"}, r"r\[0\] has header; it may have delete, get, json"),
        ({"get": "x", "json": []}, "json is no mapping"),
    ],
)
def test_requests_that_are_wrong(request_: Any, said: str) -> None:
    (error,) = service.wrong([request_], "r")
    with pytest.raises(ValueError, match=said):
        raise ValueError(error)

"""Network checks against real servers on the loopback: silent, slow, broken and good ones."""

from __future__ import annotations

import http.server
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.ops.runbook.plugins.module_utils import probe, probe_network
from ansible_collections.ops.runbook.plugins.plugin_utils.checks_resolve import resolve

LOADED = (probe_network,)  # importing it registers its checks


def look(spec: dict[str, Any]) -> probe.Result:
    """One check's result, within its time limit, as in a sweep."""
    check = resolve("x", spec)
    limit = probe._current.limit = probe.Cancellation(check["timeout"])
    timer = threading.Timer(check["timeout"], limit.expire)
    timer.start()
    try:
        return probe.CHECKS[check["type"]](check["options"])
    finally:
        timer.cancel()
        del probe._current.limit


def faults(spec: dict[str, Any]) -> list[str]:
    return [text for _unused, text in look(spec).faults]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Handler(http.server.BaseHTTPRequestHandler):
    """A small site with well and badly behaved pages."""

    def do_GET(self) -> None:
        if self.path == "/drip":
            return self.drip()
        if self.path == "/slow":
            time.sleep(0.3)
        status = {"/broken": 503, "/moved": 302, "/loop": 302}.get(self.path, 200)
        body = b"status: ready" if self.path != "/headers" else str(self.headers).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/loop" if self.path == "/loop" else "/")
        self.send_header("X-Site", "main")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def drip(self) -> None:
        """A byte now and then: every read succeeds, the whole never does."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        try:
            for _unused in range(100):
                self.wfile.write(b".")
                self.wfile.flush()
                time.sleep(0.1)
        except OSError:
            return

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_tcp_connects(silent_port: int) -> None:
    result = look({"tcp": f"127.0.0.1:{silent_port}"})
    assert result.faults == []
    assert 0 < result.metrics["latency_seconds"] < 5


def test_tcp_refused(closed_port: int) -> None:
    assert faults({"tcp": f"127.0.0.1:{closed_port}"}) == [f"127.0.0.1:{closed_port}: Connection refused"]


def test_dns_resolves_and_compares() -> None:
    assert faults({"dns": "localhost", "addresses": ["127.0.0.1"]}) == []
    assert faults({"dns": "localhost", "addresses": ["192.0.2.1"]})[0].endswith("not to 192.0.2.1")
    assert "no-such-name.invalid" in faults({"dns": "no-such-name.invalid"})[0]


def test_dns_asks_the_given_server() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        threading.Thread(target=answer_dns, args=(server,), daemon=True).start()
        spec = {"dns": "db.example.org", "server": f"127.0.0.1:{server.getsockname()[1]}", "timeout": "3s"}
        assert faults({**spec, "addresses": ["192.0.2.7"]}) == []


def answer_dns(server: socket.socket) -> None:
    """Answer the question for A with 192.0.2.7, and the one for AAAA with nothing."""
    for _unused in range(2):
        question, peer = server.recvfrom(512)
        wants_a = question[-4:-2] == b"\0\1"
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([192, 0, 2, 7])
        count = b"\0\1" if wants_a else b"\0\0"
        header = question[:2] + b"\x81\x80\0\1" + count + b"\0\0\0\0"
        server.sendto(header + question[12:] + (record if wants_a else b""), peer)


def test_http_answers(site: str) -> None:
    result = look(
        {"http": f"{site}/", "contains": "ready", "matches": "^status: \\w+$", "expect_headers": {"X-Site": "main"}}
    )
    assert result.faults == []
    assert result.metrics["http_status"] == 200
    assert result.metrics["body_bytes"] == 13


def test_http_measures_the_latency(site: str) -> None:
    assert look({"http": f"{site}/slow"}).values["latency"] >= 0.3


@pytest.mark.parametrize(
    ("path", "options", "text"),
    [
        ("/broken", {}, "answered 503 Service Unavailable, not 200"),
        ("/moved", {}, "answered 302 Found, not 200"),
        ("/", {"contains": "steady"}, "does not contain 'steady'"),
        ("/", {"matches": "^ready"}, "does not match '^ready'"),
        ("/", {"expect_headers": {"X-Site": "^other"}}, "the header X-Site of"),
        ("/loop", {"follow_redirects": True}, "more than 5 redirects"),
    ],
)
def test_http_says_what_is_not_as_expected(site: str, path: str, options: dict[str, Any], text: str) -> None:
    (fault,) = faults({"http": site + path, **options})
    assert text in fault


def test_http_takes_other_statuses_and_follows_redirects_if_asked(site: str) -> None:
    assert faults({"http": f"{site}/broken", "status": [503]}) == []
    assert faults({"http": f"{site}/moved", "follow_redirects": True, "contains": "ready"}) == []


def test_http_sends_headers(site: str) -> None:
    spec = {"http": f"{site}/headers", "headers": {"Host": "api.example.org", "Authorization": "Bearer x"}}
    assert faults({**spec, "matches": "(?s)Host: api.example.org.*Authorization: Bearer x"}) == []


def test_http_of_a_server_that_never_answers(silent_port: int) -> None:
    begin = time.monotonic()
    url = f"http://127.0.0.1:{silent_port}/"
    assert faults({"http": url, "timeout": "1s"}) == [f"{url}: did not answer within 1 s"]
    assert time.monotonic() - begin < 3


def test_http_of_a_server_that_drips(site: str) -> None:
    begin = time.monotonic()
    (fault,) = faults({"http": f"{site}/drip", "timeout": "1s"})
    assert "did not answer within 1 s" in fault
    assert time.monotonic() - begin < 3


def test_http_refused(closed_port: int) -> None:
    assert faults({"http": f"http://127.0.0.1:{closed_port}/"}) == [
        f"http://127.0.0.1:{closed_port}/: Connection refused"
    ]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and certificates of it: a good, an expired, and a stranger's."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "100", "-subj", "/CN=Test CA")
    (folder / "names").write_text("subjectAltName=DNS:proxy1,DNS:*.example.org,IP:127.0.0.1\n", encoding="ascii")
    dates = {"good": ("20200101000000Z", "20991231235959Z"), "expired": ("20200101000000Z", "20210101000000Z")}
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
        "unique_subject=no\n[p]\ncommonName=supplied\n",
        encoding="ascii",
    )
    (folder / "index").write_text("", encoding="ascii")
    (folder / "serial").write_text("01", encoding="ascii")
    for name, (begin, end) in dates.items():
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        sign = ("ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-extfile", "names")
        openssl(*sign, "-startdate", begin, "-enddate", end, "-in", f"{name}.csr", "-out", f"{name}.pem", "-notext")
    openssl(
        *("req", "-x509", *key, "-keyout", "stranger.key", "-out", "stranger.pem", "-days", "100"),
        *("-subj", "/CN=stranger", "-addext", "subjectAltName=DNS:stranger"),
    )
    return folder


@pytest.fixture
def serve(certificates: Path) -> Iterator[Callable[[str], str]]:
    """Serve TLS with the named certificate; gives the endpoint."""
    sockets = []

    def start(name: str, before: bytes = b"") -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
        server = socket.create_server(("127.0.0.1", 0))
        sockets.append(server)
        threading.Thread(target=handshakes, args=(server, context, before), daemon=True).start()
        return f"127.0.0.1:{server.getsockname()[1]}"

    yield start
    for server in sockets:
        server.close()


def handshakes(server: socket.socket, context: ssl.SSLContext, before: bytes) -> None:
    while True:
        try:
            connection, _unused = server.accept()
        except OSError:
            return
        with connection:
            if before and connection.recv(8) == b"\x00\x00\x00\x08\x04\xd2\x16\x2f":
                connection.send(before)
            try:
                with context.wrap_socket(connection, server_side=True) as secure:
                    while secure.recv(1024):
                        continue
            except OSError:
                continue


def test_a_good_certificate(serve: Callable[..., str], certificates: Path) -> None:
    endpoint = serve("good")
    for name in ("proxy1", "www.example.org", "127.0.0.1"):
        result = look({"certificate": endpoint, "ca": str(certificates / "ca.pem"), "name": name})
        assert result.faults == []
    assert result.values["left"] > 86400 * 365


@pytest.mark.parametrize("name", ["proxy2", "example.org", "a.b.example.org", "127.0.0.2"])
def test_a_certificate_for_somebody_else(serve: Callable[..., str], certificates: Path, name: str) -> None:
    spec = {"certificate": serve("good"), "ca": str(certificates / "ca.pem"), "name": name}
    assert faults(spec) == [
        f"the certificate of {spec['certificate']} is for proxy1, *.example.org, 127.0.0.1, not for {name}"
    ]


def test_expiry_chain_and_name_are_all_judged(serve: Callable[..., str], certificates: Path) -> None:
    endpoint = serve("expired")
    (expired,) = faults({"certificate": endpoint, "ca": str(certificates / "ca.pem"), "name": "proxy1"})
    assert "expired" in expired
    untrusted = faults({"certificate": endpoint, "ca": str(certificates / "stranger.pem"), "name": "proxy2"})
    assert [text.split(endpoint)[1].split()[0:2] for text in untrusted] == [
        ["expired", untrusted[0].split()[5]],
        ["is", "not"],
        ["is", "for"],
    ]


def test_a_chain_need_not_verify_if_nobody_asks_for_it(serve: Callable[..., str]) -> None:
    assert faults({"certificate": serve("stranger"), "name": "stranger", "verify": False}) == []
    (fault,) = faults({"certificate": serve("stranger"), "name": "stranger"})
    assert "is not trusted: self-signed certificate" in fault.replace("self signed", "self-signed")


def test_a_certificate_behind_the_postgres_greeting(serve: Callable[..., str], certificates: Path) -> None:
    spec = {"ca": str(certificates / "ca.pem"), "name": "proxy1", "starttls": "postgres"}
    assert faults({**spec, "certificate": serve("good", b"S")}) == []
    (fault,) = faults({**spec, "certificate": serve("good", b"N")})
    assert "the server offers no TLS" in fault


def test_certificates_in_files(certificates: Path) -> None:
    spec = {"ca": str(certificates / "ca.pem"), "name": "proxy1"}
    assert faults({**spec, "certificate": str(certificates / "good.pem")}) == []
    (expired,) = faults({**spec, "certificate": str(certificates / "expired.pem")})
    assert "expired" in expired
    chain, name = faults({**spec, "certificate": str(certificates / "stranger.pem")})
    assert "is not trusted" in chain
    assert name.endswith("is for stranger, not for proxy1")
    (alone,) = faults({"certificate": str(certificates / "stranger.pem")})
    assert "is not trusted" in alone, "whom the system trusts counts where no authority is named"
    assert faults({"certificate": str(certificates / "stranger.pem"), "verify": False}) == []
    with pytest.raises(probe.UnobservableError, match="No such file"):
        look({"certificate": "/no/such/file.pem"})


def test_https_of_a_server_that_shakes_hands_and_never_answers(serve: Callable[..., str], certificates: Path) -> None:
    begin = time.monotonic()
    url = f"https://{serve('good')}/"
    spec = {"http": url, "ca": str(certificates / "ca.pem"), "timeout": "1s"}
    assert faults(spec) == [f"{url}: did not answer within 1 s"]
    assert time.monotonic() - begin < 3


def test_https_of_a_server_that_never_shakes_hands(silent_port: int) -> None:
    url = f"https://127.0.0.1:{silent_port}/"
    assert faults({"http": url, "timeout": "1s"}) == [f"{url}: did not answer within 1 s"]


def test_https_needs_a_certificate_that_verifies_unless_told_otherwise(serve: Callable[..., str]) -> None:
    (fault,) = faults({"http": f"https://{serve('stranger')}/", "timeout": "2s"})
    assert "self" in fault
    assert "signed certificate" in fault


def test_a_certificate_of_a_server_that_never_answers(silent_port: int) -> None:
    begin = time.monotonic()
    (fault,) = faults({"certificate": f"127.0.0.1:{silent_port}", "timeout": "1s"})
    assert "did not answer within 1 s" in fault
    assert time.monotonic() - begin < 3

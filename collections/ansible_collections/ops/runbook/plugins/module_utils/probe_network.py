# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks over the network: TCP, DNS, certificates, HTTP. They look from the host on which the probe runs."""

# Rare imports stand inside the functions that need them: the probe starts faster.
# ruff: noqa: PLC0415

from __future__ import annotations

import os
import re
import time
from typing import Any, Optional

from ansible_collections.ops.runbook.plugins.module_utils.probe import (
    Options,
    Result,
    UnobservableError,
    check,
    read,
    run,
    shorten,
    size,
    span,
    time_limit,
    timed_out,
)

NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME: expiry is judged by the thresholds
REDIRECTS = 5
POINTER = 192  # first byte of a compressed name
REDIRECT = range(300, 400)


def _split_endpoint(endpoint: str) -> tuple[str, int]:
    host, _colon, port = endpoint.rpartition(":")
    return host.strip("[]"), int(port)


def _connect(host: str, port: int) -> Any:
    """A connected socket that the check's time limit closes."""
    import socket

    limit = time_limit()
    connection = socket.create_connection((host, port), timeout=limit.remaining())
    limit.add(lambda: connection.shutdown(socket.SHUT_RDWR))
    return connection


def _secure(context: Any, connection: Any, name: str) -> Any:
    """The connection under TLS, which the check's time limit closes too, in the handshake and after it."""
    import socket

    secure = context.wrap_socket(connection, server_hostname=name, do_handshake_on_connect=False)
    # Not SSLSocket.shutdown, which takes the TLS state away from the thread that reads.
    time_limit().add(lambda: socket.socket.shutdown(secure, socket.SHUT_RDWR))
    secure.do_handshake()
    return secure


def _reason(error: Exception) -> str:
    """Why a connection failed, for people."""
    if time_limit().expired or isinstance(error, TimeoutError) or "timed out" in str(error):
        return timed_out()
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@check("tcp")
def tcp(options: Options) -> Result:
    """A port that accepts connections."""
    import socket  # noqa: F401 - before the clock starts

    endpoint = options["subject"]
    begin = time.monotonic()
    try:
        _connect(*_split_endpoint(endpoint)).close()
    except OSError as error:
        text = f"{endpoint}: {_reason(error)}"
        return Result(text).fault("critical", text)
    latency = time.monotonic() - begin
    result = Result(f"{endpoint} accepts connections, {span(latency)}")
    result.values = {"latency": latency}
    result.metrics = {"latency_seconds": round(latency, 6)}
    return result


def _query(name: str, server: str, kind: int) -> list[str]:
    """Addresses of a name, asked of one name server (kind 1: A, 28: AAAA)."""
    import socket
    import struct

    host, port = _split_endpoint(server) if server.count(":") == 1 or "]:" in server else (server, 53)
    number = struct.unpack("!H", os.urandom(2))[0]
    labels = b"".join(bytes([len(part)]) + part for part in name.rstrip(".").encode("idna").split(b"."))
    question = struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.settimeout(time_limit().remaining())
        connection.connect((host, port))
        connection.send(question)
        answer = connection.recv(4096)
    code, count = answer[3] & 15, struct.unpack("!H", answer[6:8])[0]
    if code not in (0, 3):
        raise OSError(f"the name server answered with error {code}")
    found, position = [], len(question)
    for _record in range(count):
        while answer[position] and answer[position] < POINTER:
            position += answer[position] + 1
        position += 1 if not answer[position] else 2
        record, _cls, _ttl, length = struct.unpack("!HHIH", answer[position : position + 10])
        data = answer[position + 10 : position + 10 + length]
        position += 10 + length
        if record == kind:
            found.append(socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, data))
    return found


def _resolve(name: str, server: Optional[str]) -> list[str]:
    import socket

    if server:
        return sorted(set(_query(name, server, 1) + _query(name, server, 28)))
    return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})


@check("dns")
def dns(options: Options) -> Result:
    """A name that resolves, to the expected addresses if there are any."""
    import socket  # noqa: F401 - before the clock starts

    name, server = options["subject"], options["server"]
    asked = f"{name} at {server}" if server else name
    begin = time.monotonic()
    try:
        addresses = _resolve(name, server)
    except OSError as error:
        text = f"{asked}: {_reason(error)}"
        return Result(text).fault("critical", text)
    latency = time.monotonic() - begin
    result = Result(f"{asked} resolves to {', '.join(addresses)}, {span(latency)}")
    result.values = {"latency": latency}
    result.metrics = {"latency_seconds": round(latency, 6), "addresses": len(addresses)}
    missing = sorted(set(options["addresses"]) - set(addresses))
    if not addresses:
        result.fault("critical", f"{asked} has no address")
    elif missing:
        result.fault("critical", f"{asked} resolves to {', '.join(addresses)}, not to {', '.join(missing)}")
    return result


def _decode(path: str) -> dict[str, Any]:
    """The fields of a PEM certificate, whether it is trusted or not."""
    import ssl

    read(path)
    try:
        return dict(ssl._ssl._test_decode_cert(path))  # type: ignore[attr-defined]
    except (OSError, ValueError) as error:
        raise UnobservableError(f"{path} holds no certificate in PEM format") from error


def _decode_bytes(der: bytes) -> dict[str, Any]:
    """The fields of a certificate in memory: the decoder wants a path, and the probe writes no files."""
    import ssl

    handle = os.memfd_create("certificate")
    try:
        os.write(handle, ssl.DER_cert_to_PEM_cert(der).encode())
        return _decode(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def _matches(certificate: dict[str, Any], name: str) -> bool:
    """Whether the certificate is for this name (RFC 6125: a star stands for one whole leftmost label)."""
    for kind, value in certificate.get("subjectAltName", ()):
        if kind == "IP Address" and value.strip().lower() == name.lower():
            return True
        if kind == "DNS":
            pattern, wanted = value.lower().rstrip("."), name.lower().rstrip(".")
            if pattern == wanted or (pattern.startswith("*.") and pattern[1:] == wanted[wanted.find(".") :] != wanted):
                return True
    return False


def _names(certificate: dict[str, Any]) -> str:
    return ", ".join(value for _kind, value in certificate.get("subjectAltName", ())) or "no name"


def _start_tls_postgres(connection: Any) -> None:
    connection.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
    if connection.recv(1) != b"S":
        raise OSError("the server offers no TLS")


def _served(options: Options, trust: bool) -> dict[str, Any]:
    """The certificate that an endpoint serves; with trust, the handshake fails if its chain does not verify."""
    import ssl

    host, port = _split_endpoint(options["subject"])
    context = ssl.create_default_context(cafile=options["ca"])
    context.check_hostname = False  # judged apart, so that one wrong thing does not hide another
    context.verify_flags |= NO_CHECK_TIME
    if not trust:
        context.verify_mode = ssl.CERT_NONE
    with _connect(host, port) as connection:
        if options["starttls"] == "postgres":
            _start_tls_postgres(connection)
        with _secure(context, connection, options["name"] or host) as secure:
            return _decode_bytes(secure.getpeercert(binary_form=True) or b"")


def _endpoint_certificate(options: Options) -> tuple[dict[str, Any], str]:
    """The certificate and what is wrong with its chain."""
    import ssl

    if not options["verify"]:
        return _served(options, trust=False), ""
    try:
        return _served(options, trust=True), ""
    except ssl.SSLCertVerificationError as error:
        return _served(options, trust=False), error.verify_message


def _file_certificate(options: Options) -> tuple[dict[str, Any], str]:
    path, authority = options["subject"], options["ca"]
    certificate = _decode(path)
    if not options["verify"]:
        return certificate, ""
    trusted = ["-CAfile", authority] if authority else []
    done = run(["openssl", "verify", "-no_check_time", *trusted, "-untrusted", path, path])
    reasons = re.findall(r"error \d+ at .*?: (.*)", done.err + done.out)
    return certificate, (reasons[0] if reasons else "it does not verify") if done.code else ""


@check("certificate")
def certificate(options: Options) -> Result:
    """Expiry, chain and name of a served certificate, or of one in a file."""
    import ssl

    subject = options["subject"]
    in_file = subject.startswith("/")
    try:
        found, chain = (_file_certificate if in_file else _endpoint_certificate)(options)
    except OSError as error:
        text = f"{subject}: {_reason(error)}"
        return Result(text).fault("critical", text)
    left = ssl.cert_time_to_seconds(found["notAfter"]) - time.time()
    state = f"expires in {span(left)}" if left > 0 else f"expired {span(-left)} ago"
    result = Result(f"the certificate of {subject} {state}")
    issuer = ", ".join(value for part in found.get("issuer", ()) for _key, value in part)
    result.detail = f"valid until {found['notAfter']}; for {_names(found)}; issued by {issuer}"
    result.values = {"left": left}
    result.metrics = {"left_seconds": round(left)}
    if left <= 0:
        result.fault("critical", result.title)
    if ssl.cert_time_to_seconds(found["notBefore"]) > time.time():
        result.fault("critical", f"the certificate of {subject} is not valid before {found['notBefore']}")
    if chain:
        result.fault("critical", f"the certificate of {subject} is not trusted: {chain}")
    name = options["name"] or ("" if in_file else _split_endpoint(subject)[0])
    if name and not _matches(found, name):
        result.fault("critical", f"the certificate of {subject} is for {_names(found)}, not for {name}")
    return result


class _Answer:
    """An HTTP answer."""

    def __init__(self, status: int, reason: str, headers: Any, body: str, length: int) -> None:
        self.status, self.reason, self.headers, self.body, self.length = status, reason, headers, body, length


def _request(url: str, options: Options) -> _Answer:
    """One request, without following redirects."""
    import http.client
    import ssl
    import urllib.parse

    parts = urllib.parse.urlsplit(url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    headers = {"User-Agent": "ops-runbook-probe", "Connection": "close", **options["headers"]}
    client = http.client.HTTPConnection(host, port)
    connection = _connect(host, port)
    try:
        if secure:
            context = ssl.create_default_context(cafile=options["ca"])
            if not options["verify"]:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            name = next((headers[key] for key in headers if key.lower() == "host"), host).rsplit(":", 1)[0]
            connection = _secure(context, connection, name)
        client.sock = connection
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        client.request(options["method"], target, body=options["send"], headers=headers)
        response = client.getresponse()
        body = response.read(options["max_body"])
        length = max(len(body), int(response.headers.get("Content-Length") or 0))
        return _Answer(response.status, response.reason, response.headers, body.decode(errors="replace"), length)
    finally:
        connection.close()


def _follow(options: Options) -> _Answer:
    import urllib.parse

    url = options["subject"]
    for _redirect in range(REDIRECTS + 1):
        answer = _request(url, options)
        if not (options["follow_redirects"] and answer.status in REDIRECT and answer.headers.get("Location")):
            return answer
        url = urllib.parse.urljoin(url, answer.headers["Location"])
    raise OSError(f"more than {REDIRECTS} redirects")


def _judge_answer(answer: _Answer, options: Options, result: Result) -> None:
    url = options["subject"]
    if answer.status not in options["status"]:
        wanted = " or ".join(str(number) for number in options["status"])
        result.fault("critical", f"{url} answered {answer.status} {answer.reason}, not {wanted}")
        result.detail = shorten([answer.body[:500]])
        return
    if options["contains"] is not None and options["contains"] not in answer.body:
        result.fault("critical", f"the answer of {url} does not contain {options['contains']!r}")
        result.detail = shorten([answer.body[:500]])
    if options["matches"] is not None and not re.search(options["matches"], answer.body):
        result.fault("critical", f"the answer of {url} does not match {options['matches']!r}")
        result.detail = shorten([answer.body[:500]])
    for header, wanted in options["expect_headers"].items():
        value = answer.headers.get(header)
        if value is None or not re.search(wanted, value):
            result.fault("critical", f"the header {header} of {url} is {value!r}, not {wanted!r}")


@check("http")
def http(options: Options) -> Result:
    """A URL that answers as expected, in time."""
    import http.client  # noqa: F401 - before the clock starts
    import ssl  # noqa: F401
    import urllib.parse  # noqa: F401

    url = options["subject"]
    begin = time.monotonic()
    try:
        answer = _follow(options)
    except Exception as error:  # http.client raises its own kinds, ssl and socket theirs
        if isinstance(error, (NameError, AttributeError, TypeError, KeyError)) and not time_limit().expired:
            raise
        text = f"{url}: {_reason(error)}"
        return Result(text).fault("critical", text)
    if time_limit().expired:
        text = f"{url} {timed_out()}"
        return Result(text).fault("critical", text)
    latency = time.monotonic() - begin
    result = Result(f"{url} answered {answer.status} in {span(latency)}", size(answer.length))
    result.values = {"latency": latency}
    result.metrics = {"latency_seconds": round(latency, 6), "body_bytes": answer.length, "http_status": answer.status}
    _judge_answer(answer, options, result)
    return result

"""A service that answers as OSV does, with advisories that OSV has about packages of the application."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from packaging.version import Version


class Advisory(NamedTuple):
    """What there is to know about one advisory."""

    id: str
    cve: str
    package: str
    #: Ranges of versions: the first that is affected, and the first that is not any more.
    affected: tuple[tuple[str, str], ...]
    summary: str

    def concerns(self, package: str, version: str) -> bool:
        return package == self.package and any(
            Version(first) <= Version(version) < Version(fixed) for first, fixed in self.affected
        )

    def record(self) -> dict[str, Any]:
        """The advisory in OSV's schema."""
        events = [[{"introduced": first}, {"fixed": fixed}] for first, fixed in self.affected]
        ranges = [{"type": "ECOSYSTEM", "events": event} for event in events]
        package = {"name": self.package, "ecosystem": "PyPI"}
        affected = [{"package": package, "ranges": ranges}]
        return {"id": self.id, "aliases": [self.cve], "summary": self.summary, "affected": affected}


ADVISORIES = (
    Advisory("GHSA-m2qf-hxjv-5gpq", "CVE-2023-30861", "flask", (("0", "2.2.5"), ("2.3.0", "2.3.2")), "Session cookie"),
    Advisory("GHSA-px8h-6qxv-m22q", "CVE-2023-23934", "werkzeug", (("0", "2.2.3"),), "Nameless cookies"),
    Advisory("GHSA-xg9f-g7g7-2323", "CVE-2023-25577", "werkzeug", (("0", "2.2.3"),), "Many multipart fields"),
    Advisory(
        "GHSA-2g68-c3qc-8985", "CVE-2024-34069", "werkzeug", (("0", "3.0.3"),), "Remote execution in the debugger"
    ),
    Advisory(
        "GHSA-q34m-jh98-gwm2", "CVE-2024-49767", "werkzeug", (("0", "3.0.6"),), "Resource exhaustion by form data"
    ),
    Advisory("GHSA-h5c8-rqwp-cp95", "CVE-2024-22195", "jinja2", (("0", "3.1.3"),), "Cross-site scripting by xmlattr"),
    Advisory("GHSA-h75v-3vvj-5mfj", "CVE-2024-34064", "jinja2", (("0", "3.1.4"),), "Cross-site scripting by xmlattr"),
    Advisory("GHSA-q2x7-8rv6-6q7h", "CVE-2024-56326", "jinja2", (("0", "3.1.5"),), "Sandbox breakout by format"),
    Advisory("GHSA-cpwx-vrp4-4pq7", "CVE-2025-27516", "jinja2", (("0", "3.1.6"),), "Sandbox breakout by attr"),
    Advisory("GHSA-w3h3-4rj7-4ph4", "CVE-2024-1135", "gunicorn", (("0", "22.0.0"),), "Request smuggling"),
    Advisory("GHSA-hc5x-x2vx-497g", "CVE-2024-6827", "gunicorn", (("0", "22.0.0"),), "Request smuggling"),
)


class _Answers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = [item for item in ADVISORIES if item.concerns(query["package"]["name"], query["version"])]
        body = json.dumps({"vulns": [item.record() for item in found]} if found else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def service() -> Iterator[str]:
    """The service's address, while it runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    finally:
        server.shutdown()
        server.server_close()

"""What the service answers to."""

from __future__ import annotations

import time
from typing import cast
from uuid import UUID

from flask import Blueprint, Response, current_app, g, jsonify, request
from werkzeug.exceptions import UnsupportedMediaType

from evidence_api import documents
from evidence_api.metrics import Metrics
from evidence_api.settings import Settings
from evidence_api.store import Store
from evidence_api.tokens import submitter_of

routes = Blueprint("evidence", __name__)


def settings() -> Settings:
    """The settings of the running application."""
    return cast("Settings", current_app.extensions["settings"])


def store() -> Store:
    """The store of the running application."""
    return cast("Store", current_app.extensions["store"])


def metrics() -> Metrics:
    """The counters of the running application."""
    return cast("Metrics", current_app.extensions["metrics"])


def submitter() -> str:
    """Who sent the request; 401 for nobody."""
    return submitter_of(request.headers.get("Authorization", ""), settings().tokens)


@routes.before_app_request
def begin() -> None:
    """Start the clock of this request."""
    g.started = time.perf_counter()


@routes.after_app_request
def count(response: Response) -> Response:
    """Count the request under its rule, so that the number of series stays small."""
    rule = request.url_rule.rule if request.url_rule else "unknown"
    metrics().observe(request.method, rule, response.status_code, time.perf_counter() - g.started)
    return response


@routes.get("/healthz")
def alive() -> Response:
    """The process answers."""
    return jsonify(status="ok", release=settings().release)


@routes.get("/readyz")
def ready() -> Response:
    """The process answers, and so does its database."""
    return jsonify(status="ok", release=settings().release, database=store().ping())


@routes.get("/metrics")
def scrape() -> Response:
    """For Prometheus."""
    return Response(metrics().text(settings().release), content_type="text/plain; version=0.0.4")


@routes.post("/evidence")
def submit() -> tuple[Response, int]:
    """Take a document in, unless the service is read-only."""
    sender = submitter()
    if reason := settings().reason_to_refuse():
        return retry_later(reason)
    if not request.is_json:
        raise UnsupportedMediaType("send a JSON object with name and content")
    name, content = documents.read(request.get_json())
    return jsonify(store().add(name, content, sender)), 201


def retry_later(reason: str) -> tuple[Response, int]:
    """503 with the reason, and when to try again. The proxy asks no other server: this one has already answered."""
    answer = jsonify(error=f"read-only: {reason}")
    answer.headers["Retry-After"] = "5"
    return answer, 503


@routes.get("/evidence")
def overview() -> Response:
    """The newest documents."""
    submitter()
    return jsonify(evidence=store().newest(min(max(request.args.get("limit", 50, type=int), 1), 500)))


@routes.get("/evidence/<uuid:identity>")
def one(identity: UUID) -> Response:
    """One document with its content."""
    submitter()
    return jsonify(store().get(str(identity)))

"""evidence-api: receives compliance evidence, stores it with its digest, and gives it back."""

from __future__ import annotations

import psycopg
from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException

from evidence_api.documents import MAX_BYTES
from evidence_api.metrics import Metrics
from evidence_api.routes import routes
from evidence_api.settings import Settings
from evidence_api.store import Store


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application."""
    app = Flask("evidence_api")
    app.config["MAX_CONTENT_LENGTH"] = 2 * MAX_BYTES
    app.extensions["settings"] = settings = settings or Settings.from_environment()
    app.extensions["store"] = Store(settings.database)
    app.extensions["metrics"] = Metrics()
    app.register_error_handler(HTTPException, refused)
    app.register_error_handler(psycopg.Error, unavailable)
    app.register_blueprint(routes)
    return app


def refused(error: HTTPException) -> tuple[Response, int]:
    """What the caller did wrong."""
    return jsonify(error=error.description), error.code or 500


def unavailable(error: psycopg.Error) -> tuple[Response, int]:
    """The caller did nothing wrong; details are for the journal."""
    print(f"database: {error}", flush=True)
    return jsonify(error="the database cannot be reached or refuses the request"), 503

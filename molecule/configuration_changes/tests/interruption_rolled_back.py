"""A change that the service does not survive, interrupted on its way there and back; it is started again as it was."""

from __future__ import annotations

from interruption import INVENTORIES
from managed import DROP_IN, arrange, given, half_written, states, unfinished

from tests.scenario import shell

OPTIONS = ("--limit", "app1", *given(service_lines={"Environment": "GUNICORN_CMD_ARGS=--no-such-option"}))
OUTCOME = "rolled_back"

__all__ = ["INVENTORIES", "OPTIONS", "OUTCOME", "arrange", "assert_converged"]


def assert_converged() -> None:
    """The host is as before, and serves."""
    assert shell("app1", f"cat {DROP_IN} 2>/dev/null || true") == ""
    assert shell("app1", "systemctl is-active evidence-api") == "active\n"
    assert states("proxy1") == {"app1": "active", "app2": "active"}
    assert (unfinished("app1"), half_written("app1")) == ([], "")

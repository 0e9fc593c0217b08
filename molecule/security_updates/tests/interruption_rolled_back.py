"""An update that app1 does not bear, interrupted on its way there and back; the next run finds the fault mended."""

from __future__ import annotations

from genuine_updates import allow_update, forbid_update, make_pending
from interruption import INVENTORIES, OPTIONS, SERVERS, assert_converged

__all__ = ["INVENTORIES", "OPTIONS", "OUTCOME", "arrange", "assert_converged", "mend"]

OUTCOME = "rolled_back"


def arrange() -> None:
    """Updates of a library are pending that the service on app1 does not start with."""
    make_pending(SERVERS)
    forbid_update("app1")


def mend() -> tuple[str, ...]:
    """It does."""
    allow_update("app1")
    return OPTIONS

"""Routine maintenance for the interruption matrix."""

from __future__ import annotations

from pathlib import Path

from leftovers import arrange, assert_converged

from tests.scenario import ROOT

INVENTORIES = (ROOT / "inventories/lab", Path(__file__).resolve().parents[1] / "inventory")
OPTIONS: tuple[str, ...] = ()

__all__ = ["INVENTORIES", "OPTIONS", "arrange", "assert_converged"]

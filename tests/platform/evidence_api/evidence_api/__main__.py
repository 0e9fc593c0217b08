"""``python -m evidence_api`` prepares the database and says whether anything was changed."""

from __future__ import annotations

from evidence_api.settings import Settings
from evidence_api.store import Store

if __name__ == "__main__":
    print("created" if Store(Settings.from_environment().database).create_schema() else "unchanged")

"""Where records live: an append-only table in SQLite or PostgreSQL, and the lock of a project's folder."""

from __future__ import annotations

from modelwright.store.lock import ProjectLock
from modelwright.store.records import RecordStore, open_store

__all__ = ["ProjectLock", "RecordStore", "open_store"]

"""Records in a database: appended, never edited, read back into the frozen nouns of modelwright.records.

SQLite (WAL, synchronous=FULL) in the project's folder by default; PostgreSQL by URL, where several
projects share the tables and each sees its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy.engine import Connection, Engine

from modelwright.errors import Fault, InputError, IntegrityError
from modelwright.problem import Problem
from modelwright.records import Dataset, Package, Plan, Report, Run, Verdict
from modelwright.store.schema import RECORDS, migrate

KINDS: dict[str, type[Any]] = {
    "problem": Problem,
    "dataset": Dataset,
    "verdict": Verdict,
    "plan": Plan,
    "run": Run,
    "report": Report,
    "package": Package,
}
"""kind -> the noun that it is read back into."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as stored: what made it (`inputs`), when, and how long that took."""

    kind: str
    key: str
    record: Any
    inputs: dict[str, Any]
    made_at: datetime
    seconds: float


class RecordStore:
    """The records of one project.

    Args:
        engine: From `open_store`.
        project: The name under which this project's records stand in a shared database.
    """

    def __init__(self, engine: Engine, *, project: str) -> None:
        self._engine = engine
        self._project = project
        self._adapters: dict[str, TypeAdapter[Any]] = {}

    def put(
        self,
        kind: str,
        key: str,
        record: Any,
        *,
        inputs: Mapping[str, Any] | None = None,
        seconds: float = 0.0,
    ) -> None:
        """Append `record` under `key`; one with the same key stays, and the newer one is found first."""
        assert isinstance(record, KINDS[kind]), f"{type(record).__name__} is no {kind}"
        values = {
            "project": self._project,
            "kind": kind,
            "key": key,
            "made_at": datetime.now(UTC).isoformat(),
            "seconds": seconds,
            "inputs": json.dumps(dict(inputs or {}), ensure_ascii=False, sort_keys=True, default=str),
            # JSON has no NaN: "NaN" is read back as the float by pydantic
            "record": to_json(record, inf_nan_mode="strings").decode("utf-8"),
        }
        with self._engine.begin() as connection:
            connection.execute(RECORDS.insert().values(values))

    def get(self, kind: str, key: str) -> Any | None:
        """The newest record under `key`, or None."""
        entry = self.entry(kind, key)
        return entry.record if entry else None

    def latest(self, kind: str) -> Any | None:
        """The newest record of `kind`, or None."""
        entry = self.entry(kind)
        return entry.record if entry else None

    def history(self, kind: str) -> list[Any]:
        """Every record of `kind`, oldest first."""
        return [entry.record for entry in self.entries(kind)]

    def entries(self, kind: str) -> list[Entry]:
        """Every record of `kind` with what made it, oldest first."""
        return self._read(self._of(kind).order_by(RECORDS.c.sequence))

    def entry(self, kind: str, key: str | None = None) -> Entry | None:
        """The newest record of `kind` (under `key`) with what made it, or None."""
        query = self._of(kind)
        if key is not None:
            query = query.where(RECORDS.c.key == key)
        found = self._read(query.order_by(RECORDS.c.sequence.desc()).limit(1))
        return found[0] if found else None

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def _of(self, kind: str) -> sa.Select[Any]:
        return sa.select(RECORDS).where(RECORDS.c.project == self._project, RECORDS.c.kind == kind)

    def _read(self, query: sa.Select[Any]) -> list[Entry]:
        with self._engine.begin() as connection:
            found = connection.execute(query).mappings().all()
        return [self._entry(values) for values in found]

    def _entry(self, values: Mapping[Any, Any]) -> Entry:
        kind = values["kind"]
        if kind not in self._adapters:
            self._adapters[kind] = TypeAdapter(KINDS[kind])
        try:
            record = self._adapters[kind].validate_json(values["record"])
        except ValueError as error:
            raise IntegrityError(f"the stored {kind} {values['sequence']} cannot be read back: {error}") from error
        made_at = datetime.fromisoformat(values["made_at"])
        return Entry(kind, values["key"], record, json.loads(values["inputs"]), made_at, values["seconds"])


def open_store(url: str | None, *, folder: Path, project: str) -> RecordStore:
    """The store at `url` (null: `store.db` in `folder`), its tables made where absent.

    Raises:
        InputError: the URL is of no known kind, or the database does not answer.
        IntegrityError: the store was written by a newer Modelwright, or is no database.
    """
    if url is None:
        folder.mkdir(parents=True, exist_ok=True)
        engine = _sqlite(folder / "store.db")
    else:
        engine = _postgres(url)
    try:
        with ExitStack() as undo, engine.begin() as connection:
            undo.callback(engine.dispose)
            migrate(connection)
            undo.pop_all()
    except sa.exc.OperationalError as error:
        if url is None:
            raise IntegrityError(f"{folder / 'store.db'} cannot be written: {error.orig}") from error
        todo = "start the server or correct `store`; the password may come from PGPASSWORD or ~/.pgpass"
        raise InputError(Fault("store", f"the database does not answer: {error.orig}", "", todo)) from error
    except sa.exc.DatabaseError as error:
        raise IntegrityError(f"{url or folder / 'store.db'} is not a store: {error.orig}") from error
    return RecordStore(engine, project=project)


def _sqlite(path: Path) -> Engine:
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": 60})

    def pragmas(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # pysqlite would begin late and deferred; `begin` below does it
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    def begin(connection: Connection) -> None:
        # a deferred transaction that turns into a writer can fail at once instead of waiting its turn
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    sa.event.listen(engine, "connect", pragmas)
    sa.event.listen(engine, "begin", begin)
    return engine


def _postgres(url: str) -> Engine:
    expected = "null (a file in this folder) or postgresql://user@host/database"
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres", "postgresql+psycopg") or not rest:
        shown = url if "@" not in url else f"{scheme}://…"
        raise InputError(Fault("store", repr(shown), expected))
    try:
        return sa.create_engine(f"postgresql+psycopg://{rest}", pool_pre_ping=True)
    except ModuleNotFoundError as error:
        todo = "run: pip install 'modelwright[postgres]'"
        raise InputError(Fault("store", "the PostgreSQL driver is not installed", "psycopg 3", todo)) from error
    except (sa.exc.ArgumentError, ValueError) as error:
        raise InputError(Fault("store", f"is not a URL: {error}", "postgresql://user@host/database")) from error

"""The tables of the store and their version. A change of the tables is a new entry in `_STEPS`."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateIndex, CreateTable

from modelwright.errors import IntegrityError

METADATA = sa.MetaData()

SCHEMA = sa.Table("modelwright_schema", METADATA, sa.Column("version", sa.Integer, primary_key=True))
"""One line for each step taken; the largest is the version."""

RECORDS = sa.Table(
    "modelwright_records",
    METADATA,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("made_at", sa.Text, nullable=False),  # ISO 8601, UTC
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("inputs", sa.Text, nullable=False),  # JSON
    sa.Column("record", sa.Text, nullable=False),  # JSON
    sa.Index("modelwright_records_by_key", "project", "kind", "key", "sequence"),
    sqlite_autoincrement=True,  # a sequence number is never given twice
)

_ADVISORY_LOCK = 0x6D6F64656C77726E  # "modelwrn": one schema change at a time on a PostgreSQL server

_SQLITE_APPEND_ONLY = """
    CREATE TRIGGER IF NOT EXISTS modelwright_records_no_{what} BEFORE {what} ON modelwright_records
    BEGIN SELECT RAISE(ABORT, 'records are append-only'); END
"""
_POSTGRES_REFUSE = """
    CREATE OR REPLACE FUNCTION modelwright_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'records are append-only'; END $$
"""
_POSTGRES_APPEND_ONLY = """
    CREATE OR REPLACE TRIGGER modelwright_records_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON modelwright_records
    FOR EACH STATEMENT EXECUTE FUNCTION modelwright_append_only()
"""


def migrate(connection: Connection) -> None:
    """Bring the database to the newest version; to be called inside a transaction.

    Raises:
        IntegrityError: its version is newer than this Modelwright knows.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    connection.execute(CreateTable(SCHEMA, if_not_exists=True))
    version = connection.execute(sa.select(sa.func.coalesce(sa.func.max(SCHEMA.c.version), 0))).scalar_one()
    if version > len(_STEPS):
        raise IntegrityError(
            f"the store has version {version} and this Modelwright knows {len(_STEPS)}: upgrade Modelwright"
        )
    for number, step in enumerate(_STEPS[version:], start=version + 1):
        step(connection)
        connection.execute(SCHEMA.insert().values(version=number))


def _records(connection: Connection) -> None:
    connection.execute(CreateTable(RECORDS, if_not_exists=True))
    for index in RECORDS.indexes:
        connection.execute(CreateIndex(index, if_not_exists=True))
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_POSTGRES_REFUSE)
        connection.exec_driver_sql(_POSTGRES_APPEND_ONLY)
    else:
        for what in ("UPDATE", "DELETE"):
            connection.exec_driver_sql(_SQLITE_APPEND_ONLY.format(what=what))


_STEPS: list[Callable[[Connection], None]] = [_records]
"""Step i brings version i to version i + 1."""

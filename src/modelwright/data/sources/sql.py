"""A database URL and a query -> examples, read only and streamed."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from modelwright.data.sources.chunks import MAX_COLUMNS, Chunk, Place, with_positions
from modelwright.data.sources.columnar import readable
from modelwright.data.sources.unite import canonical, unique_names, united
from modelwright.errors import Fault, SourceError
from modelwright.registry import suggestion

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

_FETCH = 20_000  # examples fetched at a time; chosen: some megabytes of ordinary columns
_SYNC = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
"""The driver that our extra installs, where the URL names none."""


def read(place: Place) -> Iterator[Chunk]:
    """The result of the place's query, or the one table that the database holds.

    Raises:
        SourceError: the database cannot be reached, the query fails, or there is no query and no single table.
    """
    import sqlalchemy as sa

    url = _url(place)
    with _connected(url, place) as connection:
        statement = place.query or _only_table(connection, place)
        # Without parameters, a colon or a percent sign in the user's query means what it means to the database.
        streaming = connection.execution_options(stream_results=True, yield_per=_FETCH, no_parameters=True)
        try:
            result = streaming.exec_driver_sql(statement)
            if not result.returns_rows:
                raise SourceError(Fault(f"query {place.query!r:.80}", "returns nothing to learn from", "a SELECT"))
            yield from united(_chunks(result, place))
        except sa.exc.SQLAlchemyError as error:
            found = f"the database says: {str(error.__cause__ or error).splitlines()[0]}"
            where = f"query {place.query!r:.200}" if place.query else _shown(url)
            raise SourceError(Fault(where, found, "a SELECT that it can answer")) from error


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _url(place: Place) -> URL:
    """The URL to connect to: relative SQLite files are seen from the project, drivers are those of our extras."""
    import sqlalchemy as sa

    if "://" not in place.name:  # a file that is an SQLite database
        return sa.URL.create("sqlite", database=str(place.path))
    try:
        url = sa.make_url(place.name)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise SourceError(Fault("data.source", "is no database URL", "postgresql://user@host/database")) from error
    if url.get_backend_name() == "sqlite":
        path = place.home / Path(url.database or "")
        return url.set(database=str(path))
    return url.set(drivername=_SYNC.get(url.drivername, url.drivername))


@contextmanager
def _connected(url: URL, place: Place) -> Iterator[Connection]:
    """A connection that cannot write."""
    import sqlalchemy as sa

    options: dict[str, Any] = {}
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        if not path.is_file():
            beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
            todo = (
                suggestion(path.name, beside)
                if beside
                else "check the path; sqlite:///x.db is x.db beside problem.yaml"
            )
            raise SourceError(Fault(place.name, f"there is no file {path}", "an SQLite database", todo))
        uri = path.absolute().as_uri() + "?mode=ro"
        url = sa.URL.create("sqlite", database=uri.replace("file://", "file:"), query={"uri": "true"})
    try:
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool, **options)
        connection = engine.connect()
    except ModuleNotFoundError as error:
        todo = "pip install 'modelwright[postgres]'" if "psycopg" in str(error) else f"pip install {error.name}"
        raise SourceError(Fault(_shown(url), f"needs the driver {error.name}", "an installed driver", todo)) from error
    except sa.exc.SQLAlchemyError as error:
        found = f"cannot be reached: {str(error.__cause__ or error).splitlines()[0]}"
        raise SourceError(Fault(_shown(url), found, "a database that answers")) from error
    try:
        if url.get_backend_name() == "postgresql":
            connection = connection.execution_options(postgresql_readonly=True)
        yield connection
    finally:
        connection.rollback()
        connection.close()
        engine.dispose()


def _only_table(connection: Connection, place: Place) -> str:
    """A query that selects the one table or view there is.

    Raises:
        SourceError: there is none, or more than one; lists them.
    """
    import sqlalchemy as sa

    inspector = sa.inspect(connection)
    names = inspector.get_table_names() + inspector.get_view_names()
    if len(names) != 1:
        found = f"holds {len(names)} tables" + (": " + ", ".join(sorted(names)[:30]) if names else "")
        todo = f"set data.query, for example: SELECT * FROM {sorted(names)[0]}" if names else "name another database"
        raise SourceError(Fault(place.name.split("@")[-1], found, "one table, or a query", todo))
    return f"SELECT * FROM {connection.dialect.identifier_preparer.quote(names[0])}"


def _chunks(result: Any, place: Place) -> Iterator[Chunk]:
    names = unique_names([str(key) for key in tuple(result.keys())])
    if len(names) > MAX_COLUMNS:
        raise SourceError(Fault(place.name, f"has {len(names):,} columns", f"at most {MAX_COLUMNS:,}"))
    start = 0
    while rows := result.fetchmany(_FETCH):
        columns = [_series(name, values) for name, values in zip(names, zip(*rows, strict=True), strict=True)]
        yield readable(with_positions(canonical(pl.DataFrame(columns)), start), place.name)
        start += len(rows)


_NUMBERS = (int, float, decimal.Decimal)


def _series(name: str, values: Sequence[Any]) -> pl.Series:
    """A column of what a database answers: SQLite may mix types in one, which then is text."""
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pl.Series(name, values, pl.Null)
    if kinds <= {bool}:
        return pl.Series(name, values, pl.Boolean)
    if kinds <= {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pl.Series(name, values, pl.Int64)
    if kinds <= set(_NUMBERS):
        return pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64)
    if kinds <= {datetime.datetime, datetime.date}:
        return pl.Series(name, [_moment(value) for value in values], pl.Datetime("us"))
    if kinds <= {bytes, memoryview}:
        return pl.Series(name, [None if value is None else bytes(value) for value in values], pl.Binary)
    return pl.Series(name, [None if value is None else str(value) for value in values], pl.String)


def _moment(value: datetime.date | None) -> datetime.datetime | None:
    """A date or a time of any zone as a time in UTC without zone."""
    if value is None:
        return None
    if not isinstance(value, datetime.datetime):
        return datetime.datetime.combine(value, datetime.time())
    return value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo else value

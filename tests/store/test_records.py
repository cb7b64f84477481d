import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import TypeAdapter

from modelwright.errors import InputError, IntegrityError
from modelwright.problem import Problem, parse
from modelwright.records import (
    Column,
    Dataset,
    Finding,
    Interval,
    Latency,
    Run,
    RungScore,
    Schema,
    Seal,
    Verdict,
    identify,
)
from modelwright.store import RecordStore, open_store

Open = Callable[..., RecordStore]


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """A function that opens the same empty store each time it is called."""
    url = None
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1))
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE IF EXISTS modelwright_records, modelwright_schema"))
        engine.dispose()
    stores: list[RecordStore] = []

    def open_again(project: str = "p") -> RecordStore:
        stores.append(open_store(url, folder=tmp_path, project=project))
        return stores[-1]

    yield open_again
    for store in stores:
        store.close()


def verdict(chosen: str = "linear") -> Verdict:
    rungs = (
        RungScore("linear", "linear", Interval(0.5, 0.4, 0.6), Latency(1.0, 2.0), 0.0, 1.0, None, {"a": math.nan}),
        RungScore("neighbours", "neighbours", skipped="no encoder"),
    )
    return identify(Verdict("", "d", "accuracy", "validation", rungs, "stop", chosen, "it meets the goal"))


def dataset() -> Dataset:
    schema = Schema("classification", "text", (Column("text", "text"),), "label", ("ja", "néin"))
    finding = Finding("imbalance", "warning", 3, ("a", "b"), "weigh the classes")
    seal = Seal(1, 0, 20)
    args = (
        "/x",
        schema,
        {"train": 8},
        ("ja", "néin"),
        {"exact_duplicate": 1},
        (finding,),
        seal,
        "a.csv",
        "00",
    )
    return identify(Dataset("", *args, "random", 1.5))


def test_a_record_is_read_back_as_it_was(opened: Open) -> None:
    opened().put("dataset", "k", dataset(), inputs={"seed": 0}, seconds=1.5)
    entry = opened().entry("dataset", "k")
    assert entry is not None
    assert entry.record == dataset()
    assert (entry.inputs, entry.seconds) == ({"seed": 0}, 1.5)


def test_a_dataset_of_before_parts_were_hashed_is_read_back(opened: Open) -> None:
    opened().put("dataset", "k", dataset())
    with opened()._engine.begin() as connection:
        text = connection.execute(sa.text("SELECT record FROM modelwright_records")).scalar_one()
    earlier = {name: each for name, each in json.loads(text).items() if name != "parts_sha256"}
    assert TypeAdapter(Dataset).validate_python(earlier) == dataset()


def test_nan_survives(opened: Open) -> None:
    opened().put("verdict", "k", verdict())
    with opened()._engine.begin() as connection:
        text = connection.execute(sa.text("SELECT record FROM modelwright_records")).scalar_one()
    json.loads(text, parse_constant=pytest.fail)  # NaN as a bare word is no JSON
    found = opened().get("verdict", "k")
    assert math.isnan(found.rungs[0].metrics["a"])
    assert found.rungs[0].score == Interval(0.5, 0.4, 0.6)
    assert identify(found).id == verdict().id


def test_a_problem_is_read_back(opened: Open) -> None:
    stated, _ = parse({"name": "p", "output": "y", "input": ["a", "b"], "data": {"source": "a.csv"}})
    opened().put("problem", "k", stated)
    found = opened().latest("problem")
    assert isinstance(found, Problem) and found == stated


def test_the_newest_of_a_key_is_found_and_the_older_stays(opened: Open) -> None:
    store = opened()
    for key, chosen in (("k", "rule"), ("other", "constant"), ("k", "linear")):
        store.put("verdict", key, verdict(chosen))
    assert store.get("verdict", "k").chosen == "linear"
    assert store.latest("verdict").chosen == "linear"
    assert [each.chosen for each in store.history("verdict")] == ["rule", "constant", "linear"]


def test_nothing_is_found_in_an_empty_store(opened: Open) -> None:
    store = opened()
    assert store.get("verdict", "k") is None
    assert store.latest("run") is None
    assert store.history("report") == []


def test_projects_do_not_see_each_other(opened: Open) -> None:
    opened("one").put("verdict", "k", verdict())
    assert opened("two").get("verdict", "k") is None


def test_an_earlier_record_cannot_be_edited(opened: Open) -> None:
    store = opened()
    store.put("verdict", "k", verdict())
    for statement in ("UPDATE modelwright_records SET record = '{}'", "DELETE FROM modelwright_records"):
        with pytest.raises(sa.exc.DatabaseError, match="append-only"), store._engine.begin() as connection:
            connection.execute(sa.text(statement))
    assert store.get("verdict", "k") is not None


def test_the_wrong_noun_is_refused(opened: Open) -> None:
    with pytest.raises(AssertionError, match="Dataset is no verdict"):
        opened().put("verdict", "k", dataset())


def test_a_newer_store_is_not_touched(opened: Open) -> None:
    with opened()._engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO modelwright_schema VALUES (99)"))
    with pytest.raises(IntegrityError, match="version 99"):
        opened()


WRITER = """
import sys
from pathlib import Path
from modelwright.problem import parse
from modelwright.store import open_store
url, folder, writer = sys.argv[1:]
store = open_store(url or None, folder=Path(folder), project="p")
stated, _ = parse({"name": "p", "output": "y", "data": {"source": "a.csv"}})
for number in range(15):
    store.put("problem", f"{writer}-{number}", stated)
"""


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_writers_at_the_same_moment_lose_nothing(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """4 processes open the empty store at once and write 15 records each: 60 distinct keys."""
    url = request.getfixturevalue("postgres_url") if backend == "postgresql" else None
    if url:
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1))
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE IF EXISTS modelwright_records, modelwright_schema"))
        engine.dispose()
    commands = [[sys.executable, "-c", WRITER, url or "", str(tmp_path), str(writer)] for writer in range(4)]
    writers = [subprocess.Popen(command) for command in commands]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    store = open_store(url, folder=tmp_path, project="p")
    assert all(store.get("problem", f"{writer}-{number}") for writer in range(4) for number in range(15))
    assert len(store.history("problem")) == 60
    store.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"no database " * 500)
    with pytest.raises(IntegrityError, match=r"store\.db"):
        open_store(None, folder=tmp_path, project="p")


@pytest.mark.parametrize("url", ["s3://bucket", "mysql://a@b/c", "nonsense", "postgresql://"])
def test_a_url_of_another_kind_is_the_users_fault(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_store(url, folder=tmp_path, project="p")
    assert caught.value.faults[0].where == "store"


def test_a_database_that_does_not_answer_is_said(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(InputError, match="does not answer"):
        open_store("postgresql://nobody@127.0.0.1:9/none", folder=tmp_path, project="p")


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_store("mysql://user:secret@host/db", folder=tmp_path, project="p")
    assert "secret" not in str(caught.value)


def test_sqlite_is_durable(tmp_path: Path) -> None:
    """SQLite's own numbering: synchronous 2 is FULL."""
    store = open_store(None, folder=tmp_path, project="p")
    with store._engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    store.close()


def test_a_run_that_holds_numbers_of_every_kind(opened: Open) -> None:
    figures = {"accuracy": Interval(1 / 3, None, None)}
    run = identify(Run("", "p", "/x", "00", "completed", 3, 2, math.inf, figures, 1.0, 2**40, {"seconds": -0.1}))
    opened().put("run", "k", run)
    assert opened().get("run", "k") == run

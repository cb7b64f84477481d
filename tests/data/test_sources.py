"""The contract that every source enters by being listed: stable positions, same order twice, bad is Dropped."""

import datetime
import io
import json
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from modelwright.data.sources import SOURCES, Chunk, fingerprint, read
from modelwright.errors import SourceError
from modelwright.records import POSITION, Progress

BAD = 3  # the position of the example that cannot be read
COUNT = 12


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (6, 6), (shade * 9 % 256, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def pictures() -> list[bytes]:
    return [b"no image" if n == BAD else png(n) for n in range(COUNT)]


def frame() -> pl.DataFrame:
    cells = [{"bytes": each, "path": f"{n}.png"} for n, each in enumerate(pictures())]
    return pl.DataFrame({"image": cells, "label": [n % 2 for n in range(COUNT)]})


def delimited(folder: Path) -> str:
    lines = ["torn" if n == BAD else f"text {n},{n % 2}" for n in range(COUNT)]
    (folder / "a.csv").write_text("text,label\n" + "\n".join(lines))
    return "a.csv"


def plain(folder: Path) -> str:
    lines = [b"torn \0" if n == BAD else f"line {n}".encode() for n in range(COUNT)]
    (folder / "a.txt").write_bytes(b"\n".join(lines))
    return "a.txt"


def conll(folder: Path) -> str:
    sentences = ["torn" if n == BAD else f"word\tB-thing\nof\tO\n{n}\tO" for n in range(COUNT)]
    (folder / "a.conll").write_text("\n\n".join(sentences))
    return "a.conll"


def jsonlines(folder: Path) -> str:
    lines = ["{torn" if n == BAD else json.dumps({"text": f"text {n}", "label": n % 2}) for n in range(COUNT)]
    (folder / "a.jsonl").write_text("\n".join(lines))
    return "a.jsonl"


def json_document(folder: Path) -> str:
    (folder / "a.json").write_text(json.dumps([5 if n == BAD else {"text": f"text {n}"} for n in range(COUNT)]))
    return "a.json"


def parquet(folder: Path) -> str:
    frame().write_parquet(folder / "a.parquet")
    return "a.parquet"


def arrow(folder: Path) -> str:
    frame().write_ipc(folder / "a.arrow")
    return "a.arrow"


def images(folder: Path) -> str:
    for number, encoded in enumerate(pictures()):
        path = folder / "pets" / f"{'cat' if number < 6 else 'dog'}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded)
    return "pets"


def zipped(folder: Path) -> str:
    with zipfile.ZipFile(folder / "a.zip", "w") as packed:
        for number, encoded in enumerate(pictures()):
            packed.writestr(f"{'cat' if number < 6 else 'dog'}/{number:02}.png", encoded)
    return "a.zip"


def sql(folder: Path) -> str:
    with sqlite3.connect(folder / "a.db") as connection:
        connection.execute("create table pets (image blob, label text)")
        connection.executemany("insert into pets values (?, ?)", [(each, "x") for each in pictures()])
    connection.close()
    return "sqlite:///a.db"


def hub(folder: Path) -> str:
    (folder / "pets" / "data").mkdir(parents=True)
    frame().write_parquet(folder / "pets" / "data" / "train-00000-of-00001.parquet")
    return "hf://./pets"


MAKERS: dict[str, Callable[[Path], str]] = {
    "delimited": delimited,
    "plain": plain,
    "conll": conll,
    "json": json_document,
    "jsonlines": jsonlines,
    "parquet": parquet,
    "arrow": arrow,
    "images": images,
    "zip": zipped,
    "sql": sql,
    "hub": hub,
}


def all_of(locator: str, folder: Path, query: str | None = None) -> tuple[pl.DataFrame, list[Chunk]]:
    chunks = list(read(locator, folder=folder, query=query))
    return pl.concat([chunk.frame for chunk in chunks]), chunks


def test_every_source_has_a_maker() -> None:
    assert set(MAKERS) == set(SOURCES)


@pytest.mark.parametrize("name", list(MAKERS))
def test_a_bad_example_is_dropped_and_its_position_counted(name: str, tmp_path: Path) -> None:
    found, chunks = all_of(MAKERS[name](tmp_path), tmp_path)
    dropped = [each for chunk in chunks for each in chunk.dropped]
    assert [each.position for each in dropped] == [BAD]
    assert dropped[0].reason == "unreadable"
    assert dropped[0].where
    assert found[POSITION].to_list() == [n for n in range(COUNT) if n != BAD]
    assert found.schema[POSITION] == pl.Int64


@pytest.mark.parametrize("name", list(MAKERS))
def test_twice_gives_the_same(name: str, tmp_path: Path) -> None:
    locator = MAKERS[name](tmp_path)
    one, one_chunks = all_of(locator, tmp_path)
    two, two_chunks = all_of(locator, tmp_path)
    assert one.equals(two)
    assert [chunk.dropped for chunk in one_chunks] == [chunk.dropped for chunk in two_chunks]
    assert fingerprint(locator, folder=tmp_path) == fingerprint(locator, folder=tmp_path)


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    before = fingerprint("a.csv", folder=tmp_path)
    (tmp_path / "a.csv").write_text("a,b\n1,3\n")
    assert fingerprint("a.csv", folder=tmp_path) != before


def test_the_fingerprint_of_a_table_follows_the_images_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(png(1))
    (tmp_path / "a.csv").write_text("picture,label\none.png,x\n")
    before = fingerprint("a.csv", folder=tmp_path)
    (tmp_path / "one.png").write_bytes(png(2))
    assert fingerprint("a.csv", folder=tmp_path) != before


def test_the_fingerprint_of_a_database_depends_on_query_and_result(tmp_path: Path) -> None:
    locator = sql(tmp_path)
    one = fingerprint(locator, folder=tmp_path, query="select label from pets limit 5")
    assert one == fingerprint(locator, folder=tmp_path, query="select label from pets limit 5")
    assert one != fingerprint(locator, folder=tmp_path, query="select label from pets limit 6")


@pytest.mark.parametrize("end", ["gz", "zst"])
def test_compressed_files_read_as_their_content(end: str, tmp_path: Path) -> None:
    import gzip

    import zstandard

    plain, _ = all_of(delimited(tmp_path), tmp_path)
    pack = gzip.compress if end == "gz" else zstandard.compress
    (tmp_path / f"b.csv.{end}").write_bytes(pack((tmp_path / "a.csv").read_bytes()))
    assert all_of(f"b.csv.{end}", tmp_path)[0].equals(plain)
    (tmp_path / f"torn.csv.{end}").write_bytes((tmp_path / f"b.csv.{end}").read_bytes()[:-20])
    with pytest.raises(SourceError, match="decompressed"):
        all_of(f"torn.csv.{end}", tmp_path)


def test_a_glob_unites_columns_and_counts_positions_through(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,x\ntorn\n")
    (tmp_path / "2.jsonl").write_text('{"a": 2, "c": "z"}\n')
    found, chunks = all_of("*.*", tmp_path)
    assert found.to_dicts() == [
        {"a": "1", "b": "x", POSITION: 0, "c": None},
        {"a": "2", "b": None, POSITION: 2, "c": "z"},
    ]
    assert [each.position for chunk in chunks for each in chunk.dropped] == [1]


def test_numbers_and_text_of_two_parquet_files_meet_in_text(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1, 2]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"a": ["x"]}).write_parquet(tmp_path / "2.parquet")
    assert all_of("*.parquet", tmp_path)[0]["a"].to_list() == ["1", "2", "x"]


def test_an_arrow_stream_and_odd_types_are_read(tmp_path: Path) -> None:
    table = pa.table({"user": [{"name": "Jo", "age": 3}], "tags": [["a", "b"]], "ratio": [float("nan")]})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as out, pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    found, _ = all_of("a.arrow", tmp_path)
    assert found.drop(POSITION).to_dicts() == [{"user.name": "Jo", "user.age": 3, "tags": '["a", "b"]', "ratio": None}]


def test_a_file_behind_a_url_is_fetched(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://room/a.csv", "w") as out:
        out.write("a,b\n1,x\n")
    assert all_of("memory://room/a.csv", tmp_path)[0]["b"].to_list() == ["x"]
    with pytest.raises(SourceError, match="cannot be fetched"):
        all_of("memory://room/none.csv", tmp_path)


def test_what_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    delimited(tmp_path)
    with pytest.raises(SourceError, match=r"did you mean a\.csv"):
        all_of("a.cvs", tmp_path)
    with pytest.raises(SourceError, match="no file matches"):
        all_of("*.tsv", tmp_path)


def test_progress_counts_examples(tmp_path: Path) -> None:
    told: list[Progress] = []
    list(read(delimited(tmp_path), folder=tmp_path, progress=told.append))
    assert told[-1].done == COUNT


def test_json_documents_of_other_shapes(tmp_path: Path) -> None:
    (tmp_path / "wrapped.json").write_text(json.dumps({"version": 2, "data": [{"a": 1}, {"a": 2}]}))
    (tmp_path / "columns.json").write_text(json.dumps({"a": [1, 2], "b": [True, None]}))
    (tmp_path / "pandas.json").write_text(json.dumps({"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": "y"}}))
    assert all_of("wrapped.json", tmp_path)[0]["a"].to_list() == ["1", "2"]
    assert all_of("columns.json", tmp_path)[0]["b"].to_list() == ["true", None]
    assert all_of("pandas.json", tmp_path)[0]["b"].to_list() == ["x", "y"]
    for text in ("5", "[" * 100_000, "hello", '{"a": 5}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(SourceError):
            all_of("bad.json", tmp_path)


def test_json_lines_flatten_one_level_and_join_late_columns(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"user": {"name": "Jo", "at": {"x": 1}}}\n\n{"n": 12345678901234567890}\n')
    assert all_of("a.jsonl", tmp_path)[0].drop(POSITION).to_dicts() == [
        {"user.name": "Jo", "user.at": '{"x": 1}', "n": None},
        {"user.name": None, "user.at": None, "n": "12345678901234567890"},
    ]


def test_a_database_is_read_only_and_says_which_tables_there_are(tmp_path: Path) -> None:
    locator = sql(tmp_path)
    with pytest.raises(SourceError):
        all_of(locator, tmp_path, "delete from pets")
    with pytest.raises(SourceError, match="readonly"):
        all_of(locator, tmp_path, "delete from pets returning label")
    assert len(all_of(locator, tmp_path)[0]) == COUNT - 1
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("create table owners (name text, age)")
        connection.executemany("insert into owners values (?, ?)", [("Jo", 4), ("Al", "old"), (None, 2.5)])
    connection.close()
    with pytest.raises(SourceError, match="owners, pets"):
        all_of(locator, tmp_path)
    found, _ = all_of(locator, tmp_path, "select name, age from owners")
    assert found["age"].to_list() == ["4", "old", "2.5"]  # SQLite mixes types; nothing is lost
    with pytest.raises(SourceError, match="no such table"):
        all_of(locator, tmp_path, "select * from nowhere")
    with pytest.raises(SourceError, match="there is no file"):
        all_of("sqlite:///none.db", tmp_path)
    assert not (tmp_path / "none.db").exists()


def test_a_query_means_what_it_means_to_the_database(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute('create table "at: 100%" (said text, n integer)')
        connection.executemany('insert into "at: 100%" values (?, ?)', [("at 12:30", 1), ("half", 2)])
    connection.close()
    found, _ = all_of("sqlite:///a.db", tmp_path, """select * from "at: 100%" where said like '%12:30'""")
    assert found["n"].to_list() == [1]
    assert all_of("sqlite:///a.db", tmp_path)[0]["said"].to_list() == ["at 12:30", "half"]


def test_postgresql_is_read_only_streamed_and_its_types_are_ours(postgres_url: str, tmp_path: Path) -> None:
    import sqlalchemy as sa

    engine = sa.create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:", 1))
    with engine.begin() as connection:
        connection.execute(sa.text("drop table if exists pets"))
        connection.execute(
            sa.text(
                "create table pets (n bigserial, weight numeric(9, 2), tame boolean, seen timestamptz, born date,"
                " tags text[], facts jsonb, photo bytea, label text)"
            )
        )
        connection.execute(
            sa.text(
                "insert into pets select g, g * 1.25, g % 2 = 0, timestamptz '2026-01-01 12:00+02', date '2020-02-29',"
                " array['a', 'b'], jsonb '{\"k\": 1}', decode('ff00', 'hex'), case when g % 3 = 0 then 'cat' end"
                " from generate_series(1, 45000) g"
            )
        )
    try:
        query = "select *, '%'::text as sign, ':x' as colon from pets where n::int > 0 order by n"
        found, chunks = all_of(postgres_url, tmp_path, query)
        assert len(chunks) == 3
        assert found[POSITION].to_list() == list(range(45000))
        assert found.row(2, named=True) | {POSITION: 0} == {
            "n": 3,
            "weight": 3.75,
            "tame": False,
            "seen": datetime.datetime(2026, 1, 1, 10),
            "born": datetime.datetime(2020, 2, 29),
            "tags": "['a', 'b']",
            "facts": "{'k': 1}",
            "photo": "ff00",
            "label": "cat",
            "sign": "%",
            "colon": ":x",
            POSITION: 0,
        }
        with pytest.raises(SourceError, match="syntax error"):  # a cursor on the server takes a SELECT only
            all_of(postgres_url, tmp_path, "delete from pets returning n")
        with pytest.raises(SourceError, match="read-only"):
            all_of(postgres_url, tmp_path, "select nextval('pets_n_seq')")
        with pytest.raises(SourceError, match="nowhere"):
            all_of(postgres_url, tmp_path, "select * from nowhere")
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text("drop table pets"))
        engine.dispose()


def test_a_database_that_does_not_answer_keeps_its_password_to_itself(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        all_of("postgresql://me:hidden@127.0.0.1:1/none", tmp_path)
    assert "hidden" not in str(caught.value)


def test_a_hub_dataset_names_its_classes_and_joins_its_splits(tmp_path: Path) -> None:
    (tmp_path / "set" / "data").mkdir(parents=True)
    for part in ("train", "test"):
        made = pl.DataFrame({"text": ["a", "b"], "label": [0, 1]})
        made.write_parquet(tmp_path / "set" / "data" / f"{part}-00000-of-00001.parquet")
    (tmp_path / "set" / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n"
        "  - split: test\n    path: data/test-*\ndataset_info:\n  features:\n  - name: text\n    dtype: string\n"
        "  - name: label\n    dtype:\n      class_label:\n        names:\n          '0': bad\n          '1': good\n"
        "---\n"
    )
    found, _ = all_of("hf://./set", tmp_path)
    assert found["label"].to_list() == ["bad", "good", "bad", "good"]
    assert found["split"].to_list() == ["train", "train", "test", "test"]
    assert all_of("hf://./set?split=test", tmp_path)[0].height == 2
    for wrong in ("hf://./none", "hf://./set?splt=test", "hf://./set?split=none", "hf://"):
        with pytest.raises(SourceError):
            all_of(wrong, tmp_path)

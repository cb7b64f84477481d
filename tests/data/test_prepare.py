"""Step 2 as a whole: from a problem and a file to parts, with everything accounted for."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import read_part
from modelwright.data.prepare import prepare
from modelwright.data.seal import open_seal
from modelwright.errors import SourceError
from modelwright.problem import parse
from modelwright.records import POSITION, Dataset, Finding, Progress, identify

SHARED = Path(os.environ.get("MODELWRIGHT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
Make = Callable[..., Dataset]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Prepare the rows of `source` (a frame, or the text of a CSV file) as the settings say."""
    made = 0

    def of(source: pl.DataFrame | str, *, output: str = "y", test: pl.DataFrame | None = None, **more: Any) -> Dataset:
        nonlocal made
        made += 1
        path = tmp_path / "source.csv"
        path.write_text(source if isinstance(source, str) else source.write_csv(), encoding="utf-8")
        data = {"source": path.name, "split": more.pop("split", {})}
        if test is not None:
            test.write_csv(tmp_path / "test.csv")
            data["test"] = "test.csv"
        problem, _ = parse({"name": "p", "output": output, "data": data, **more})
        return prepare(problem, folder=tmp_path, to=tmp_path / f"dataset-{made}")

    return of


def table(count: int = 400, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "a": rng.normal(size=count).round(5),
            "b": rng.normal(size=count).round(5),
            "colour": rng.choice(["red", "green", "blue"], count),
            "y": rng.choice(["no", "yes"], count, p=[0.7, 0.3]),
        }
    )


def all_parts(dataset: Dataset) -> dict[str, pl.DataFrame]:
    folder = Path(dataset.path)
    return {
        "train": read_part(dataset, "train"),
        "validation": read_part(dataset, "validation"),
        "test": pl.read_parquet(next(folder.rglob("test.parquet"))),
        "dropped": pl.read_parquet(folder / "dropped.parquet"),
    }


def found(dataset: Dataset, kind: str) -> list[Finding]:
    return [finding for finding in dataset.findings if finding.kind == kind]


def check_accounts(dataset: Dataset, count: int) -> dict[str, pl.DataFrame]:
    """Every position from 0 to `count` stands in exactly one file, and the record says the same."""
    parts = all_parts(dataset)
    positions = [part[POSITION] for name, part in parts.items() if name != "dropped"]
    assert sorted(pl.concat([*positions, parts["dropped"]["position"]]).to_list()) == list(range(count))
    assert dataset.parts == {name: len(parts[name]) for name in ("train", "validation", "test")}
    assert sum(dataset.dropped.values()) == len(parts["dropped"])
    assert dataset.seal.count == len(parts["test"]) == open_seal(dataset).count
    for name in ("train", "validation", "test"):
        assert parts[name].columns == [POSITION, *dataset.schema.names, dataset.schema.output]
    return parts


def test_a_table_becomes_three_parts(make: Make) -> None:
    source = table()
    dataset = make(source)
    parts = check_accounts(dataset, 400)
    assert dataset.parts == {"train": 320, "validation": 40, "test": 40}
    assert (dataset.schema.task, dataset.schema.kind, dataset.classes) == ("classification", "table", ("no", "yes"))
    assert dataset.schema.positive == "yes"
    assert dataset.split == "80/10/10, stratified by y, seed 0"
    first = parts["train"].row(0, named=True)
    assert source.row(first[POSITION], named=True) == {name: first[name] for name in source.columns}


def test_the_same_data_and_problem_give_the_same_dataset(make: Make) -> None:
    once, again, other = make(table()), make(table()), make(table(), training={"seed": 1})
    assert once.id == again.id != other.id
    assert all_parts(once)["test"].equals(all_parts(again)["test"])
    assert make(table(seed=1)).id != once.id


def test_the_files_of_the_open_parts_are_hashed(make: Make) -> None:
    """The hash stands beside the id, not in it: another version of Polars writes other bytes."""
    dataset = make(table())
    assert dataset.parts_sha256.keys() == {"train", "validation"}
    for part, expected in dataset.parts_sha256.items():
        path = Path(dataset.path) / f"{part}.parquet"
        assert expected == hashlib.sha256(path.read_bytes()).hexdigest()
    assert identify(dataclasses.replace(dataset, parts_sha256={})).id == dataset.id


def test_what_is_left_out_is_said_and_counted(make: Make) -> None:
    """Example 400 has no output, 401 repeats example 0, and line 404 of the file has too many fields."""
    text = table().write_csv()
    first = text.splitlines()[1]
    dataset = make(f"{text}1.5,2.5,red,\n{first}\n1,2,red,no,more\n")
    parts = check_accounts(dataset, 403)
    assert dataset.dropped == {"exact_duplicate": 1, "missing_output": 1, "unreadable": 1}
    lines = {line["position"]: line for line in parts["dropped"].rows(named=True)}
    assert lines[400]["reason"] == "missing_output"
    assert (lines[401]["reason"], lines[401]["twin"]) == ("exact_duplicate", 0)
    assert lines[402]["reason"] == "unreadable" and lines[402]["where"]


def test_texts_that_are_empty_are_left_out(make: Make) -> None:
    texts = [f"this is text number {i} of many" for i in range(60)]
    source = pl.DataFrame({"text": [*texts, None, " "], "y": ["p", "q"] * 31})
    dataset = make(source)
    check_accounts(dataset, 62)
    assert dataset.schema.kind == "text"
    assert dataset.dropped == {"missing_input": 2}


def test_regression_holds_finite_numbers(make: Make) -> None:
    source = table().with_columns(y=pl.col("a") * 2 + pl.col("b") + np.random.default_rng(1).normal(size=400))
    dataset = make(source)
    assert dataset.schema.task == "regression" and dataset.classes == ()
    assert all_parts(dataset)["train"]["y"].dtype == pl.Float64


def test_an_official_test_file_stays_whole(make: Make) -> None:
    """Test labels differ in case and a final point. Two train examples stand in the test file: they go."""
    train, test = table(), table(100, seed=1)
    test = pl.concat([test, test.head(1), train.head(2)]).with_columns(
        y=pl.format(" {}.", pl.col("y").str.to_uppercase())
    )
    dataset = make(train, test=test)
    parts = check_accounts(dataset, 503)
    assert dataset.parts["test"] == 103
    assert parts["test"][POSITION].to_list() == list(range(400, 503))
    assert set(parts["test"]["y"]) == {"no", "yes"}
    assert parts["dropped"]["position"].to_list() == [0, 1]
    assert parts["dropped"]["twin"].to_list() == [501, 502]
    assert found(dataset, "leakage_twin")[0].count == 2
    assert found(dataset, "inconsistent_value")[0].count == 103


def test_classes_that_train_never_shows_are_left_out_of_the_test(make: Make) -> None:
    test = table(50, seed=1).with_columns(y=pl.when(pl.int_range(50) < 3).then(pl.lit("maybe")).otherwise("y"))
    dataset = make(table(), test=test)
    check_accounts(dataset, 450)
    assert dataset.dropped == {"unseen_class": 3}
    assert found(dataset, "unseen_class")[0].severity == "error"


def test_a_test_file_of_other_columns_is_refused(make: Make) -> None:
    with pytest.raises(SourceError) as caught:
        make(table(), test=table(50).rename({"a": "aa", "b": "beta"}))
    assert [fault.found for fault in caught.value.faults] == ["has no column 'a'", "has no column 'b'"]
    assert "aa" in caught.value.faults[0].todo


def test_a_test_file_gets_the_types_of_the_source(make: Make) -> None:
    """The source's codes are text; the test file's alone would be numbers, and 1.10 would become 1.1."""
    rng = np.random.default_rng(0)
    source = table().with_columns(code=pl.Series(rng.choice(["1.10", "1.20", "1.20b"], 400)))
    test = table(50, seed=1).with_columns(code=pl.Series(rng.choice(["1.10", "1.20"], 50)))
    dataset = make(source, test=test)
    assert all_parts(dataset)["test"].schema == all_parts(dataset)["train"].schema
    assert set(all_parts(dataset)["test"]["code"]) == {"1.10", "1.20"}


def test_what_a_test_file_lacks_is_counted_on_from_the_source(make: Make) -> None:
    """Example 7 of the test file, position 407, has no output; the value of a in example 8 is no number."""
    test = table(50, seed=1).with_columns(
        y=pl.when(pl.int_range(50) != 7).then("y"),
        a=pl.when(pl.int_range(50) == 8).then(pl.lit("broken")).otherwise(pl.col("a").cast(pl.String)),
    )
    dataset = make(table(), test=test)
    assert check_accounts(dataset, 450)["dropped"].rows() == [(407, "missing_output", None, None)]
    (finding,) = found(dataset, "inconsistent_value")
    assert finding.count == 1 and "broken" in finding.examples[0]


@pytest.mark.parametrize("names", [("train", "valid", "test"), ("Training", "dev", "TEST")])
def test_a_column_that_names_the_parts_is_believed(make: Make, names: tuple[str, str, str]) -> None:
    parts = np.random.default_rng(0).choice(names, 400, p=[0.6, 0.2, 0.2])
    dataset = make(table().with_columns(split=pl.Series(parts)))
    assert dataset.parts == {
        ours: int((parts == theirs).sum()) for ours, theirs in zip(("train", "validation", "test"), names, strict=True)
    }
    assert "split" not in dataset.schema.names
    assert found(dataset, "official_split")[0].severity == "info"


def test_a_validation_part_is_cut_from_an_official_train_part(make: Make) -> None:
    """Of 300 train examples, 0.1 / (0.8 + 0.1) are 33; the test part stays."""
    parts = ["train"] * 300 + ["test"] * 100
    dataset = make(table().with_columns(which=pl.Series(parts)), split={"column": "which"})
    assert dataset.parts == {"train": 267, "validation": 33, "test": 100}
    assert all_parts(dataset)["test"][POSITION].to_list() == list(range(300, 400))


def test_a_split_column_of_other_values_is_refused(make: Make) -> None:
    with pytest.raises(SourceError, match="'green'"):
        make(table(), split={"column": "colour"})


def test_groups_and_times_do_not_straddle(make: Make) -> None:
    rng = np.random.default_rng(0)
    source = table().with_columns(
        customer_id=pl.Series(rng.integers(0, 40, 400)).cast(pl.String) + "k",
        day=pl.Series(np.datetime64("2024-01-01") + rng.integers(0, 300, 400)),
    )
    plain = make(source)
    assert found(plain, "leakage_group") and found(plain, "leakage_time")
    grouped = all_parts(make(source, split={"group": "customer_id"}))
    owners = [set(source["customer_id"].gather(grouped[name][POSITION])) for name in ("train", "validation", "test")]
    assert not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])
    timed = all_parts(make(source, split={"time": "day"}))
    assert timed["train"]["day"].max() < timed["validation"]["day"].min()  # type: ignore[operator]
    assert timed["validation"]["day"].max() < timed["test"]["day"].min()  # type: ignore[operator]


def test_twins_in_a_table_share_a_part(make: Make) -> None:
    rng = np.random.default_rng(0)
    source = pl.DataFrame(
        {"a": rng.integers(0, 9, 300), "b": rng.integers(0, 9, 300), "y": rng.choice(["p", "q"], 300)}
    )
    dataset = make(source)
    parts = check_accounts(dataset, 300)
    seen = [set(parts[name].select("a", "b").iter_rows()) for name in ("train", "validation", "test")]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    assert dataset.label_ceiling is not None and dataset.label_ceiling < 1


LEAKS = {
    "a copy under another name": lambda t: t.with_columns(z=pl.col("y").replace({"yes": "1", "no": "0"})),
    "a threshold on a number": lambda t: t.with_columns(z=pl.col("b").abs() + (pl.col("y") == "yes") * 9),
    "a category filled in afterwards": lambda t: t.with_columns(z=pl.when(pl.col("y") == "yes").then("colour")),
    "a note written afterwards, mostly": lambda t: t.with_columns(
        z=pl.when((pl.col("y") == "yes") & (pl.int_range(400) % 40 > 0)).then(
            pl.format("the customer of {} left us because of {} and {}", "colour", "a", "b")
        )
    ),
}


@pytest.mark.parametrize("plant", LEAKS.values(), ids=LEAKS.keys())
def test_a_column_that_gives_the_answer_away_is_reported(make: Make, plant: Any) -> None:
    dataset = make(plant(table()))
    (finding,) = found(dataset, "leakage_target")
    assert finding.severity == "error" and "z" in finding.examples[0] and "input" in finding.next
    assert "z" in dataset.schema.names


@pytest.mark.parametrize("formula", [pl.col("u") + pl.col("v"), pl.col("u") * pl.col("v") ** 2])
def test_a_number_that_can_be_computed_is_reported(make: Make, formula: pl.Expr) -> None:
    rng = np.random.default_rng(0)
    source = pl.DataFrame({name: rng.uniform(1, 3, 400) for name in "uvw"}).with_columns(y=formula)
    (finding,) = found(make(source), "leakage_target")
    assert "u, v, exactly" in finding.examples[0]


def test_an_honest_table_raises_no_alarm(make: Make) -> None:
    dataset = make(table())
    assert [finding for finding in dataset.findings if finding.severity != "info"] == []


def test_columns_that_are_not_there_are_all_named_with_the_nearest(make: Make) -> None:
    with pytest.raises(SourceError) as caught:
        make(table(), output="yy", input=["a", "color"], split={"group": "who"})
    assert [fault.where for fault in caught.value.faults] == ["output", "input", "data.split.group"]
    assert "colour" in caught.value.faults[1].todo


def test_the_output_cannot_be_the_group(make: Make) -> None:
    with pytest.raises(SourceError, match="is the output"):
        make(table(), split={"group": "y"})


def test_one_class_is_refused(make: Make) -> None:
    with pytest.raises(SourceError, match="at least two"):
        make(table().with_columns(y=pl.lit("same")))


def test_too_few_examples_are_refused(make: Make) -> None:
    with pytest.raises(SourceError, match="3 examples"):
        make(table(3))


def test_a_part_without_a_share_is_refused(make: Make) -> None:
    with pytest.raises(SourceError, match="validation"):
        make(table(), split={"train": 0.9, "validation": 0, "test": 0.1})


def test_nothing_is_left_behind_where_it_fails(make: Make, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        make(table(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.csv"]


def test_a_failed_writing_leaves_nothing_behind(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("modelwright.data.prepare.close_seal", full)
    with pytest.raises(OSError, match="no space"):
        make(table())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.csv"]


def test_progress_is_told(tmp_path: Path) -> None:
    table().write_csv(tmp_path / "d.csv")
    problem, _ = parse({"name": "p", "output": "y", "data": {"source": "d.csv"}})
    told: list[Progress] = []
    prepare(problem, folder=tmp_path, to=tmp_path / "dataset", progress=told.append)
    assert {"reading", "cleaning", "splitting", "writing"} <= {each.what for each in told}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not at hand")
@pytest.mark.parametrize(
    ("source", "output", "count", "expected"),
    [
        ("tabular/wine_quality.csv", "quality", 6497, {"exact_duplicate": 1177}),
        ("tabular/breast_w.csv", "Class", 699, {}),
        ("tabular/segment.csv", "class", 2310, {"exact_duplicate": 224}),
        ("tabular/mushroom.csv", "class", 8124, {}),
        ("tabular/bike_sharing_hour.csv", "cnt", 17379, {}),
    ],
)
def test_public_tables_are_cleaned_as_their_dirt_is_known(
    tmp_path: Path, source: str, output: str, count: int, expected: dict[str, int]
) -> None:
    """Duplicates as the shared data's README counts them; breast_w's 236 are coarse measurements and stay."""
    problem, _ = parse({"name": "p", "output": output, "data": {"source": str(SHARED / source)}})
    dataset = prepare(problem, folder=tmp_path, to=tmp_path / "dataset")
    check_accounts(dataset, count)
    assert dataset.dropped == expected
    leaking = found(dataset, "leakage_target")
    assert bool(leaking) == ("bike" in source)
    if leaking:
        assert "casual, registered" in leaking[0].examples[0]

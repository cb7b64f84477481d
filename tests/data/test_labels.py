"""Answers of several labels: spans and sets as people write them, and what a data set of them becomes."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.data.infer import infer
from modelwright.data.labels import as_sets, form_of, label_counts, strata_of, with_label_columns
from modelwright.data.parts import read_part, targets_N
from modelwright.data.prepare import prepare
from modelwright.data.spans import are_spans, parsed, read_spans
from modelwright.errors import SourceError
from modelwright.problem import parse
from modelwright.records import POSITION, Dataset, Span

SHARED = Path(os.environ.get("MODELWRIGHT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.mark.parametrize(
    "written",
    [
        '[{"start": 0, "end": 4, "label": "name"}]',
        '[{"start_position": 0, "end_position": 4, "entity_type": "name", "entity_value": "Anna"}]',
        '[{"start": 0, "end": 4, "slot": "name"}]',
        '[{"start": 0, "end": 4, "labels": ["name"]}]',
        '[[0, 4, "name"]]',
    ],
)
def test_spans_in_the_spellings_of_other_tools(written: str) -> None:
    (span,) = parsed(written)
    assert (span.start, span.end, span.label) == (0, 4, "name")
    assert are_spans(pl.Series([written, "[]", None]))


@pytest.mark.parametrize(
    "written", ["[1, 2]", '["a", "b"]', "{}", '[{"start": "x", "end": 4, "label": "name"}]', "[0", "a"]
)
def test_what_are_no_spans(written: str) -> None:
    assert parsed(written) is None
    assert not are_spans(pl.Series([written] * 30))


def spans_of(written: list[object], text: str) -> tuple[list[Span], dict[str, int]]:
    found, findings = read_spans(pl.Series([json.dumps(written)]), pl.Series([text]), pl.Series([7]))
    assert all(each.startswith("example 7") for finding in findings for each in finding.examples)
    return [Span(**each) for each in found[0]], {finding.kind: finding.count for finding in findings}


def test_spans_are_mended_and_it_is_said() -> None:
    text = "Anna sings in Rome"
    assert spans_of([[14, 18, "b"], [0, 4, "a"]], text) == ([Span(0, 4, "a"), Span(14, 18, "b")], {})
    assert spans_of([[0, 5, "a"]], text) == ([Span(0, 4, "a")], {}), "space at the end is no part of it"
    assert spans_of([[14, 30, "b"], [40, 50, "a"]], text) == ([Span(14, 18, "b")], {"span_outside": 2})
    assert spans_of([[0, 10, "a"], [5, 10, "b"], [0, 4, "c"]], text) == ([Span(0, 10, "a")], {"span_overlap": 2})
    assert spans_of([[0, 4, "a"], [0, 4, "a"]], text) == ([Span(0, 4, "a")], {}), "twice the same is once"
    assert spans_of([[0, 3, "a"]], text) == ([Span(0, 3, "a")], {"span_cuts_word": 1})
    moved = [{"start": 12, "end": 16, "label": "b", "text": "Rome"}]
    assert spans_of(moved, text) == ([Span(14, 18, "b")], {"span_moved": 1})
    strange = [{"start": 14, "end": 18, "label": "b", "text": "Oslo"}]
    assert spans_of(strange, text) == ([Span(14, 18, "b")], {"span_mismatch": 1})


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["red|blue", "red", "blue|green", "green"] * 10, ("multilabel", "|")),
        (["red; blue", "red; green", "blue", "green; blue"] * 10, ("multilabel", ";")),
        (['["red", "blue"]', "[]", '["red"]'] * 10, ("multilabel", "")),
        (["Smith, John", "Doe, Jane", "Roe, Max"] * 10, None),
        (["Books, Music", "Garden", "Toys"] * 10, None),
        (["red", "blue"] * 10, None),
    ],
)
def test_sets_are_recognised_where_labels_recombine(values: list[str], form: tuple[str, str] | None) -> None:
    assert form_of(pl.Series("y", values), "auto") == form
    assert form_of(pl.Series("y", values), "classification") is None


def test_sets_are_sorted_and_an_empty_cell_is_missing() -> None:
    found = as_sets(pl.Series(["b| a |a", None, "[]", "", "c"]), "|")
    assert found.to_list() == [["a", "b"], None, [], None, ["c"]]


def test_columns_of_noughts_and_ones_are_one_column_of_sets() -> None:
    frame = pl.DataFrame(
        {"text": ["x", "y", "z"], "is_a": ["1", "0", "1"], "is_b": ["true", "no", "?"], POSITION: [0, 1, 2]}
    )
    assert with_label_columns(frame, "is_*")["is_*"].to_list() == ['["is_a", "is_b"]', "[]", None]
    assert with_label_columns(frame, "is_b, is_a").columns == ["text", POSITION, "is_b, is_a"]
    for same in ("text", "is_a", "is_a, missing", None):
        assert with_label_columns(frame, same).columns == frame.columns
    assert parse({"name": "p", "output": ["is_a", "is_b"], "data": {"source": "x"}})[0].output == "is_a, is_b"


def test_strata_go_by_the_rarest_label() -> None:
    """a is given 3 times, b twice, c once: codes 1 for c, 2 for b, 3 for a, and 0 for none."""
    assert strata_of(pl.Series([["a"], ["a", "b"], ["a", "c", "b"], []])).tolist() == [3, 2, 1, 0]


def test_the_text_is_the_column_that_the_spans_fit() -> None:
    texts = [f"number {n:03} is Anna" for n in range(40)]
    spans = ['[{"start": 14, "end": 18, "label": "name"}]'] * 40
    short = [f"remark {n % 7}" for n in range(40)]
    found = infer(pl.DataFrame({"note": short, "body": texts, "spans": spans}), output=None)
    assert (found.task, found.kind, found.output) == ("tagging", "text", "spans")
    assert [column.name for column in found.inputs] == ["body"] and "note" in found.excluded
    with pytest.raises(SourceError, match="fit into none"):
        infer(pl.DataFrame({"note": short, "spans": spans}), output="spans")
    with pytest.raises(SourceError, match="holds no spans"):
        infer(pl.DataFrame({"body": texts, "y": ["a", "b"] * 20}), output="y", task="tagging")


def made(folder: Path, rows: list[dict[str, object]], **more: object) -> Dataset:
    (folder / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    problem, _ = parse({"name": "p", "data": {"source": "a.jsonl"}, **more})
    return prepare(problem, folder=folder, to=folder / "dataset")


def test_a_data_set_of_sets(tmp_path: Path) -> None:
    """Of 200 examples each tenth has the rare label: 20, dealt out 16, 2 and 2."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = [
        {"text": f"message {n} of {rng.integers(1e9)}", "y": ["rare"] if n % 10 == 0 else ["odd", "any"][n % 2 :]}
        for n in range(200)
    ]
    rows += [{"text": "twice said", "y": ["odd"]}, {"text": "twice said", "y": ["any"]}, {"text": "none", "y": None}]
    dataset = made(tmp_path, rows, output="y")
    assert dataset.schema.task == "multilabel" and dataset.classes == ("any", "odd", "rare")
    assert dataset.dropped == {"conflicting_label": 2, "missing_output": 1}
    parts = [read_part(dataset, part) for part in ("train", "validation")]
    assert [label_counts(part["y"])["rare"] for part in parts] == [16, 2]
    fits_NC = targets_N(dataset.schema, parts[1])
    assert fits_NC.dtype == bool and fits_NC.shape == (len(parts[1]), 3)


def test_a_data_set_of_spans(tmp_path: Path) -> None:
    """Space before the text stays, because the spans count it; a class that only the test file has is named."""
    rows: list[dict[str, object]] = [
        {"text": f" Anna {n} sings", "spans": [{"start": 1, "end": 5, "label": "name"}]} for n in range(60)
    ]
    (tmp_path / "test.jsonl").write_text(
        "\n".join(json.dumps({**row, "text": f"{row['text']} now"}) for row in rows[:5])
        + '\n{"text": "in Rome", "spans": [{"start": 3, "end": 7, "label": "place"}]}'
    )
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    problem, _ = parse({"name": "p", "output": "spans", "data": {"source": "a.jsonl", "test": "test.jsonl"}})
    dataset = prepare(problem, folder=tmp_path, to=tmp_path / "dataset")
    train = read_part(dataset, "train")
    assert dataset.schema.task == "tagging" and dataset.classes == ("name",)
    assert dataset.parts["test"] == 5 and dataset.dropped == {"near_duplicate": 5, "unseen_class": 1}
    assert {text[spans[0]["start"] : spans[0]["end"]] for text, spans in train.select("text", "spans").iter_rows()} == {
        "Anna"
    }
    assert targets_N(dataset.schema, train)[0] == (Span(1, 5, "name"),)
    assert "stratified by the rarest label of spans" in dataset.split or "official" in dataset.split


@pytest.mark.parametrize(
    ("source", "output", "labels", "examples"),
    [
        ("token/wnut17_dev.conll", "tags", 6, 1009),
        ("token/ncbi_disease_dev.tsv", "tags", 1, 923),
        ("token/presidio_pii_spans.json", "spans", 17, 1500),
    ],
)
def test_public_data(source: str, output: str, labels: int, examples: int, tmp_path: Path) -> None:
    if not (SHARED / source).exists():
        pytest.skip("the shared data are not here")
    problem, _ = parse({"name": "p", "output": output, "data": {"source": str(SHARED / source)}})
    dataset = prepare(problem, folder=tmp_path, to=tmp_path / "dataset")
    assert (dataset.schema.task, len(dataset.classes)) == ("tagging", labels)
    assert sum(dataset.parts.values()) + sum(dataset.dropped.values()) == examples
    assert not {finding.kind for finding in dataset.findings} & {"span_outside", "span_mismatch", "invalid_tags"}


def test_slots_of_public_data_with_their_official_split(tmp_path: Path) -> None:
    path = SHARED / "text" / "snips_intent_slots.jsonl.gz"
    if not path.exists():
        pytest.skip("the shared data are not here")
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    (tmp_path / "a.jsonl").write_text("\n".join(lines[::12]), encoding="utf-8")
    problem, _ = parse({"name": "p", "output": "spans", "data": {"source": "a.jsonl"}})
    dataset = prepare(problem, folder=tmp_path, to=tmp_path / "dataset")
    assert dataset.schema.names == ["text"] and len(dataset.classes) == 39 and "official" in dataset.split

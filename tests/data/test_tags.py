"""Tags of tokens as spans, in every usual way of tagging, and tokens as texts."""

import json
from pathlib import Path

import polars as pl
import pytest

from modelwright.data.sources import read
from modelwright.data.sources.conll import form_of
from modelwright.data.tags import spans_of_tags, tagging_of
from modelwright.data.tokens import with_texts
from modelwright.errors import SourceError
from modelwright.records import POSITION


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("B-a I-a O B-b", [(0, 2, "a"), (3, 4, "b")]),
        ("B-a B-a I-a", [(0, 1, "a"), (1, 3, "a")]),
        ("I-a I-a B-a O", [(0, 2, "a"), (2, 3, "a")]),  # IOB1: B only where a span touches another of its label
        ("I-a I-b", [(0, 1, "a"), (1, 2, "b")]),
        ("B-a E-a S-b O", [(0, 2, "a"), (2, 3, "b")]),
        ("B-a L-a U-b B-a I-a L-a", [(0, 2, "a"), (2, 3, "b"), (3, 6, "a")]),
        ("B-a M-a E-a S-a", [(0, 3, "a"), (3, 4, "a")]),
        ("I-a E-a I-a E-a", [(0, 2, "a"), (2, 4, "a")]),
        ("a a O b", [(0, 2, "a"), (3, 4, "b")]),
        ("O O", []),
        ("", []),
    ],
)
def test_every_way_of_tagging(tags: str, spans: list[tuple[int, int, str]]) -> None:
    each = tags.split()
    assert spans_of_tags(each, tagging_of([each]))[0] == spans


def test_tags_that_continue_nothing_are_repaired_and_said() -> None:
    """Where spans begin with B-, the I- of the first and of the last tag begin one all the same."""
    tags = ["I-a", "O", "B-a", "I-b"]
    assert spans_of_tags(tags, tagging_of([tags])) == ([(0, 1, "a"), (2, 3, "a"), (3, 4, "b")], [0, 3])
    assert spans_of_tags(["I-a", "O"], tagging_of([["I-a", "O"]]))[1] == [], "IOB1 has nothing to repair"


def test_tags_of_every_token_are_a_span_each() -> None:
    tags = ["DET", "NOUN", "NOUN"]
    assert spans_of_tags(tags, tagging_of([tags]))[0] == [(0, 1, "DET"), (1, 2, "NOUN"), (2, 3, "NOUN")]


@pytest.mark.parametrize(
    "line", ["London\tB-place", "London B-place", "B-place\tLondon", "London NNP I-NP B-place", "1\tLondon\tX\tB-place"]
)
def test_the_form_of_a_line(line: str) -> None:
    form = form_of(f"{line}\n\n{line}\n")
    assert form is not None and form.read(line) == ("London", "B-place")


@pytest.mark.parametrize("text", ["a\tb\nc\td\n", "word\tO\nof\tO\n", "one column\n", "", "x,O\ny,B-a\n"])
def test_what_is_no_tagged_text(text: str) -> None:
    assert form_of(text) is None


def test_a_conll_file_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("-DOCSTART-\tO\n\nAnna\tB-name\nsings\tO\n \nin\tO\r\nRome\tB-place\r\n")
    (chunk,) = read("a.tsv", folder=tmp_path)
    frame, findings = with_texts(chunk.frame)
    assert frame["text"].to_list() == ["Anna sings", "in Rome"] and findings == []
    assert [json.loads(each) for each in frame["tags"]] == [
        [{"start": 0, "end": 4, "label": "name"}],
        [{"start": 3, "end": 7, "label": "place"}],
    ]


def test_a_table_of_two_columns_stays_one(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("text\tlabel\n\nabc\tO\nxyz\tB\n")
    (chunk,) = read("a.tsv", folder=tmp_path)
    assert chunk.frame.columns == ["text", "label", POSITION]


def test_a_file_that_says_conll_and_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("just some text\nof a letter\n")
    with pytest.raises(SourceError, match="a token and its tag on each line"):
        list(read("a.conll", folder=tmp_path))


def frame_of(**columns: list[object]) -> pl.DataFrame:
    cells = {name: [json.dumps(each) for each in column] for name, column in columns.items()}
    return pl.DataFrame(cells).with_row_index(POSITION)


def test_tokens_and_tags_in_json() -> None:
    frame, findings = with_texts(frame_of(tokens=[["Anna", "sings"], ["no"]], ner_tags=[["I-a", "B-b"], ["O"]]))
    assert frame["tokens"].to_list() == ["Anna sings", "no"]
    assert json.loads(frame["ner_tags"][0])[1] == {"start": 5, "end": 10, "label": "b"}
    (finding,) = findings
    assert (finding.kind, finding.count) == ("invalid_tags", 1)
    assert finding.examples == ("example 0: I-a after the start is read as B-a",)


def test_an_example_with_fewer_tags_than_tokens_has_no_output() -> None:
    tokens = [["a", "b"]] * 20
    frame, (finding,) = with_texts(frame_of(tokens=tokens, tags=[["O", "B-x"]] * 19 + [["O"]]))
    assert frame["tags"].null_count() == 1 and "example 19" in finding.examples[0]


def test_tags_as_numbers_are_refused() -> None:
    with pytest.raises(SourceError, match="holds tags as numbers"):
        with_texts(frame_of(tokens=[["a", "b"]], ner_tags=[[0, 1]]))

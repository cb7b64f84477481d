"""What a report says of sets and spans: what is taken for what, the worst errors, texts with marks."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import objects
from modelwright.data.spans import SPANS
from modelwright.evaluation.evaluate import evaluate
from modelwright.evaluation.judged import judge, judged_from
from modelwright.evaluation.pairs import taken_for
from modelwright.evaluation.report.marked import AROUND, marked
from modelwright.evaluation.report.worst import worst_errors
from modelwright.models.predictors import Predictions
from modelwright.models.predictors.fake import Fake
from modelwright.records import Schema, Span, plain


def test_what_is_taken_for_what(labels: Schema, spans: Schema) -> None:
    """Sets: a is missed once for b, c is once too many for nothing. Spans: of two names one is called a place, one has
    other ends; a place is missed; a name is made up where nothing is."""
    truth_NC = np.array([[1, 0, 0], [1, 0, 0]], dtype=bool)
    answers = Predictions(probabilities_NC=np.array([[0.1, 0.9, 0.0], [0.9, 0.0, 0.8]]))
    pairs = [(each.truth, each.answer, each.count, each.share) for each in taken_for(labels, truth_NC, answers)]
    assert pairs == [("a", "b", 1, 0.5), ("nothing", "c", 1, 1.0)]
    truth_N = objects([(Span(0, 4, "name"), Span(5, 9, "name")), (Span(0, 4, "place"),)])
    found_N = objects([(Span(0, 4, "place"), Span(5, 7, "name")), (Span(6, 8, "name"),)])
    pairs = [(each.truth, each.answer, each.share) for each in taken_for(spans, truth_N, Predictions(spans_N=found_N))]
    assert pairs == [
        ("name", "name, other ends", 0.5),
        ("name", "place", 0.5),
        ("nothing", "name", 0.5),
        ("place", "nothing", 1.0),
    ]


def test_a_text_is_cut_where_spans_begin_and_end() -> None:
    text = "Anna sings in Rome and Oslo"
    truth = (Span(0, 4, "name"), Span(14, 18, "place"), Span(23, 27, "place"))
    answer = (Span(0, 4, "name"), Span(5, 10, "name"), Span(14, 18, "name"))
    found = [(piece.text, piece.kind, piece.truth, piece.answer) for piece in marked(text, truth, answer)]
    assert found == [
        ("Anna", "right", "name", "name"),
        (" ", "", "", ""),
        ("sings", "wrong", "", "name"),
        (" in ", "", "", ""),
        ("Rome", "both", "place", "name"),
        (" and ", "", "", ""),
        ("Oslo", "missed", "place", ""),
    ]


def test_of_a_long_text_the_mistakes_are_shown() -> None:
    text = "far away " * 100 + "Anna" + " and so on" * 100
    pieces = marked(text, (Span(900, 904, "name"),), ())
    assert [piece.text for piece in pieces if piece.kind] == ["Anna"]
    shown = "".join(piece.text for piece in pieces)
    assert shown.startswith("… far away") and shown.endswith(" …") and len(shown) < 4 * AROUND


def frame_of(schema: Schema, count: int) -> pl.DataFrame:
    texts = [f"Anna sings number {n} in Rome" for n in range(count)]
    if schema.task == "multilabel":
        cells: pl.Series = pl.Series([["a", "b"][: n % 3] for n in range(count)], dtype=pl.List(pl.String))
        return pl.DataFrame({"x": [float(n) for n in range(count)], "y": cells})
    each = {"start": 0, "end": 4, "label": "name"}
    return pl.DataFrame({"x": texts, "y": pl.Series([[each] if n % 2 else [] for n in range(count)], dtype=SPANS)})


@pytest.mark.parametrize("kind", ["labels", "spans"])
def test_what_is_judged_survives_the_ledger(kind: str, request: pytest.FixtureRequest) -> None:
    schema: Schema = request.getfixturevalue(kind)
    examples = frame_of(schema, 60)
    predictor = Fake(schema)
    answers = predictor.predict(examples)
    judged = judge("micro_f1", schema, examples, answers, baseline=("other", Fake(schema, salt="b").predict(examples)))
    assert judged.confusion == () and len(judged.classes) == len(schema.classes)
    assert judged.compared is not None and judged.picture.pairs
    assert judged_from(plain(judged)) == judged


@pytest.mark.parametrize("kind", ["labels", "spans"])
def test_the_whole_report(kind: str, request: pytest.FixtureRequest, made, tmp_path: Path) -> None:
    schema: Schema = request.getfixturevalue(kind)
    dataset = made(schema, frame_of(schema, 200))
    report = evaluate(dataset, Fake(schema), name="fake", metric="micro_f1", split="test", to=tmp_path / "report")
    page = Path(str(report.html)).read_text(encoding="utf-8")
    assert report.metrics["micro_f1"].low is not None and "By label, worst first" in page
    assert ("made up" in page) == (kind == "spans") and "missed" in page
    assert "<mark" in page if kind == "spans" else "taken for what" in page


def test_the_worst_sets_and_texts_come_first(labels: Schema, spans: Schema) -> None:
    examples = frame_of(labels, 6)
    probabilities_NC = np.zeros((6, 3))
    probabilities_NC[2] = [0.0, 0.0, 1.0]  # a and b are missed, c is too many
    worst = worst_errors(labels, examples, Predictions(probabilities_NC=probabilities_NC), "micro_f1")[0]
    assert (worst.truth, worst.answer, worst.how) == ("a, b", "c", "2 missed, 1 too many")
    answers = objects([()] * 5 + [(Span(0, 4, "place"), Span(5, 10, "name"))])
    worst = worst_errors(spans, frame_of(spans, 6), Predictions(spans_N=answers), "micro_f1")[0]
    assert worst.how == "1 missed, 2 too many" and worst.pieces[0].kind == "both" and worst.cells == ()

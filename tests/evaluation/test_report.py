import base64
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.evaluation.diagnose import HistoryPoint
from modelwright.evaluation.evaluate import evaluate
from modelwright.evaluation.judged import Picture
from modelwright.evaluation.report import plots
from modelwright.evaluation.report.story import Story
from modelwright.evaluation.report.tables import dollars
from modelwright.evaluation.report.worst import worst_errors
from modelwright.models.predictors import Predictions
from modelwright.models.predictors.fake import Fake
from modelwright.problem import Constraints, parse
from modelwright.records import (
    Column,
    Dataset,
    Estimate,
    Interval,
    Latency,
    Plan,
    Run,
    RungScore,
    Schema,
    Setting,
    Trial,
    Verdict,
)

Made = Callable[..., Dataset]
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> $x_{ {{ 7 * 7 }} 漢字"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that every tag is closed in its turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def story(dataset: Dataset) -> Story:
    problem, _ = parse(
        {
            "name": "evil",
            "statement": EVIL,
            "correct": EVIL,
            "output": "y",
            "data": {"source": "x.csv"},
            "constraints": {"latency_ms": 5000},
        }
    )
    rungs = (
        RungScore("constant", "constant", Interval(0.1, 0.05, 0.2), Latency(0.1, 0.2), 1e-6, 0.0, describes=EVIL),
        RungScore("neighbours", "neighbours", skipped=EVIL),
    )
    verdict = Verdict("v", dataset.id, "macro_f1", "validation", rungs, "train", "constant", EVIL)
    estimate = Estimate(Interval(1.0), Interval(1.0), Interval(0.0))
    plan = Plan("p", dataset.id, EVIL, "full", {"learning_rate": Setting(3e-5, EVIL)}, estimate, ())
    tried = [{"method": method, "learning_rate": 3e-5, "batch_size": 16} for method in ("full", EVIL)]
    trials = (Trial(0, tried[0], "pruned", None, 0.5, 1.0, False), Trial(1, tried[1], "completed", 0.9, 0.4, 1.0, True))
    run = Run("r", "p", "", "0" * 64, "completed", 9, 9, 0.1, {}, 1.0, 1, {}, trials=trials)
    return Story(problem, verdict, plan, run)


HISTORY = [HistoryPoint(e, 10 * e, 1 / e, 1.2 / e, None, 1 - 1 / (e + 1)) for e in range(1, 5)]


def page_of(dataset: Dataset, to: Path, *, metric: str = "macro_f1", name: str = "fake") -> str:
    ours, theirs = Fake(dataset.schema), Fake(dataset.schema, salt="other")
    report = evaluate(
        dataset,
        ours,
        name=name,
        metric=metric,
        goal=0.5,
        constraints=Constraints(latency_ms=5000),
        baseline=(EVIL, theirs),
        history=HISTORY,
        story=story(dataset),
        to=to,
    )
    return Path(str(report.html)).read_text(encoding="utf-8")


def text_data(made: Made, classes: int) -> Dataset:
    names = tuple([EVIL, *(f"class {i}" for i in range(1, classes))])
    schema = Schema("classification", "text", (Column("t", "text"),), "y", names)
    generator = np.random.default_rng(0)
    texts = [f"{EVIL} {i}" for i in range(600)]
    return made(schema, pl.DataFrame({"t": texts, "y": generator.choice(names, 600)}))


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_data_cannot_become_markup(classes: int, made: Made, tmp_path: Path) -> None:
    page = page_of(text_data(made, classes), tmp_path, name=EVIL)
    found = Reader(page)
    assert "script" not in found.tags and "img" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in found.text  # shown as what it is
    assert "49" not in re.findall(r"\$x_\{ (.{2})", found.text)


@pytest.mark.parametrize("classes", [2, 40])
def test_the_page_needs_nothing_else(classes: int, made: Made, tmp_path: Path) -> None:
    page = page_of(text_data(made, classes), tmp_path)
    found = Reader(page)
    assert not found.tags & {"link", "script", "iframe", "object", "embed", "base", "form"}
    outside = [
        (n, v) for n, v in found.attributes if n in ("src", "href", "xlink:href") and not v.startswith(("#", "data:"))
    ]
    assert outside == []
    assert "@import" not in page and not re.search(r"url\((?!#)", page)
    identifiers = [value for name, value in found.attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers))


def test_the_page_tells_the_story(made: Made, tmp_path: Path) -> None:
    found = Reader(page_of(text_data(made, 10), tmp_path)).text
    said = """short of the goal of 0.500|it can be luck|The ladder|skipped:|All figures|By class, worst first
        What is taken for what|Most confused|Can its confidence be trusted?|Loss by epoch|macro_f1 by epoch
        Diagnosis: |Next:|Worst errors|3 examples repeated another example exactly|every value occurs once
        have <b>them</b> checked|What the figures do not say|learning_rate|0123456789abcdef|✓ 95% of answers"""
    for each in re.split(r"\||\n\s+", said):
        assert each in found, each


def test_the_page_shows_the_trials(made: Made, tmp_path: Path) -> None:
    """The second of two was kept; the first was stopped before a score was taken."""
    text = " ".join(Reader(page_of(text_data(made, 2), tmp_path)).text.split())
    assert "Trials: the best on the validation part was kept" in text
    first, second = text.index("learning_rate 3e-05, batch_size 16"), text.rindex("learning_rate 3e-05, batch_size 16")
    assert first < text.index("0.5000", first) < text.index("pruned", first) < text.index("2 (kept)", first) < second
    assert "0.9000" in text[second:] and "0.4000" in text[second:]
    assert "The trained network is the best of 2 on these same examples, which flatters it." in text


def test_the_same_report_is_the_same_file(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelwright.evaluation.evaluate.measure_latency", lambda *_: Latency(1.0, 2.0))
    dataset = text_data(made, 15)
    assert page_of(dataset, tmp_path / "a") == page_of(dataset, tmp_path / "b")


def test_regression_has_its_own_plots(numbers: Schema, made: Made, tmp_path: Path) -> None:
    x_N = np.random.default_rng(0).normal(size=500)
    page = page_of(made(numbers, pl.DataFrame({"x": x_N, "y": 1e5 * x_N})), tmp_path, metric="mae")
    found = Reader(page)
    assert "How far off is it?" in found.text and "The answers that are furthest off." in found.text
    assert page.count('class="plot"') == 4  # two curves, predicted and true, residuals
    assert "By class" not in found.text


def test_pictures_are_shown_small_and_broken_ones_are_not(made: Made, tmp_path: Path) -> None:
    from PIL import Image

    def png(colour: int) -> bytes:
        buffer = io.BytesIO()
        Image.new("LA", (300, 200), (colour, 0)).save(buffer, "PNG")
        return buffer.getvalue()

    schema = Schema("classification", "image", (Column("image", "image"),), "y", ("a", "b"), "a")
    images = [png(200), b"not a picture", None]
    examples = pl.DataFrame({"image": images, "y": ["a", "a", "a"]}, schema={"image": pl.Binary, "y": pl.String})
    wrong = Predictions(probabilities_NC=np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]]))
    errors = worst_errors(schema, examples, wrong, "accuracy")
    assert [len(error.pictures) for error in errors] == [1, 0, 0]
    said = "data:image/png;base64,"
    assert errors[0].pictures[0].startswith(said)
    shown = Image.open(io.BytesIO(base64.b64decode(errors[0].pictures[0].removeprefix(said))))
    assert (shown.mode, shown.size, shown.getextrema()) == ("RGB", (72, 48), ((255, 255),) * 3), "clear is white"
    assert (errors[0].truth, errors[0].answer, errors[0].how) == ("a", "b", "90% sure")


def test_worst_errors_come_worst_first_and_right_answers_do_not_come(two: Schema) -> None:
    examples = pl.DataFrame({"x": [1.0, 2.0, 3.0], "y": ["no", "yes", "no"]})
    yes_N = np.array([0.6, 0.9, 0.99])
    errors = worst_errors(two, examples, Predictions(probabilities_NC=np.stack([1 - yes_N, yes_N], axis=1)), "accuracy")
    assert [error.cells[0] for error in errors] == [("x", "3"), ("x", "1")]


def test_plots_take_the_colours_of_the_page() -> None:
    svg = plots.learning_curves(HISTORY)
    assert svg.startswith("<svg viewBox=") and svg.rstrip().endswith("</svg>")
    assert "var(--first)" in svg and "var(--muted)" in svg
    assert not [colour for colour in plots.ROLES if colour in svg]
    assert "<text" in svg and "<metadata" not in svg
    assert plots.learning_curves(HISTORY[:1]) == ""


def test_a_name_is_not_a_formula() -> None:
    assert "$x_{$ &lt;b&gt;" in plots.predicted_and_true(Picture(cells=((0.0, 0.0, 1), (1.0, 1.0, 2))), "$x_{$ <b>")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "$0"), (4e-9, "under $0.000001"), (3.5, "$3.50"), (0.12, "$0.12"), (0.0123, "$0.012"), (2.23e-5, "$0.000022")],
)
def test_prices(value: float, text: str) -> None:
    assert dollars(value) == text

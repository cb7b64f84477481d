"""What every rung must hold, by being listed in RUNGS."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import targets_N
from modelwright.data.spans import SPANS
from modelwright.evaluation.metrics import find, score
from modelwright.ladder.rungs import LANGUAGE_MODEL_RUNGS, RUNGS
from modelwright.models.predictors import Predictions, load_predictor, save_predictor
from modelwright.records import POSITION, Column, Schema

COUNT = 160
WORDS = ("refund", "card", "pin", "the", "my", "please", "now", "help", "with", "a")


def texts() -> tuple[Schema, pl.DataFrame]:
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=COUNT)
    rows = [" ".join([WORDS[label], *generator.choice(WORDS[3:], size=5)]) for label in labels]
    frame = pl.DataFrame({"text": rows, "label": [("money", "cards", "codes")[label] for label in labels]})
    classes = ("cards", "codes", "money")
    return Schema("classification", "text", (Column("text", "text"),), "label", classes), frame


def table(task: str) -> tuple[Schema, pl.DataFrame]:
    generator = np.random.default_rng(1)
    size = generator.normal(size=COUNT)
    colour = generator.choice(["red", "green", "blue"], size=COUNT)
    value = 3 * size + 2 * (colour == "red") + 0.1 * generator.normal(size=COUNT)
    holes = [None if i % 11 == 0 else float(each) for i, each in enumerate(size)]
    output = value if task == "regression" else np.where(value > 0.5, "yes", "no")
    frame = pl.DataFrame({"size": holes, "colour": colour, "flag": size > 1, "label": output})
    columns = (Column("size", "number"), Column("colour", "category"), Column("flag", "boolean"))
    if task == "regression":
        return Schema("regression", "table", columns, "label"), frame
    return Schema("classification", "table", columns, "label", ("no", "yes"), "yes"), frame


def images() -> tuple[Schema, pl.DataFrame]:
    from PIL import Image

    generator = np.random.default_rng(2)
    encoded, labels = [], []
    for number in range(COUNT):
        pixels = generator.integers(0, 80, size=(12, 12), dtype=np.uint8)
        pixels[:, 6 * (number % 2) : 6 * (number % 2) + 6] += 120
        opened = io.BytesIO()
        Image.fromarray(pixels).save(opened, "PNG")
        encoded.append(opened.getvalue())
        labels.append(("left", "right")[number % 2])
    frame = pl.DataFrame({"image": encoded, "label": labels})
    return Schema("classification", "image", (Column("image", "image"),), "label", ("left", "right")), frame


def labels() -> tuple[Schema, pl.DataFrame]:
    generator = np.random.default_rng(3)
    fits_NC = generator.random((COUNT, 3)) < [0.5, 0.4, 0.3]
    rows = [" ".join([*np.array(WORDS[:3])[fits], *generator.choice(WORDS[3:], size=5)]) for fits in fits_NC]
    named = np.array(["money", "cards", "codes"])
    frame = pl.DataFrame({"text": rows, "label": [sorted(named[fits].tolist()) for fits in fits_NC]})
    classes = ("cards", "codes", "money")
    return Schema("multilabel", "text", (Column("text", "text"),), "label", classes), frame


def labelled_table() -> tuple[Schema, pl.DataFrame]:
    schema, frame = table("regression")
    high = pl.col("label") > 0.5
    lists = pl.concat_list(
        pl.when(high).then(pl.lit("high")), pl.when(pl.col("flag")).then(pl.lit("large"))
    ).list.drop_nulls()
    schema = Schema("multilabel", "table", schema.inputs, "label", ("high", "large"))
    return schema, frame.with_columns(lists.alias("label"))


def spans() -> tuple[Schema, pl.DataFrame]:
    generator = np.random.default_rng(4)
    names, places = ("Anna", "Bo Li", "Carl"), ("Rome", "New York")
    texts, cells = [], []
    for _ in range(COUNT):
        parts = [
            ("", str(generator.choice(["Then", "Often"]))),
            ("name", str(generator.choice(names))),
            ("", "sings in"),
        ]
        parts += [("place", str(generator.choice(places))), ("", "now")]
        text, found = "", []
        for label, words in parts:
            if label:
                found.append({"start": len(text), "end": len(text) + len(words), "label": label})
            text += f"{words} "
        texts.append(text)
        cells.append(found)
    frame = pl.DataFrame({"text": texts, "label": pl.Series(cells, dtype=SPANS)})
    return Schema("tagging", "text", (Column("text", "text"),), "label", ("name", "place")), frame


TOYS = {
    "text": texts,
    "table": lambda: table("classification"),
    "number": lambda: table("regression"),
    "image": images,
    "labels": labels,
    "labelled-table": labelled_table,
    "spans": spans,
}


@pytest.fixture(params=[(rung, toy) for rung in RUNGS for toy in TOYS], ids=lambda pair: f"{pair[0]}-{pair[1]}")
def case(request: pytest.FixtureRequest):
    name, toy = request.param
    schema, frame = TOYS[toy]()
    frame = frame.with_columns(pl.Series(POSITION, range(COUNT), dtype=pl.Int64))
    train, rest = frame[:120], frame[120:]
    if schema.task not in RUNGS[name].tasks:
        pytest.skip(f"not made for {schema.task}")
    skipped = RUNGS[name].applies(schema, len(train))
    if skipped:
        pytest.skip(skipped)
    return RUNGS[name], schema, train, rest


def answers(predictions: Predictions) -> np.ndarray:
    """Values, probabilities or, of spans, how sure each is: as many numbers for each text as it has spans."""
    if predictions.spans_N is None:
        return predictions.array
    assert predictions.confidences_N is not None
    pairs = zip(predictions.spans_N, predictions.confidences_N, strict=True)
    assert all(len(spans) == len(shares) for spans, shares in pairs)
    flat = [share for shares in predictions.confidences_N for share in shares]
    assert all(0 <= share <= 1 for share in flat)
    longest = max(map(len, predictions.confidences_N), default=0)
    return np.array([[*shares, *[0.0] * (longest - len(shares))] for shares in predictions.confidences_N])


def test_the_contract_of_a_rung(case, tmp_path: Path) -> None:
    """One fit for all clauses, because fitting is what takes time; each clause says what it holds."""
    rung, schema, train, rest = case
    predictor = rung.fit(schema, train, seed=0)
    found = answers(predictor.predict(rest))
    assert len(found) == len(rest) and np.isfinite(found).all()
    assert predictor.describes, "it says in words how it answers"

    again = answers(rung.fit(schema, train, seed=0).predict(rest))
    np.testing.assert_array_equal(again, found, err_msg="the same train and seed give the same answers")

    truth_N, known_N = targets_N(schema, rest), targets_N(schema, train)
    if schema.task == "regression":
        constant = ((truth_N - known_N.mean()) ** 2).mean()
        assert ((found - truth_N) ** 2).mean() <= constant * 1.001, "at least as good as the mean"
    elif schema.task in ("multilabel", "tagging"):
        constant = RUNGS["constant"].fit(schema, train, seed=0).predict(rest)
        figures = [score("micro_f1", schema, truth_N, each) for each in (predictor.predict(rest), constant)]
        assert figures[0] >= figures[1] and (figures[0] > 0.9 or predictor.kind == "constant")
    else:
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
        majority = np.bincount(known_N).argmax()
        assert (found.argmax(1) == truth_N).mean() >= (truth_N == majority).mean(), "at least the majority"

    save_predictor(predictor, tmp_path / "saved")
    loaded = load_predictor(tmp_path / "saved")
    np.testing.assert_allclose(answers(loaded.predict(rest)), found, atol=1e-6, err_msg="loading changes nothing")
    if schema.task == "tagging":
        assert loaded.predict(rest).array.tolist() == predictor.predict(rest).array.tolist()
    alone = answers(loaded.predict(rest[7:8]))[0]
    np.testing.assert_allclose(
        alone, found[7][: np.size(alone)] if np.ndim(alone) else found[7], atol=1e-5, err_msg="alone as in a crowd"
    )
    allowed = {".json", ".safetensors", ".parquet", ".onnx", ".txt", ".model"}
    assert {path.suffix for path in (tmp_path / "saved").rglob("*") if path.is_file()} <= allowed


def test_a_predictor_survives_what_it_has_not_seen(case) -> None:
    rung, schema, train, rest = case
    if schema.kind == "image":
        pytest.skip("an image is an image")
    predictor = rung.fit(schema, train, seed=0)
    empty = pl.DataFrame({name: [None, None] for name in schema.names})
    assert np.isfinite(answers(predictor.predict(empty))).all()
    strange = pl.DataFrame({name: ["never seen", "42"] for name in schema.names})
    assert np.isfinite(answers(predictor.predict(strange))).all()
    assert len(predictor.predict(rest[:0])) == 0


def test_answers_to_train_come_from_other_folds(case) -> None:
    """With outputs that are pure chance, answers by what has seen an example would beat chance; others cannot.

    Of 120 coin flips an honest guess gets 60 right, standard deviation 5.5: more than 84 (4.4 of them) is memory.
    """
    rung, schema, train, _ = case
    if schema.task not in ("classification", "multilabel") or len(schema.classes) != 2:
        pytest.skip("two classes make the sum easy")
    coins = np.random.default_rng(9).integers(2, size=len(train))
    outputs = [schema.classes[each] for each in coins]
    if schema.task == "multilabel":
        outputs = [[schema.classes[0], each] if each == schema.classes[1] else [schema.classes[0]] for each in outputs]
    flipped = train.with_columns(pl.Series(schema.output, outputs))
    predictor = rung.fit(schema, flipped, seed=0)
    found = rung.answers_to_train(predictor, schema, flipped, np.arange(len(train)) % 5, seed=0)
    answered = found.answered_NC[:, 1] if schema.task == "multilabel" else found.indices_N
    assert (answered == coins).sum() <= 84


def prompts() -> tuple[Schema, pl.DataFrame]:
    """Twenty names are asked for, eight times each in other words."""
    names = [WORDS[n % 10] + WORDS[n // 10] for n in range(20)]
    asked = [f"{WORDS[n % 7]} what of {names[n % 20]} {n}" for n in range(COUNT)]
    frame = pl.DataFrame({"ask": asked, "say": [f"It is {names[n % 20]}." for n in range(COUNT)]})
    return Schema("generation", "text", (Column("ask", "text"),), "say"), frame


def running() -> tuple[Schema, pl.DataFrame]:
    generator = np.random.default_rng(3)
    texts = [" ".join(generator.choice(WORDS, 8)) for _ in range(COUNT)]
    frame = pl.DataFrame({"text": texts, "bytes": [float(len(text)) for text in texts]})
    return Schema("language-modeling", "text", (Column("text", "text"),), "bytes"), frame


TEXTS = {"prompts": (prompts, "token_f1"), "running": (running, "bits_per_byte")}


@pytest.mark.parametrize(("name", "toy"), [(name, toy) for name in RUNGS for toy in TEXTS])
def test_the_contract_of_a_rung_whose_answers_or_questions_are_texts(name: str, toy: str, tmp_path: Path) -> None:
    make, metric = TEXTS[toy]
    schema, frame = make()
    if schema.task not in RUNGS[name].tasks:
        pytest.skip(f"not made for {schema.task}")
    train, rest = frame[:120], frame[120:]
    fit = RUNGS[name].fit
    predictor = fit(schema, train, seed=0)
    found = predictor.predict(rest)
    assert len(found) == len(rest)
    assert predictor.describes, "it says in words how it answers"
    assert fit(schema, train, seed=0).predict(rest).array.tolist() == found.array.tolist(), "the same train, the same"

    truth_N, sign = targets_N(schema, rest), 1 if find(metric).higher_is_better else -1
    constant = RUNGS["constant"].fit(schema, train, seed=0).predict(rest)
    assert sign * (score(metric, schema, truth_N, found) - score(metric, schema, truth_N, constant)) >= 0
    fold_N = np.arange(len(train)) % 5
    folded = RUNGS[name].answers_to_train(predictor, schema, train, fold_N, seed=0)
    assert len(folded) == len(train)

    save_predictor(predictor, tmp_path / "saved")
    loaded = load_predictor(tmp_path / "saved")
    assert loaded.predict(rest).array.tolist() == found.array.tolist(), "loading changes nothing"
    alone = loaded.predict(rest[7:8]).array
    assert alone[0] == (found.array[7] if schema.task == "generation" else pytest.approx(found.array[7])), "alone"
    allowed = {".json", ".safetensors", ".parquet", ".onnx", ".txt", ".model"}
    assert {path.suffix for path in (tmp_path / "saved").rglob("*") if path.is_file()} <= allowed
    empty = pl.DataFrame({column: [None, None] for column in schema.names})
    assert len(predictor.predict(empty)) == 2


@pytest.mark.parametrize("name", LANGUAGE_MODEL_RUNGS)
def test_the_contract_of_a_rung_that_asks_a_language_model(name: str, knowing_model: Path, tmp_path: Path) -> None:
    """Nothing is learnt from train, so nothing says that it beats a constant; all else holds as for the others."""
    rung = LANGUAGE_MODEL_RUNGS[name](knowing_model)
    (task,) = rung.tasks
    schema, frame = next(made for made, _ in TEXTS.values() if made()[0].task == task)()
    train, rest = frame[:120], frame[120:]
    assert rung.applies(schema, len(train)) is None and rung.seconds(schema, train) < 60
    predictor = rung.fit(schema, train, seed=0)
    assert rung.judging_seconds is not None and 0 < rung.judging_seconds(predictor, rest, 600.0) < 600
    found = predictor.predict(rest)
    assert len(found) == len(rest)
    assert "as it is" in predictor.describes
    assert rung.fit(schema, train, seed=0).predict(rest).array.tolist() == found.array.tolist(), "the same again"

    save_predictor(predictor, tmp_path / "saved")
    loaded = load_predictor(tmp_path / "saved")
    assert loaded.predict(rest).array.tolist() == found.array.tolist(), "loading changes nothing"
    alone = loaded.predict(rest[7:8]).array
    assert alone[0] == (found.array[7] if schema.task == "generation" else pytest.approx(found.array[7])), "alone"
    allowed = {".json", ".safetensors"}
    assert {path.suffix for path in (tmp_path / "saved").rglob("*") if path.is_file()} <= allowed
    empty = pl.DataFrame({column: [None, None] for column in schema.names})
    assert len(predictor.predict(empty)) == 2 and len(predictor.predict(rest[:0])) == 0

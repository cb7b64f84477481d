"""What every rung must hold, by being listed in RUNGS."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import targets_N
from modelwright.evaluation.metrics import find, score
from modelwright.ladder.rungs import RUNGS
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


TOYS = {
    "text": texts,
    "table": lambda: table("classification"),
    "number": lambda: table("regression"),
    "image": images,
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
    return predictions.values_N if predictions.values_N is not None else predictions.probabilities_NC


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
    else:
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
        majority = np.bincount(known_N).argmax()
        assert (found.argmax(1) == truth_N).mean() >= (truth_N == majority).mean(), "at least the majority"

    save_predictor(predictor, tmp_path / "saved")
    loaded = load_predictor(tmp_path / "saved")
    np.testing.assert_allclose(answers(loaded.predict(rest)), found, atol=1e-6, err_msg="loading changes nothing")
    np.testing.assert_allclose(
        answers(loaded.predict(rest[7:8]))[0], found[7], atol=1e-5, err_msg="alone as in a crowd"
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
    if schema.task == "regression" or len(schema.classes) != 2:
        pytest.skip("two classes make the sum easy")
    coins = np.random.default_rng(9).integers(2, size=len(train))
    flipped = train.with_columns(pl.Series(schema.output, [schema.classes[each] for each in coins]))
    predictor = rung.fit(schema, flipped, seed=0)
    found = rung.answers_to_train(predictor, schema, flipped, np.arange(len(train)) % 5, seed=0)
    assert (found.indices_N == coins).sum() <= 84


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

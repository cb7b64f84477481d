"""The kernel on edges: what it sees, what it does not, and what it chooses."""

import io
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from modelwright.data.parts import targets_N
from modelwright.models.features.images import Gradients, gradients_NF
from modelwright.models.fitting.folds import folds_N
from modelwright.models.fitting.kernel import fit_kernel
from modelwright.models.predictors import load_predictor, save_predictor
from modelwright.records import Column, Schema

BARS = Schema("classification", "image", (Column("image", "image"),), "label", ("one", "two"))


def encoded(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def bars(count: int, seed: int = 0) -> pl.DataFrame:
    """One or two bars, upright or lying, of any colour on any other."""
    generator = np.random.default_rng(seed)
    images, labels = [], []
    for number in range(count):
        pixels = np.tile(generator.integers(0, 255, 3), (32, 32, 1)).astype(np.uint8)
        colour = generator.integers(0, 255, 3).astype(np.uint8)
        for place in ((14,), (8, 20))[number % 2]:
            pixels[6:26, place + generator.integers(-1, 2) : place + 5] = colour
        images.append(encoded(np.rot90(pixels, generator.integers(4)).copy()))
        labels.append(("one", "two")[number % 2])
    return pl.DataFrame({"image": images, "label": labels})


def test_shapes_are_told_apart_however_they_are_turned_and_coloured(tmp_path: Path) -> None:
    train, fresh = bars(160), bars(200, seed=1)
    model = fit_kernel(BARS, train, seed=0)
    right = float((model.predict(fresh).indices_N == targets_N(BARS, fresh)).mean())
    assert right > 0.9
    save_predictor(model, tmp_path)
    again = load_predictor(tmp_path).predict(fresh).probabilities_NC
    np.testing.assert_allclose(again, model.predict(fresh).probabilities_NC, atol=1e-6)


def test_answers_out_of_fold_are_honest() -> None:
    """Labels drawn at random cannot be foretold, although the model has seen them all."""
    train = bars(160).with_columns(pl.Series("label", np.random.default_rng(3).choice(["one", "two"], 160)))
    model = fit_kernel(BARS, train, seed=0)
    truth_N = targets_N(BARS, train)
    found = model.out_of_fold(folds_N(truth_N, 5, seed=0, stratified=True))
    assert 0.3 < float((found.indices_N == truth_N).mean()) < 0.68


def test_a_value_is_foretold_too() -> None:
    generator = np.random.default_rng(0)
    lengths = generator.integers(4, 40, 200)
    images = []
    for length in lengths:
        pixels = np.zeros((48, 48, 3), np.uint8)
        pixels[20:26, 2 : 2 + length] = 255
        images.append(encoded(pixels))
    frame = pl.DataFrame({"image": images, "label": lengths.astype(float)})
    schema = Schema("regression", "image", (Column("image", "image"),), "label")
    model = fit_kernel(schema, frame[:150], seed=0)
    answers = model.predict(frame[150:]).values_N
    assert answers is not None
    assert np.abs(answers - lengths[150:]).mean() < 3


def test_an_edge_between_colours_of_one_brightness_is_seen() -> None:
    pixels = np.zeros((1, 48, 48, 3), np.float32)
    pixels[:, :, :24, 0] = 0.6
    pixels[:, :, 24:, 1] = 0.6
    assert gradients_NF(pixels).sum() > 1
    assert gradients_NF(np.repeat(pixels.mean(axis=3, keepdims=True), 3, axis=3)).sum() == 0


def test_the_views_of_an_image() -> None:
    frame = bars(3)
    views = Gradients("image").views(frame, 8)
    assert len(views) == 8
    np.testing.assert_array_equal(views[0], Gradients("image").transform(frame))
    assert len({view[0].tobytes() for view in views}) > 1

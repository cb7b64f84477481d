"""The kernel on edges: what it sees, what it does not, and what it chooses."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from modelwright.data.parts import targets_N
from modelwright.models.features import images
from modelwright.models.features.images import Gradients, gradients_NF, seen_from
from modelwright.models.fitting import kernel
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
    encoder = Gradients("image")
    views = encoder.views(frame, 8)
    assert next(views).tolist() == encoder.transform(frame).tolist()
    assert len({view[0].tobytes() for view in views}) > 1
    pixels_SSC = np.random.default_rng(0).random((48, 48, 3))
    seen = [seen_from(pixels_SSC[None], view)[0] for view in range(8)]
    np.testing.assert_array_equal(seen[1], pixels_SSC[:, ::-1])
    np.testing.assert_array_equal(seen[4], pixels_SSC[::-1, ::-1])
    assert len({each.tobytes() for each in seen}) == 8


def test_gradients_are_the_same_of_many_images_and_of_few() -> None:
    pixels_NSSC = np.random.default_rng(0).random((300, 48, 48, 3), dtype=np.float32)
    found_NF = gradients_NF(pixels_NSSC)
    assert found_NF.shape == (300, 900)
    np.testing.assert_array_equal(found_NF[250:262], gradients_NF(pixels_NSSC[250:262]))


def test_one_view_at_a_time_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 images only the 50 on which is tried are seen from all sides, and 40 landmarks with them."""
    read: list[int] = []

    def counted(pixels_NSSC: np.ndarray) -> np.ndarray:
        read.append(len(pixels_NSSC))
        return gradients_NF(pixels_NSSC)

    for name, most in (("TRIED", 50), ("MOST", 40)):
        monkeypatch.setattr(kernel, name, most)
    for room in (kernel, images):
        monkeypatch.setattr(room, "gradients_NF", counted)
    model = fit_kernel(BARS, bars(200), seed=0)
    views = model._landmarks.views
    assert read == [50] * 8 + [40] * 4 + [200] * views

"""Images: from scratch by catalogue name, and fine-tuned from a folder in hub layout."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import read_part
from modelwright.errors import InputError, RefusedError
from modelwright.models import image
from modelwright.models.image import decode, pixel_bytes, pixels_of, side_for, vary
from modelwright.models.predictors import load_predictor
from modelwright.models.variation import seed_variation
from modelwright.problem import parse
from modelwright.records import POSITION, Column, Dataset, Schema, Seal
from modelwright.training import fit
from modelwright.training.fit import images_fit
from modelwright.training.plan import plan
from modelwright.training.train import train


def png(pixels: np.ndarray, mode: str = "L") -> bytes:
    from PIL import Image

    opened = io.BytesIO()
    Image.fromarray(pixels, mode=None).convert(mode).save(opened, "PNG")
    return opened.getvalue()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Sixty images of two classes: the left or the right half is bright."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    images, labels = [], []
    for number in range(60):
        pixels = generator.integers(0, 80, size=(16, 16), dtype=np.uint8)
        side = number % 2
        pixels[:, 8 * side : 8 * side + 8] += 120
        images.append(png(pixels))
        labels.append(("left", "right")[side])
    frame = pl.DataFrame({POSITION: np.arange(60), "image": images, "label": labels})
    frame[:48].write_parquet(folder / "train.parquet")
    frame[48:].write_parquet(folder / "validation.parquet")
    schema = Schema("classification", "image", (Column("image", "image"),), "label", ("left", "right"))
    parts = {"train": 48, "validation": 12, "test": 0}
    return Dataset("d", str(folder), schema, parts, schema.classes, {}, (), Seal(0, 0, 20), "", "", "", 0.0)


@pytest.fixture(scope="module")
def tiny_resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ResNetConfig, ResNetModel

    folder = tmp_path_factory.mktemp("tiny-resnet")
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("base", ["resnet-small", "vit-small", "folder"])
def test_each_family_learns_and_is_loaded_again(base: str, dataset: Dataset, tiny_resnet: Path, tmp_path: Path) -> None:
    problem, _ = parse(
        {
            "name": "halves",
            "output": "label",
            "data": {"source": "none"},
            "model": {"base": str(tiny_resnet) if base == "folder" else base},
            "training": {"epochs": 6, "batch_size": 16, "learning_rate": 0.002},
        }
    )
    made = plan(dataset, problem, folder=tmp_path, metric="accuracy", budget_seconds=600)
    assert made.method == ("full" if base == "folder" else "scratch")
    run = train(dataset, made, metric="accuracy", folder=tmp_path / "run", project=tmp_path, budget_seconds=600)
    assert run.validation["accuracy"].value > 0.8
    validation = read_part(dataset, "validation")
    predictor = load_predictor(tmp_path / "run/predictor")
    whole, alone = predictor.predict(validation), predictor.predict(validation[5:6])
    np.testing.assert_allclose(alone.probabilities_NC[0], whole.probabilities_NC[5], atol=1e-5)


def test_a_transparent_image_lies_on_white() -> None:
    """A fully transparent black pixel is white once it lies on white: 255 in every channel."""
    from PIL import Image

    opened = io.BytesIO()
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(opened, "PNG")
    assert (decode(opened.getvalue(), 4) == 255).all()


def test_a_wide_image_keeps_its_shape_by_padding() -> None:
    """An image of 8 x 4 white pixels in a square of 8: two empty lines above and two below."""
    found = decode(png(np.full((4, 8), 255, dtype=np.uint8)), 8)
    assert (found[:, :2] == 0).all() and (found[:, 6:] == 0).all() and (found[:, 3:5] == 255).all()


def test_a_broken_image_is_named(dataset: Dataset) -> None:
    broken = pl.DataFrame({"image": [b"no image"]})
    with pytest.raises(InputError, match="image 0"):
        pixels_of(dataset.schema, broken, size=32)


def test_the_side_follows_the_images(dataset: Dataset) -> None:
    """Sixteen pixels are below the least side of 32; 40 are rounded up to 48; 500 are over the most."""
    assert side_for(dataset.schema, read_part(dataset, "train"), most=64) == 32
    for side, expected in ((40, 48), (500, 64)):
        frame = pl.DataFrame({"image": [png(np.zeros((side, side), dtype=np.uint8))]})
        assert side_for(dataset.schema, frame, most=64) == expected


def test_variation_is_drawn_from_the_seed_and_stays_in_range() -> None:
    import torch

    pixels = torch.rand(4, 3, 32, 32)
    seed_variation(5)
    first = vary(pixels)
    torch.rand(3)  # what else is random in a step
    seed_variation(5)
    assert torch.equal(first, vary(pixels))
    assert not torch.equal(first, vary(pixels))
    assert first.min() >= 0 and first.max() <= 1


def test_images_that_do_not_fit_are_refused_before_any_is_decoded(
    dataset: Dataset, tiny_resnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """48 + 12 images of 224 squared: 3 x 224 x 224 = 150,528 bytes each. While the scale is measured the 48 take eight
    more: 9 x 48 x 150,528 = 65.0 MB, of 72 MB 0.9 may be used, 64.8. At 32 pixels they take 9 x 48 x 3,072 = 1.3 MB."""
    train_part, validation = read_part(dataset, "train"), read_part(dataset, "validation")
    named = {"base": tiny_resnet, "size": 224}
    images_fit(dataset.schema, train_part, validation, free=73_000_000, **named)
    monkeypatch.setattr(image, "decode", lambda *given: pytest.fail("an image was decoded"))
    with pytest.raises(RefusedError) as refused:
        images_fit(dataset.schema, train_part, validation, free=72_000_000, **named)
    said = "about 59 images; model.base: resnet-small, which reads them at 32 x 32 pixels"
    assert str(refused.value).endswith(f"What would fit: {said}")
    monkeypatch.setattr(fit, "free_bytes", lambda: 1_000_000)
    problem, _ = parse({"name": "h", "output": "label", "data": {"source": "none"}, "model": {"base": "resnet-small"}})
    with pytest.raises(RefusedError, match=r"60 images of 32 x 32 pixels need about 0\.0 GB.*about 40 images$"):
        plan(dataset, problem, folder=tmp_path, metric="accuracy", budget_seconds=600)


def test_as_many_bytes_are_counted_as_images_take(dataset: Dataset) -> None:
    import tracemalloc

    train_part = read_part(dataset, "train")
    tracemalloc.start()
    found = pixels_of(dataset.schema, train_part, size=96)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.values_NCHW.nbytes == 48 * 3 * 96 * 96
    assert peak == pytest.approx(pixel_bytes(48, size=96), rel=0.1)

"""Images: from scratch by catalogue name, and fine-tuned from a folder in hub layout."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import read_part
from modelwright.errors import InputError, RefusedError
from modelwright.models import image
from modelwright.models.image import decode, pixel_bytes, pixels_of, scale_of, side_for, vary
from modelwright.models.predictors import load_predictor
from modelwright.models.predictors.transformer import Transformer
from modelwright.models.variation import seed_variation
from modelwright.problem import Problem, parse
from modelwright.records import POSITION, Column, Dataset, Schema, Seal, Setting
from modelwright.training import consider, fit
from modelwright.training.fit import images_fit
from modelwright.training.job import build
from modelwright.training.plan import plan
from modelwright.training.rules import image_size
from modelwright.training.rules import sizes as sizes_of
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


def answers_of_transformers(folder: Path, images: list[bytes]) -> np.ndarray:
    """What plain transformers and the head make of image files, with the preprocessor that lies beside the weights."""
    import torch
    from PIL import Image
    from safetensors.torch import load_file
    from transformers import AutoImageProcessor, AutoModel

    opened = [Image.open(io.BytesIO(each)) for each in images]
    inputs = AutoImageProcessor.from_pretrained(folder)(opened, return_tensors="pt")
    head = load_file(folder / "head.safetensors")
    with torch.no_grad():
        found = AutoModel.from_pretrained(folder).eval()(**inputs)
        pooled = found.last_hidden_state[:, 0] if found.last_hidden_state.dim() == 3 else found.pooler_output.flatten(1)
        answers: np.ndarray = torch.nn.functional.linear(pooled, head["weight"], head["bias"]).numpy()
    return answers


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
    assert isinstance(predictor, Transformer)
    saved = next((tmp_path / "run/predictor").rglob("model.safetensors")).parent
    said = predictor.outputs(predictor.prepare(validation))
    np.testing.assert_allclose(answers_of_transformers(saved, validation["image"].to_list()), said, atol=1e-4)
    side = made.settings["image_size"].value
    assert image_size(dataset.schema, None, saved) == Setting(side, "the model's own")
    settings = {name: each.value for name, each in made.settings.items()}
    job = build(dataset.schema, validation, validation, base=saved, settings=settings)
    assert job.predictor.preparation.mean_C == pytest.approx(predictor.preparation.mean_C)
    assert job.predictor.outputs(job.validation.features).shape == (12, 2)


def test_a_pre_trained_model_is_shown_what_it_was_trained_on(dataset: Dataset, tmp_path: Path) -> None:
    """A vision transformer of 32 pixels can read no others; a ResNet can, and its preprocessor says 48."""
    from transformers import (
        ConvNextImageProcessorPil,
        ResNetConfig,
        ResNetModel,
        ViTConfig,
        ViTImageProcessorPil,
        ViTModel,
    )

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ViTModel(ViTConfig(**sizes, image_size=32, patch_size=8)).save_pretrained(tmp_path / "vit")
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1])).save_pretrained(tmp_path / "resnet")
    scale = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    ConvNextImageProcessorPil(size={"shortest_edge": 48}, **scale).save_pretrained(tmp_path / "resnet")
    problem, _ = parse({"name": "h", "output": "label", "data": {"source": "none"}})
    train_part, validation = read_part(dataset, "train"), read_part(dataset, "validation")
    for name, side, mean_C in (("vit", 32, (0.5, 0.5, 0.5)), ("resnet", 48, (0.485, 0.456, 0.406))):
        settings = sizes_of(dataset.schema, train_part, problem, tmp_path / name, "full")
        assert settings["image_size"] == Setting(side, "the model's own")
        chosen = {key: each.value for key, each in settings.items()}
        job = build(dataset.schema, train_part, validation, base=tmp_path / name, settings=chosen)
        assert job.predictor.preparation.mean_C == pytest.approx(mean_C)
        assert job.predictor.outputs(job.validation.features).shape == (12, 2)


@pytest.fixture(scope="module")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny-vit")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    ViTModel(ViTConfig(**sizes, image_size=224, patch_size=56)).save_pretrained(folder)
    return folder


def adapting(base: Path, method: str, precision: str) -> Problem:
    found, _ = parse(
        {
            "name": "halves",
            "output": "label",
            "data": {"source": "none"},
            "model": {"base": str(base), "method": method},
            "training": {"epochs": 20, "batch_size": 16, "learning_rate": 0.005, "precision": precision},
        }
    )
    return found


@pytest.mark.parametrize(("method", "precision"), [("lora", "fp32"), ("lora", "bf16"), ("qlora", "fp32")])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_adapters_of_a_vision_transformer_open_elsewhere(
    method: str, precision: str, dataset: Dataset, tiny_vit: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    if method == "qlora":
        pytest.importorskip("bitsandbytes")
    import torch
    from peft import PeftModel
    from transformers import AutoModel

    problem = adapting(tiny_vit, method, precision)
    made = plan(dataset, problem, folder=tmp_path, metric="log_loss", budget_seconds=600)
    assert made.method == method and made.settings["rank"].value == 16
    made = replace(made, settings={**made.settings, "head": Setting("random", "a fitted one leaves nothing to learn")})
    run = train(dataset, made, metric="log_loss", folder=tmp_path / "run", project=tmp_path, budget_seconds=600)
    assert run.best_step > 0 and run.validation["accuracy"].value > 0.8
    validation = read_part(dataset, "validation")
    answers = load_predictor(tmp_path / "run/predictor").predict(validation)
    assert (answers.indices_N == [("left", "right").index(each) for each in validation["label"]]).mean() > 0.8
    adapted = PeftModel.from_pretrained(AutoModel.from_pretrained(tiny_vit), tmp_path / "run/adapters").eval()
    plain = AutoModel.from_pretrained(next((tmp_path / "run/predictor").rglob("model.safetensors")).parent).eval()
    pixels_NCHW = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        first, second = adapted(pixels_NCHW).last_hidden_state, plain(pixels_NCHW).last_hidden_state
        before = AutoModel.from_pretrained(tiny_vit).eval()(pixels_NCHW).last_hidden_state
    torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)
    assert (before - second).abs().max() > 1e-2, "the adapters moved nothing"


def test_convolutions_have_no_place_for_adapters(
    dataset: Dataset, tiny_resnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bare network, and one with the linear layer over ImageNet's classes, which is left off."""
    from transformers import ResNetConfig, ResNetForImageClassification

    monkeypatch.setattr(consider, "missing", lambda method: "")
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetForImageClassification(config).save_pretrained(tmp_path / "with-classes")
    for base in (tiny_resnet, tmp_path / "with-classes"):
        with pytest.raises(RefusedError, match=r"made of convolutions.*set model\.method to full"):
            plan(dataset, adapting(base, "lora", "fp32"), folder=tmp_path, metric="accuracy", budget_seconds=600)


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
    """48 + 12 images of 224 squared, and the 48 once more that are watched: 108 of 3 x 224 x 224 = 150,528 bytes are
    16.26 MB. Of 18.1 MB 0.9 may be used, 16.29; of 18 MB 16.2, enough for 59 of the 60. At 32 pixels each takes 3,072
    bytes, all 0.33 MB; of 0.3 MB 0.27 are enough for 48 of the 60."""
    train_part, validation = read_part(dataset, "train"), read_part(dataset, "validation")
    named = {"base": tiny_resnet, "size": 224}
    images_fit(dataset.schema, train_part, validation, free=18_100_000, **named)
    monkeypatch.setattr(image, "decode", lambda *given: pytest.fail("an image was decoded"))
    with pytest.raises(RefusedError) as refused:
        images_fit(dataset.schema, train_part, validation, free=18_000_000, **named)
    said = "about 59 images; model.base: resnet-small, which reads them at 32 x 32 pixels"
    assert str(refused.value).endswith(f"What would fit: {said}")
    monkeypatch.setattr(fit, "free_bytes", lambda: 300_000)
    problem, _ = parse({"name": "h", "output": "label", "data": {"source": "none"}, "model": {"base": "resnet-small"}})
    with pytest.raises(RefusedError, match=r"60 images of 32 x 32 pixels need about 0\.0 GB.*about 48 images$"):
        plan(dataset, problem, folder=tmp_path, metric="accuracy", budget_seconds=600)


def test_as_many_bytes_are_counted_as_images_take(dataset: Dataset) -> None:
    import tracemalloc

    train_part = read_part(dataset, "train")
    tracemalloc.start()
    found = pixels_of(dataset.schema, train_part, size=96)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.values_NCHW.nbytes == pixel_bytes(48, size=96) == 48 * 3 * 96 * 96
    counted = 16 * 96 * 96 * (8 + 1)  # while values of a channel are counted: as bytes in a row, and as integers
    assert found.values_NCHW.nbytes < peak < found.values_NCHW.nbytes + 1.2 * counted


def test_the_scale_is_that_of_every_pixel() -> None:
    """numpy's mean and deviation of all values at once; 37 images, so that the last of the slices is a short one."""
    values = np.random.default_rng(1).integers(0, [[[[256]], [[90]], [[9]]]], (37, 3, 8, 8), dtype=np.uint8)
    mean_C, deviation_C = scale_of(values)
    np.testing.assert_allclose(mean_C, (values / 255).mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(deviation_C, (values / 255).std(axis=(0, 2, 3)), rtol=1e-12)
    assert scale_of(np.full((2, 3, 4, 4), 51, np.uint8))[1].tolist() == [0.001] * 3

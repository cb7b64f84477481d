"""What a pre-trained image model says that it was shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelwright.errors import InputError
from modelwright.models.preprocessor import own_scale, own_side


@pytest.mark.parametrize(
    ("config", "said", "side"),
    [
        ({"image_size": 384}, {"size": 224}, 384),
        ({"image_size": [48, 48]}, {}, 48),
        ({}, {"size": 96}, 96),
        ({}, {"size": {"height": 96, "width": 96}}, 96),
        ({}, {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": {"height": 240, "width": 240}}, 240),
        ({}, {"size": {"shortest_edge": 256}, "do_center_crop": False, "crop_size": 240}, 256),
        ({}, {"size": {"shortest_edge": 480, "longest_edge": 640}}, None),
        ({}, {}, None),
    ],
)
def test_the_size_that_a_model_was_trained_on(
    config: dict[str, Any], said: dict[str, Any], side: int | None, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    assert own_side(tmp_path) == side


def test_a_model_of_images_that_are_not_square_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"image_size": [32, 64]}')
    with pytest.raises(InputError, match=r"32 x 64 pixels.*square"):
        own_side(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        own_side(tmp_path)


@pytest.mark.parametrize(
    ("said", "mean", "deviation"),
    [
        ({"image_mean": [0.5, 0.4, 0.3], "image_std": 0.25}, (0.5, 0.4, 0.3), 0.25),
        ({"image_mean": 0.5, "image_std": 0.25, "do_normalize": False}, (0.0,) * 3, 1.0),
        ({"image_mean": [51.0] * 3, "image_std": [127.5] * 3, "do_rescale": False}, (0.2,) * 3, 0.5),
        ({"image_mean": [0.4] * 3, "image_std": [1.0] * 3, "rescale_factor": 2 / 255}, (0.2,) * 3, 0.5),
    ],
)
def test_the_scale_that_a_model_was_trained_on(
    said: dict[str, Any], mean: tuple[float, ...], deviation: float, tmp_path: Path
) -> None:
    """(255 f x - m) / s is (x - m / 255 f) / (s / 255 f): without a rescaling f is 1, and 51 / 255 = .2; at f = 2 / 255
    the network sees 0 to 2, and .4 of these is .2 of 1."""
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    found = own_scale(tmp_path)
    assert found is not None
    np.testing.assert_allclose(found[0], mean)
    np.testing.assert_allclose(found[1], [deviation] * 3)


def test_a_scale_that_is_none_is_named_and_one_that_is_not_said_is_measured(tmp_path: Path) -> None:
    assert own_scale(tmp_path) is None
    for mean, deviation in (([0.5, 0.5], 1), ("x", 1), (0.5, 0), (0.5, [1, 1, None])):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": mean, "image_std": deviation}))
        with pytest.raises(InputError, match="three numbers"):
            own_scale(tmp_path)

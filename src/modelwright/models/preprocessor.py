"""What an image model is shown, in the words of transformers' `preprocessor_config.json`: read, and written.

Letters: C the channels red, green and blue.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelwright.errors import Fault, InputError

FILE = "preprocessor_config.json"
WHITE = 255


def own_side(folder: Path) -> int | None:
    """The side in pixels of the images that the model in `folder` was trained on, None where it does not say.

    The network's configuration counts first: where positions are learnt it can read no other size.

    Raises:
        InputError: its images are not square, or a file is not JSON.
    """
    config, said = _read(folder / "config.json"), _read(folder / FILE)
    sides = _sides(config.get("image_size"))
    if len(sides) > 1:
        found = f"{folder} reads images of {' x '.join(map(str, sides))} pixels"
        raise InputError(Fault("model.base", found, "a model of square images"))
    if not sides:
        sides = _sides(said.get("crop_size") if said.get("do_center_crop") else None) or _sides(said.get("size"))
    return sides[0] if len(sides) == 1 else None


def own_scale(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and deviation per channel, on a scale of 0 to 1, by which the model in `folder` has its images standardised.

    None where it does not say.

    Raises:
        InputError: they are no such numbers, or the file is not JSON.
    """
    said = _read(folder / FILE)
    mean, deviation = said.get("image_mean"), said.get("image_std")
    if said.get("do_normalize") is False:
        mean, deviation = 0.0, 1.0
    if mean is None or deviation is None:
        return None
    factor = said.get("rescale_factor", 1 / WHITE) if said.get("do_rescale", True) else 1
    try:
        mean_C, deviation_C = (np.broadcast_to(np.asarray(each, float), 3) for each in (mean, deviation))
        white = WHITE * float(factor)
        if not (np.isfinite(mean_C).all() and (deviation_C > 0).all() and white > 0):
            raise ValueError
    except (TypeError, ValueError):
        found = f"image_mean {mean} and image_std {deviation}"
        raise InputError(Fault(str(folder / FILE), found, "three numbers each, those of image_std over 0")) from None
    return mean_C / white, deviation_C / white


def save_preprocessor(folder: Path, *, side: int, mean_C: Sequence[float], deviation_C: Sequence[float]) -> None:
    """Write into `folder` how an image becomes numbers, as transformers' `ViTImageProcessor` does the same.

    For a square image it is the same; that others are padded to squares with black is more than its words can say.
    """
    said = {
        "image_processor_type": "ViTImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": side, "width": side},
        "resample": 2,  # bilinear, as Pillow counts
        "do_rescale": True,
        "rescale_factor": 1 / WHITE,
        "do_normalize": True,
        "image_mean": list(mean_C),
        "image_std": list(deviation_C),
    }
    (folder / FILE).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def _sides(said: Any) -> list[int]:
    """The different numbers in a size: of one side, of two in a list, or of some in an object."""
    values = said.values() if isinstance(said, dict) else said if isinstance(said, list) else [said]
    return list(dict.fromkeys(each for each in values if isinstance(each, int) and each > 0))


def _read(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(Fault(str(path), f"is not JSON: {error}", "the file that came with the model")) from error
    return found if isinstance(found, dict) else {}

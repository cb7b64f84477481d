"""An opened image as everything here looks at it: the ladder, the networks, the report."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

WHITE_16 = 65_535
"""White where a grey value has sixteen bits."""


def upright(image: Image.Image) -> Image.Image:
    """`image` in eight bits of red, green and blue: turned as its camera says, laid on white where transparent.

    Args:
        image: As Pillow opened it, after a `draft` if there is one; it is loaded, and turned in place.

    Raises:
        OSError, ValueError, SyntaxError: it is broken; Pillow's decoders may raise others on hostile bytes.
    """
    from PIL import ImageOps

    image.load()
    with suppress(Exception):  # a camera's notes that cannot be read say nothing against the pixels
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    elif image.has_transparency_data:
        image = _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of more than eight bits, from the black to the white of its type.

    Whole numbers go from 0 to 65,535, fractions from 0 to 1. An image that holds more is its own measure: what is
    brighter is white, what is below 0 black, and whole numbers with signs are white at their brightest. What is no
    number is black.
    """
    from PIL import Image

    values_HW = np.asarray(image).astype(np.float32)
    known = values_HW[np.isfinite(values_HW)]
    black = float(known.min(initial=0))
    white = float(known.max(initial=1 if image.mode == "F" or black < 0 else WHITE_16))
    scale = 255 / (white - black)
    grey_HW = np.rint(np.nan_to_num(np.clip(values_HW * scale - black * scale, 0, 255))).astype(np.uint8)
    if isinstance(clear := image.info.get("transparency"), int):
        grey_HW[values_HW == clear] = 255
    return Image.fromarray(grey_HW)


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode == "La":  # grey that is multiplied by its alpha: Pillow goes no other way from it
        image = image.convert("LA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))

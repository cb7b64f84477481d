"""Small images as pixels and gradients.

Dimensions: N images, S the side in pixels, C colour channels, B gradient directions.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from modelwright.data.upright import upright
from modelwright.models.features.frame import column_of
from modelwright.models.features.stored import State

SIDE, COARSE = 48, 16
"""Pixels on a side for gradients, and for the pixels themselves."""
DIRECTIONS = 9
CELL = 8
"""Cells of 8 x 8 pixels and 9 unsigned directions: Dalal & Triggs 2005, section 6.4. At 48 pixels these tell shapes
apart better than cells of 4 at 32 (a kernel on them: .76 against .62 on drawn shapes, .93 against .91 on signs)."""
VIEWS = (1, 2, 8)
"""Of an image: as it is; mirrored too; turned by quarters too."""
AT_ONCE = 256
"""Images whose gradients are taken together: on the way these take eight times what their pixels do. Chosen."""


def pixels_NSSC(cells: Sequence[bytes | None], side: int) -> np.ndarray:
    """The images, `upright`, scaled to `side` squared: red, green and blue, float32 in [0, 1].

    What is no image (null, not decodable) is mid-grey.
    """
    from PIL import Image

    pixels = np.full((len(cells), side, side, 3), 0.5, dtype=np.float32)
    for position, cell in enumerate(cells):
        if not isinstance(cell, bytes):
            continue
        try:
            with Image.open(io.BytesIO(cell)) as image:
                image.draft("RGB", (side * 2, side * 2))
                small = upright(image).resize((side, side), Image.Resampling.BOX)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
        pixels[position] = np.asarray(small, dtype=np.float32) / 255
    return pixels


def gradients_NF(pixels_NSSC: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients, normalised over blocks of 2 x 2 cells (Dalal & Triggs 2005).

    Each pixel votes with the colour channel that changes most there: an edge between a red and a green of one
    brightness is none in grey.
    """
    firsts = range(0, len(pixels_NSSC), AT_ONCE)
    return np.concatenate([_gradients_NF(pixels_NSSC[first : first + AT_ONCE]) for first in firsts])


def seen_from(pixels_NSSC: np.ndarray, view: int) -> np.ndarray:
    """The images in one of eight views: as they are, mirrored, and both turned by quarters."""
    quarters, mirrored = divmod(view, 2)
    return np.rot90(pixels_NSSC[:, :, ::-1] if mirrored else pixels_NSSC, quarters, axes=(1, 2))


def views_of(pixels_NSSC: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """The gradients (N, F) of the images in each of the first `count` views, one after the other."""
    return (gradients_NF(seen_from(pixels_NSSC, view)) for view in range(count))


def _gradients_NF(pixels_NSSC: np.ndarray) -> np.ndarray:
    down_NSSC, across_NSSC = np.gradient(pixels_NSSC, axis=(1, 2))
    strength_NSSC = np.hypot(down_NSSC, across_NSSC)
    chosen_NSS1 = strength_NSSC.argmax(axis=3)[..., None]
    down_NSS, across_NSS, strength_NSS = (
        np.take_along_axis(each, chosen_NSS1, axis=3)[..., 0] for each in (down_NSSC, across_NSSC, strength_NSSC)
    )
    place_NSS = (np.arctan2(down_NSS, across_NSS) % np.pi) / np.pi * DIRECTIONS
    lower_NSS = np.floor(place_NSS).astype(np.int64) % DIRECTIONS
    share_NSS = place_NSS - np.floor(place_NSS)
    count, side, _ = strength_NSS.shape
    cells = side // CELL
    cells_NCCB = np.zeros((count, cells, cells, DIRECTIONS), dtype=np.float32)
    for direction in range(DIRECTIONS):
        voted = strength_NSS * (
            np.where(lower_NSS == direction, 1 - share_NSS, 0)
            + np.where((lower_NSS + 1) % DIRECTIONS == direction, share_NSS, 0)
        )
        whole = voted[:, : cells * CELL, : cells * CELL]
        cells_NCCB[..., direction] = whole.reshape(count, cells, CELL, cells, CELL).sum(axis=(2, 4))
    corners = (cells_NCCB[:, :-1, :-1], cells_NCCB[:, :-1, 1:], cells_NCCB[:, 1:, :-1], cells_NCCB[:, 1:, 1:])
    blocks = np.concatenate(corners, axis=-1)
    blocks /= np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + 1e-3)
    return blocks.reshape(count, -1)


@dataclass(frozen=True, slots=True)
class Images:
    """An image column as standardised pixels and gradients."""

    column: str
    mean_F: np.ndarray
    scale_F: np.ndarray

    def transform(self, examples: pl.DataFrame) -> np.ndarray:
        """The features of each image, float32 (N, F)."""
        return np.asarray((_raw_NF(examples, self.column) - self.mean_F) / self.scale_F)

    def state(self) -> State:
        """What `from_state` needs."""
        return {"column": self.column, "mean_F": self.mean_F, "scale_F": self.scale_F}

    @classmethod
    def from_state(cls, state: State) -> Images:
        """The encoder that `state` came from."""
        return cls(**state)


def fit_images(examples: pl.DataFrame, column: str) -> Images:
    """Mean and scale of the pixels and gradients of `examples`."""
    raw_NF = _raw_NF(examples, column)
    scale_F = raw_NF.std(axis=0)
    quiet = max(1e-3, 0.1 * float(np.median(scale_F)))  # a pixel that hardly moves must not be blown up
    return Images(column, raw_NF.mean(axis=0), np.maximum(scale_F, quiet))


@dataclass(frozen=True, slots=True)
class Gradients:
    """An image column as gradients alone, on the scale of their own blocks."""

    column: str

    def transform(self, examples: pl.DataFrame) -> np.ndarray:
        """The features of each image, float32 (N, F)."""
        return gradients_NF(self.pixels(examples))

    def pixels(self, examples: pl.DataFrame) -> np.ndarray:
        """The images that the gradients are taken of, float32 (N, S, S, C)."""
        return _pixels_NSSC(examples, self.column)

    def views(self, examples: pl.DataFrame, count: int) -> Iterator[np.ndarray]:
        """The features (N, F) of the images in each of the first `count` views, one after the other."""
        return views_of(self.pixels(examples), count)

    def state(self) -> State:
        """What `from_state` needs."""
        return {"column": self.column}

    @classmethod
    def from_state(cls, state: State) -> Gradients:
        """The encoder that `state` came from."""
        return cls(**state)


def _pixels_NSSC(examples: pl.DataFrame, column: str) -> np.ndarray:
    return pixels_NSSC(column_of(examples, column).to_list(), SIDE)


def _raw_NF(examples: pl.DataFrame, column: str) -> np.ndarray:
    """Coarse pixels (means of the fine ones) and gradients, side by side."""
    pixels_NSSC = _pixels_NSSC(examples, column)
    count, step = len(pixels_NSSC), SIDE // COARSE
    coarse_NSSC = pixels_NSSC.reshape(count, COARSE, step, COARSE, step, 3).mean(axis=(2, 4))
    return np.hstack([coarse_NSSC.reshape(count, -1), gradients_NF(pixels_NSSC)])

"""Images as tensors: decoded once, kept as bytes per channel, resized to one square size, scaled per batch."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from modelwright.data.upright import upright
from modelwright.errors import Fault, InputError
from modelwright.models.variation import variation
from modelwright.records import Schema

if TYPE_CHECKING:
    from torch import Tensor

AT_ONCE = 16
"""Images whose values are counted together: each value of a channel takes eight bytes then. Chosen."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """N decoded images, uint8 (N, 3, S, S), and the mean and deviation of each channel on a scale of 0 to 1."""

    values_NCHW: np.ndarray
    mean_C: np.ndarray
    deviation_C: np.ndarray

    @property
    def lengths_N(self) -> np.ndarray:
        """How many patches of 16 x 16 pixels each image has: all are the same size."""
        side = self.values_NCHW.shape[-1]
        return np.full(len(self.values_NCHW), max(1, side * side // 256), dtype=np.int64)

    @property
    def lengths_W(self) -> np.ndarray:
        """The same: every example is read whole."""
        return self.lengths_N

    def __len__(self) -> int:
        return len(self.values_NCHW)

    def take(self, indices: np.ndarray) -> Pixels:
        """The images at `indices` alone."""
        return Pixels(self.values_NCHW[indices], self.mean_C, self.deviation_C)

    def arrays(self) -> tuple[Any, ...]:
        """All that it consists of."""
        return self.values_NCHW, self.mean_C, self.deviation_C

    def batch(self, indices: np.ndarray, *, training: bool = False) -> dict[str, Tensor]:
        """`pixel_values`, float32 (n, 3, S, S), standardised; varied at random when training.

        The variation draws from `variation`, which the loop seeds for each piece of a batch.
        """
        import torch

        pixels_nCHW = torch.from_numpy(self.values_NCHW[indices]).float().div_(255)
        if training:
            pixels_nCHW = vary(pixels_nCHW)
        mean = torch.from_numpy(self.mean_C).float().view(1, 3, 1, 1)
        deviation = torch.from_numpy(self.deviation_C).float().view(1, 3, 1, 1)
        standardised_nCHW = (pixels_nCHW - mean) / deviation
        return {"pixel_values": standardised_nCHW.contiguous(memory_format=torch.channels_last)}


def decode(encoded: bytes, size: int) -> np.ndarray:
    """The image, `upright`, as uint8 (3, size, size): padded to a square where it is none."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(encoded)) as opened:
        image = upright(opened)
        if image.size != (size, size):
            image = ImageOps.pad(image, (size, size), Image.Resampling.BILINEAR)
        return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)


def pixels_of(
    schema: Schema, examples: pl.DataFrame, *, size: int, scale: tuple[np.ndarray, np.ndarray] | None = None
) -> Pixels:
    """The decoded images of `examples`.

    Args:
        schema: Its one input column holds encoded files as bytes.
        examples: N of them.
        size: S, the side in pixels.
        scale: Mean and deviation per channel to use; measured on these images where None.

    Raises:
        InputError: an image cannot be decoded.
    """
    values_NCHW = np.zeros((len(examples), 3, size, size), dtype=np.uint8)
    for position, encoded in enumerate(examples[schema.names[0]]):
        try:
            values_NCHW[position] = decode(encoded or b"", size)
        except (OSError, ValueError, SyntaxError) as error:  # what PIL raises for a broken file
            where = f"image {position}"
            raise InputError(Fault(where, f"cannot be decoded: {error}", "a PNG, JPEG, WebP, GIF or BMP")) from error
    return Pixels(values_NCHW, *(scale or scale_of(values_NCHW)))


def pixel_bytes(count: int, *, size: int) -> int:
    """What so many decoded images take, `size` pixels on a side: a byte for each value."""
    return 3 * size * size * count


def scale_of(values_NCHW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (at least .001) of each channel of images in bytes, on a scale of 0 to 1.

    Every value is counted, a few images at a time: exact, and with no memory for them all as fractions.
    """
    counts_CV = np.zeros((3, 256), dtype=np.int64)
    for first in range(0, len(values_NCHW), AT_ONCE):
        for channel, counts_V in enumerate(counts_CV):
            counts_V += np.bincount(values_NCHW[first : first + AT_ONCE, channel].ravel(), minlength=256)
    share_CV, level_V = counts_CV / counts_CV.sum(axis=1, keepdims=True), np.arange(256) / 255
    mean_C = share_CV @ level_V
    variance_C = (share_CV * (level_V - mean_C[:, None]) ** 2).sum(axis=1)
    return mean_C, np.maximum(np.sqrt(variance_C), 1e-3)


def side_for(schema: Schema, examples: pl.DataFrame, *, most: int) -> int:
    """The side that suits these images: their median longer side, rounded up to a multiple of 16, 32 to `most`."""
    from PIL import Image

    sides = []
    for encoded in examples[schema.names[0]].head(500):
        with Image.open(io.BytesIO(encoded)) as image:
            sides.append(max(image.size))
    median = int(np.median(sides)) if sides else most
    return int(min(most, max(32, -(-median // 16) * 16)))


def vary(pixels_nCHW: Tensor) -> Tensor:
    """The images a little turned, moved, sized, sheared and lit: ±12°, ±10%, ±12%, ±0.1, ±25%; never mirrored.

    Mirroring would change the meaning of letters, digits and signs. Ranges chosen on hand signs and digits.
    """
    import torch

    count = len(pixels_nCHW)
    drawn = torch.rand(7, count, generator=variation())
    angle, move_x, move_y, size, shear, light, contrast = drawn.mul_(2).sub_(1)
    angle, size = angle * (12 * torch.pi / 180), 1 + 0.12 * size
    cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
    first = torch.stack((cos, -sin + 0.1 * shear, 0.2 * move_x), dim=1)
    second = torch.stack((sin, cos, 0.2 * move_y), dim=1)  # grids run from -1 to 1: 0.2 is a tenth of the side
    turn_n23 = torch.stack((first, second), dim=1)
    grid = torch.nn.functional.affine_grid(turn_n23, list(pixels_nCHW.shape), align_corners=False)
    moved = torch.nn.functional.grid_sample(pixels_nCHW, grid, padding_mode="border", align_corners=False)
    middle = moved.mean(dim=(1, 2, 3), keepdim=True)
    contrasted = (moved - middle) * (1 + 0.25 * contrast).view(-1, 1, 1, 1) + middle
    return (contrasted + 0.12 * light.view(-1, 1, 1, 1)).clamp_(0, 1)

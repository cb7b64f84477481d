"""An image as everything looks at it: upright, on white, in eight bits."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelwright.data.sources.pictures import fault_of
from modelwright.data.upright import upright
from modelwright.models.features.images import pixels_NSSC
from modelwright.models.image import decode

BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def seen(file: bytes) -> np.ndarray:
    """Red, green and blue of what `upright` makes of a file."""
    with Image.open(io.BytesIO(file)) as image:
        found = upright(image)
        assert found.mode == "RGB"
        return np.asarray(found)


def grey(values: Any, kind: str = "TIFF") -> list[int]:
    """The greys that these values are seen as; all three channels must agree."""
    found_HWC = seen(encoded(Image.fromarray(np.atleast_2d(values)), kind))
    assert (found_HWC == found_HWC[..., :1]).all()
    return found_HWC[..., 0].ravel().tolist()


def drawing(mode: str) -> Image.Image:
    """A black line through the middle column of 3 x 3 pixels; all else is black too, and clear."""
    image = Image.new("RGBA", (3, 3), (0, 0, 0, 0))
    for y in range(3):
        image.putpixel((1, y), (0, 0, 0, 255))
    return image.convert(mode)


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP"), ("PA", "TIFF")])
def test_what_is_clear_is_white_on_the_ladder_and_in_the_network(mode: str, kind: str) -> None:
    """White, black, white in each of three rows; without the ground all nine pixels would be black."""
    file = encoded(drawing(mode), kind, **({"lossless": True} if kind == "WEBP" else {}))
    row = [WHITE, BLACK, WHITE]
    assert seen(file).tolist() == np.array([row, row, row]).tolist()
    network_HWC, ladder_HWC = decode(file, 3).transpose(1, 2, 0), pixels_NSSC([file], 3)[0] * 255
    np.testing.assert_array_equal(network_HWC, [row, row, row])
    np.testing.assert_array_equal(ladder_HWC, network_HWC)


def test_half_of_black_on_white_is_grey() -> None:
    """Black at an alpha of 51 of 255, a fifth: four fifths of white shine through, 204."""
    assert seen(encoded(Image.new("RGBA", (1, 1), (0, 0, 0, 51)))).tolist() == [[[204] * 3]]
    multiplied = Image.frombytes("La", (1, 1), bytes((0, 51)))  # its grey, 0, is multiplied already
    assert np.asarray(upright(multiplied)).tolist() == [[[204] * 3]]


def test_colours_that_a_palette_or_a_key_makes_clear_are_white() -> None:
    image = Image.frombytes("P", (3, 1), bytes((0, 1, 2)))
    image.putpalette([10, 10, 10, 200, 0, 0, 30, 30, 30])
    shades = [[[255, 255, 255], [200, 0, 0], [30, 30, 30]]]
    assert seen(encoded(image, transparency=0)).tolist() == shades
    assert seen(encoded(image, transparency=bytes((0, 255, 255)))).tolist() == shades
    keyed = Image.fromarray(np.array([[[9, 9, 9], [200, 0, 0], [30, 30, 30]]], np.uint8))
    assert seen(encoded(keyed, transparency=(9, 9, 9))).tolist() == shades
    assert seen(encoded(Image.fromarray(np.array([[0, 7]], np.uint8)), transparency=0))[0, :, 0].tolist() == [255, 7]
    deep = Image.fromarray(np.array([[0, 25700]], np.uint16))
    assert seen(encoded(deep, transparency=0))[0, :, 0].tolist() == [255, 100]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_image_that_was_taken_sideways_is_turned(kind: str) -> None:
    """Orientation 6: the left edge as stored is the top one, so a bright left half becomes a bright upper half."""
    stored = np.zeros((32, 64), np.uint8)
    stored[:, :32] = 255
    notes = Image.Exif()
    notes[0x0112] = 6
    file = encoded(Image.fromarray(stored).convert("RGB"), kind, exif=notes)
    found_HWC = seen(file)
    assert found_HWC.shape == (64, 32, 3)
    assert found_HWC[:24].min() > 200 and found_HWC[40:].max() < 50
    network_HWC, ladder_HWC = decode(file, 64).transpose(1, 2, 0), pixels_NSSC([file], 16)[0]
    assert network_HWC[8, 32, 0] > 200 and network_HWC[56, 32, 0] < 50
    assert ladder_HWC[2].min() > 0.8 and ladder_HWC[13].max() < 0.2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_camera_whose_notes_cannot_be_read_is_believed_to_be_upright(kind: str) -> None:
    file = encoded(Image.new("RGB", (8, 4), WHITE), kind, exif=b"Exif\x00\x00nonsense")
    assert fault_of(file) is None
    assert seen(file).shape == (4, 8, 3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_become_eight(kind: str) -> None:
    """257 steps of sixteen bits are one of eight: 65,535 / 257 = 255, 25,700 / 257 = 100; 128 / 257 is under a half."""
    assert grey(np.array([[0, 128, 129, 25_700, 65_535]], np.uint16), kind) == [0, 0, 1, 100, 255]


def test_sixteen_bits_are_read_in_either_order_of_bytes() -> None:
    values = np.array([[0, 257, 25_700]])
    for mode, dtype in (("I;16", "<u2"), ("I;16L", "<u2"), ("I;16B", ">u2")):
        image = Image.frombytes(mode, (3, 1), values.astype(dtype).tobytes())
        assert np.asarray(upright(image))[0, :, 0].tolist() == [0, 1, 100]


def test_whole_numbers_beyond_sixteen_bits_are_measured_by_the_image() -> None:
    """Within sixteen bits a 257th; up to 255,000 a thousandth; from -1,000 to 3,000 255 shades of 4,000, so that 0 is
    63.75."""
    assert grey(np.array([[0, 25_700, 65_535]], np.int32)) == [0, 100, 255]
    assert grey(np.array([[0, 100_000, 255_000]], np.int32)) == [0, 100, 255]
    assert grey(np.array([[-1_000, 0, 3_000]], np.int32)) == [0, 64, 255]


def test_fractions_go_from_0_to_1_or_are_measured_by_the_image() -> None:
    """.2 of 255 is 51. An image up to 5 has 5 as its white, one from -1 to 1 its -1 as black."""
    assert grey(np.array([[0.0, 0.2, 0.5, 0.6]], np.float32)) == [0, 51, 128, 153]
    assert grey(np.array([[0.0, 1.0, 5.0]], np.float32)) == [0, 51, 255]
    assert grey(np.array([[-1.0, 0.6, 1.0]], np.float32)) == [0, 204, 255]
    assert grey(np.array([[np.nan, -np.inf, 0.2, np.inf]], np.float32)) == [0, 0, 51, 255]
    assert grey(np.array([[-3e38, 3e38]], np.float32)) == [0, 255]
    assert grey(np.full((1, 2), np.nan, np.float32)) == [0, 0]


MODES = ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "LA", "La", "PA", "RGBA"]


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_image_is_seen(mode: str) -> None:
    image = Image.new("RGBA" if mode in ("La", "PA") else "RGB", (2, 2), WHITE)
    image = image.convert("LA").convert("La") if mode == "La" else image.convert(mode)
    assert upright(image).mode == "RGB"
    assert np.asarray(upright(image)).min() > 250


def test_ordinary_images_are_seen_as_they_are() -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(seen(encoded(Image.fromarray(values))), values)
    np.testing.assert_array_equal(seen(encoded(Image.fromarray(values[..., 0])))[..., 1], values[..., 0])

"""Images that are nearly the same: written anew, made smaller or larger, brighter or darker, with noise.

Each is looked at as a small grey picture. The signs of its slowest waves, which survive all this, are its fingerprint
(a perceptual hash); pictures of like fingerprints are compared point by point.

Array letters: N images, K pairs, P slots of a signature.
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl

from modelwright.data.twins.lsh import SLOTS, likely_pairs
from modelwright.data.twins.pairs import Pairs
from modelwright.data.upright import upright

SIDE = 32
"""Points of the small picture's side."""
WAVES = 8
"""Waves across and down whose signs are kept: 64 bits."""
BITS = 6
"""Bits of the fingerprint that one slot of a signature shows: of two that differ in 4 of 64 bits, .68 of the slots
agree; in 8, .45; of two other images, .02."""
ALIKE = 0.97
"""Correlation of two small pictures from which they are twins. Measured: of 1,500 garments, hands or drawn characters,
two that are none reach .974, .934 and .930 at most; written anew or in another size, 19 of 20 stay above .976. Where an
edge was cut off it falls to .54 to .98: most of these are missed."""
AT_ONCE = 512
"""Images that are decoded, or pairs that are compared, at once. Chosen."""


def image_twins(images: pl.Series, *, known: int = 0) -> Pairs:
    """The pairs of images that are nearly the same, `similarity` the correlation of their small pictures.

    Args:
        images: Encoded files; what is missing or broken has no twin.
        known: The first so many are not compared with each other.
    """
    pictures_NHW = small_pictures(images)
    spread_N = pictures_NHW.std(axis=(1, 2))
    places_M = np.flatnonzero(spread_N > 1)  # of one colour all over: every such image resembles every other
    shown_MP = _slots(_fingerprints(pictures_NHW[places_M]))
    first_K, second_K = likely_pairs(shown_MP, known=int((places_M < known).sum()))
    first_K, second_K = places_M[first_K], places_M[second_K]
    alike_K = _correlation(pictures_NHW, first_K, second_K)
    return Pairs(first_K, second_K, alike_K, np.ones(len(first_K), bool)).where(alike_K >= ALIKE)


def small_pictures(images: pl.Series) -> np.ndarray:
    """Each image in grey (float32 [N, SIDE, SIDE], 0 to 255); of one colour where there is none."""
    found = np.zeros((len(images), SIDE, SIDE), np.float32)
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(images), AT_ONCE):
            for place, picture in enumerate(pool.map(_small, images[start : start + AT_ONCE].to_list())):
                if picture is not None:
                    found[start + place] = picture
    return found


def _small(encoded: bytes | None) -> np.ndarray | None:
    from PIL import Image

    if encoded is None:
        return None
    try:
        image = Image.open(io.BytesIO(encoded))
        image.draft(None, (4 * SIDE, 4 * SIDE))
        return np.asarray(upright(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    except Exception:  # Pillow's decoders raise whatever their format's parser raises; reading has reported it
        return None


def _fingerprints(pictures_NHW: np.ndarray) -> np.ndarray:
    """The signs of the slowest waves beside their median, but for the mean (bool [N, 63])."""
    from scipy.fft import dctn

    waves_NF = dctn(pictures_NHW, axes=(1, 2))[:, :WAVES, :WAVES].reshape(len(pictures_NHW), -1)[:, 1:]
    return np.asarray(waves_NF > np.median(waves_NF, axis=1, keepdims=True))


def _slots(bits_NF: np.ndarray) -> np.ndarray:
    """Signatures (uint32 [N, P]): each slot shows some bits drawn at random, the same for all images."""
    random = np.random.default_rng(0)
    found = np.zeros((len(bits_NF), SLOTS), np.uint32)
    for slot in range(SLOTS):
        for bit in random.choice(bits_NF.shape[1], BITS, replace=False):
            found[:, slot] = 2 * found[:, slot] + bits_NF[:, bit]
    return found


def _correlation(pictures_NHW: np.ndarray, first_K: np.ndarray, second_K: np.ndarray) -> np.ndarray:
    """Of the points of each pair (Pearson's)."""
    flat_ND = pictures_NHW.reshape(len(pictures_NHW), -1)
    flat_ND = flat_ND - flat_ND.mean(axis=1, keepdims=True)
    flat_ND /= np.maximum(np.linalg.norm(flat_ND, axis=1, keepdims=True), 1e-9)
    found = np.zeros(len(first_K))
    for start in range(0, len(first_K), AT_ONCE):
        chosen = slice(start, start + AT_ONCE)
        found[chosen] = (flat_ND[first_K[chosen]] * flat_ND[second_K[chosen]]).sum(axis=1)
    return found

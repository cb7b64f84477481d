"""The kernel model of images: nearness of their edges to those of known images, however they are turned if that helps.

What a support vector machine with a Gaussian kernel on histograms of gradients is to scikit-learn's users: strong on a
few hundred to a few thousand small images, where a network has too few examples to learn what an edge is.
Dimensions: N examples, L landmarks, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N as targets_of
from modelwright.models.features.design import Design, of_kind
from modelwright.models.features.images import VIEWS, Gradients, gradients_NF, seen_from, views_of
from modelwright.models.features.landmarks import Landmarks, at_landmarks, squares_NL
from modelwright.models.fitting.folds import folds_N
from modelwright.models.fitting.smooth import fit_near
from modelwright.models.predictors import Predictions, as_predictions, log_loss, softmax
from modelwright.models.predictors.linear import Linear
from modelwright.models.threads import one_thread
from modelwright.records import Schema

MOST = 1200
"""Landmarks: the fit takes time with the square of them. Chosen."""
TRIED = 1500
"""Images on which views, rate and strength are chosen. Chosen: enough to tell .02 of accuracy apart."""
RATES = (1.5, 4.0)
"""Tried, as multiples of one over the median squared distance."""
STRENGTHS = {"classification": (1.0, 10.0, 100.0, 1000.0), "regression": (1.0, 0.1, 0.01, 0.001)}
FOLDS = 5
"""One fold of so many decides."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """Landmarks that were tried, the best strength on them, and the loss there."""

    loss: float
    strength: float
    landmarks: Landmarks


class Kernel(Linear):
    """A linear model on nearness to landmarks; it remembers what it was fitted on, to answer out of fold."""

    def __init__(
        self, fitted: Linear, landmarks: Landmarks, near_NL: np.ndarray, targets_N: np.ndarray, strength: float
    ):
        super().__init__(fitted.schema, landmarks, fitted.weights_FC, fitted.bias_C, fitted.limits)
        self._landmarks, self._near_NL, self._targets_N, self._strength = landmarks, near_NL, targets_N, strength

    @property
    def describes(self) -> str:
        """What it compares, in words."""
        how = {1: "", 2: ", mirrored or not", 8: ", mirrored and turned or not"}[self._landmarks.views]
        return f"nearness to the edges of {len(self._landmarks.points_LD):,} known images{how}"

    def out_of_fold(self, fold_N: np.ndarray) -> Predictions:
        """The answer to each training example by weights fitted on the other folds.

        Rate, strength, views and landmarks come from all: they hold next to nothing of one example's answer.
        """
        regression = self.schema.task == "regression"
        answers_NC = np.empty((len(fold_N), 1 if regression else len(self.schema.classes)))
        with one_thread():
            for fold in np.unique(fold_N):
                inside, held = np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold)
                near, targets = self._near_NL[inside], self._targets_N[inside]
                scores_nC = _scores(
                    fit_near(self.schema, self._landmarks, near, targets, self._strength), self._near_NL[held]
                )
                answers_NC[held] = scores_nC if regression else softmax(scores_nC)
        return as_predictions(self.schema, answers_NC[:, 0] if regression else answers_NC)


def fit_kernel(schema: Schema, train: pl.DataFrame, *, seed: int) -> Kernel:
    """The kernel model of `train`: rate, views and strength are chosen on a fold held out of it."""
    encoder, targets_N = Gradients(of_kind(schema, "image")[0]), targets_of(schema, train)
    pixels_NSSC = encoder.pixels(train)
    generator = np.random.default_rng(seed)
    part = np.sort(generator.permutation(len(train))[:TRIED])
    fold_n = folds_N(targets_N[part], FOLDS, seed=seed, stratified=schema.task == "classification")
    inside_n, held_n = fold_n > 0, fold_n == 0
    seen = [*views_of(pixels_NSSC[part], max(VIEWS))]

    def tried(rate: float, views: int) -> _Choice:
        landmarks = _landmarks(encoder, pixels_NSSC, rate, views, seed)
        near = landmarks.mean_near(seen[:views])
        best: tuple[float, float] = (np.inf, STRENGTHS[schema.task][0])
        with one_thread():
            for strength in STRENGTHS[schema.task]:
                fitted = fit_near(schema, landmarks, near[inside_n], targets_N[part][inside_n], strength)
                loss = _loss(schema, _scores(fitted, near[held_n]), targets_N[part][held_n])
                if loss >= best[0]:
                    break  # one valley, walked from the strongest penalty
                best = (loss, strength)
        return _Choice(*best, landmarks)

    best = min((tried(rate, 1) for rate in RATES), key=lambda each: each.loss)
    rate = best.landmarks.rate * _typical(best.landmarks.points_LD)
    best = min([best, *(tried(rate, views) for views in VIEWS[1:])], key=lambda each: each.loss)
    near_NL = best.landmarks.mean_near(views_of(pixels_NSSC, best.landmarks.views))
    with one_thread():
        fitted = fit_near(schema, best.landmarks, near_NL, targets_N, best.strength)
    return Kernel(fitted, best.landmarks, near_NL, targets_N, best.strength)


def _landmarks(encoder: Gradients, pixels_NSSC: np.ndarray, rate: float, views: int, seed: int) -> Landmarks:
    """Landmarks drawn from all views; `rate` is relative to the typical squared distance."""
    count = len(pixels_NSSC)
    drawn = np.random.default_rng(seed).permutation(count * views)[:MOST]
    places = zip(*np.divmod(drawn, count), strict=True)
    points_LD = gradients_NF(np.stack([seen_from(pixels_NSSC[i : i + 1], view)[0] for view, i in places]))
    return at_landmarks(Design((encoder,)), points_LD, rate / _typical(points_LD), views=views)


def _typical(points_LD: np.ndarray) -> float:
    return float(np.median(squares_NL(points_LD[:500], points_LD[:500]))) or 1.0


def _scores(model: Linear, near_nL: np.ndarray) -> np.ndarray:
    return np.asarray(near_nL @ model.weights_FC + model.bias_C)


def _loss(schema: Schema, scores_nC: np.ndarray, targets_n: np.ndarray) -> float:
    """Log loss, or mean squared error."""
    if schema.task == "regression":
        return float(((scores_nC[:, 0] - targets_n) ** 2).mean())
    return log_loss(softmax(scores_nC), targets_n)

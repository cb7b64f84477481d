"""The best single rule: the most telling word of each class, or the most telling column.

Dimensions: N examples, V terms, C classes (one column of values for a regression), B bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from modelwright.data.parts import targets_N as targets_of
from modelwright.models.features.categories import fit_categories
from modelwright.models.features.design import of_kind
from modelwright.models.features.frame import DATE_PARTS, date_parts_NP, numbers_NP, texts
from modelwright.models.features.text import counter_of
from modelwright.models.fitting.folds import folds_N
from modelwright.models.predictors.rule import Line, Rule
from modelwright.records import Schema

MAX_LEAVES = 4
"""A number is cut at three limits at most: more could not be read at a glance. Chosen."""
FINALISTS = 15
"""Columns that are cross-validated, after a look at all of them on train."""
LOOKUP = 50
"""Values of a category that get a line of their own, the commonest first. Chosen."""
PRIOR = 1.0
"""Examples' worth of the overall shares that each line's answer starts from (Laplace)."""
FEW_TERMS = 6
"""Words that a rule looks for, or as many as there are classes. Chosen: what one reads at a glance."""
MENDED = 3
"""Examples that a word must put right to get a line."""
CLEAR = 4.0
"""Standard errors by which a word must move the mean: of 50,000 words one moves it so far by chance."""


def fit_rule(schema: Schema, train: pl.DataFrame, *, seed: int) -> Rule:
    """The rule that answers `train` best, chosen by folds within it."""
    targets_N = targets_of(schema, train)
    if schema.task == "regression":
        goals_NC = targets_N[:, None]
    else:
        goals_NC = np.zeros((len(targets_N), len(schema.classes)))
        goals_NC[np.arange(len(targets_N)), targets_N] = 1
    candidates = _candidates(schema, train)
    if schema.kind == "text" or not candidates:
        return _fit_terms(schema, train, goals_NC)
    ranked = sorted(candidates, key=lambda each: _losses(schema, each, goals_NC, None))
    fold_N = folds_N(targets_N, 3, seed=seed, stratified=schema.task == "classification")
    best = min(ranked[:FINALISTS], key=lambda each: _losses(schema, each, goals_NC, fold_N))
    return Rule(schema, (best.column,), best.part, best.lines(goals_NC))


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One column, or one part of a date, as a rule could use it."""

    column: str
    part: str
    values_N: np.ndarray  # numbers (NaN missing), or codes of categories (-1 missing, -2 another)
    names: tuple[str, ...] | None  # of the codes; None for numbers

    def lines(self, goals_NC: np.ndarray) -> tuple[Line, ...]:
        """The rule's lines as learned from all examples."""
        prior_C = goals_NC.mean(axis=0)
        if self.names is not None:
            lines = [
                Line("equals", _answer(goals_NC[self.values_N == code], prior_C), term=name)
                for code, name in enumerate(self.names)
                if (self.values_N == code).any()
            ]
            absent_N = self.values_N == -1
            rest_N = self.values_N == -2
        else:
            known_N = ~np.isnan(self.values_N)
            limits = _limits(self.values_N[known_N], goals_NC[known_N])
            bin_N = np.where(known_N, np.searchsorted(limits, self.values_N), -1)
            lines = [
                Line("at_most", _answer(goals_NC[bin_N == place], prior_C), limit=float(limit))
                for place, limit in enumerate(limits)
            ]
            absent_N, rest_N = ~known_N, bin_N == len(limits)
        if absent_N.any():
            lines.append(Line("missing", _answer(goals_NC[absent_N], prior_C)))
        return (*lines, Line("always", _answer(goals_NC[rest_N], prior_C)))

    def bins_N(self, goals_NC: np.ndarray, kept_N: np.ndarray) -> np.ndarray:
        """The line that each example falls into, limits learned from the kept ones only."""
        if self.names is not None:
            return self.values_N.astype(np.int64) + 2
        learn_N = kept_N & ~np.isnan(self.values_N)
        limits = _limits(self.values_N[learn_N], goals_NC[learn_N])
        return np.where(np.isnan(self.values_N), 0, np.searchsorted(limits, self.values_N) + 1)


def _candidates(schema: Schema, train: pl.DataFrame) -> list[_Candidate]:
    """Every column that a rule could be about."""
    found = []
    numbers = of_kind(schema, "number")
    matrix_NP = numbers_NP(train, numbers)
    found += [_Candidate(name, "", matrix_NP[:, place], None) for place, name in enumerate(numbers)]
    categories = of_kind(schema, "category", "boolean")
    fitted = fit_categories(train, categories, min_count=2, max_values=LOOKUP)
    codes_NP = fitted.codes_NP(train)
    for place, name in enumerate(categories):
        found.append(_Candidate(name, "", codes_NP[:, place], tuple(fitted.values[place])))
    for name in of_kind(schema, "date"):
        parts_NP = date_parts_NP(train, name)
        found += [_Candidate(name, part, parts_NP[:, place], None) for place, part in enumerate(DATE_PARTS)]
    return found


def _answer(goals_nC: np.ndarray, prior_C: np.ndarray) -> tuple[float, ...]:
    """The mean answer to these examples, drawn a little towards that to all."""
    return tuple(((goals_nC.sum(axis=0) + PRIOR * prior_C) / (len(goals_nC) + PRIOR)).tolist())


def _limits(values_N: np.ndarray, goals_NC: np.ndarray) -> np.ndarray:
    """Where to cut the number: a tree of MAX_LEAVES leaves over this one column."""
    from sklearn.tree import DecisionTreeRegressor

    if not len(values_N):
        return np.empty(0)
    # Squared error on 0/1 columns is the Gini impurity, so one tree serves both tasks (Breiman et al. 1984, 4.3).
    tree = DecisionTreeRegressor(max_leaf_nodes=MAX_LEAVES, min_samples_leaf=max(2, len(values_N) // 100))
    narrow_NC = goals_NC[:, np.argsort(-goals_NC.sum(axis=0))[:50]] if goals_NC.shape[1] > 50 else goals_NC
    fitted = tree.fit(values_N[:, None], narrow_NC).tree_
    return np.sort(fitted.threshold[fitted.children_left >= 0])


def _losses(
    schema: Schema, candidate: _Candidate, goals_NC: np.ndarray, fold_N: np.ndarray | None
) -> tuple[float, float]:
    """Share of errors (to half a percent) and log loss, or 0 and squared error: on train, or out of fold."""
    answers_NC = np.empty_like(goals_NC)
    for fold in range(1 if fold_N is None else int(fold_N.max()) + 1):
        held_N = np.ones(len(goals_NC), dtype=bool) if fold_N is None else fold_N == fold
        kept_N = held_N if fold_N is None else ~held_N
        bin_N = candidate.bins_N(goals_NC, kept_N)
        prior_C = goals_NC[kept_N].mean(axis=0)
        sums_BC = np.tile(PRIOR * prior_C, (int(bin_N.max()) + 1, 1))
        np.add.at(sums_BC, bin_N[kept_N], goals_NC[kept_N])
        counts_B = PRIOR + np.bincount(bin_N[kept_N], minlength=len(sums_BC))
        answers_NC[held_N] = (sums_BC / counts_B[:, None])[bin_N[held_N]]
    if schema.task == "regression":
        return 0.0, float(((answers_NC - goals_NC) ** 2).mean())
    errors = float((answers_NC.argmax(axis=1) != goals_NC.argmax(axis=1)).mean())
    return round(errors * 200) / 200, float(-np.log(np.maximum((answers_NC * goals_NC).sum(axis=1), 1e-3)).mean())


def _fit_terms(schema: Schema, train: pl.DataFrame, goals_NC: np.ndarray) -> Rule:
    """A list of words and pairs of words, each with its answer; the commonest answer for the rest."""
    columns = of_kind(schema, "text")
    prior_C = goals_NC.mean(axis=0)
    present_NV, terms = _presence(texts(train, columns)) if columns else (None, [])
    if present_NV is None:
        return Rule(schema, columns or tuple(schema.names[:1]), "", (Line("always", tuple(prior_C.tolist())),))
    choose = _value_term if schema.task == "regression" else _class_term
    most = max(FEW_TERMS, goals_NC.shape[1])
    lines: list[Line] = []
    open_N = np.ones(len(goals_NC), dtype=bool)
    while len(lines) < most and open_N.any():
        place = choose(present_NV[open_N], goals_NC[open_N], prior_C)
        if place is None:
            break
        holds_N = open_N & (present_NV[:, [place]].toarray()[:, 0] > 0)
        lines.append(Line("contains", _answer(goals_NC[holds_N], prior_C), term=terms[place]))
        open_N &= ~holds_N
    lines.append(Line("always", _answer(goals_NC[open_N], prior_C)))
    return Rule(schema, columns, "", tuple(lines))


def _presence(documents: list[str]) -> tuple[Any, list[str]]:
    """Which terms (of at least two documents) each document has."""
    counter = counter_of("word", (1, 2), binary=True, min_df=min(2, len(documents)), max_features=50_000)
    try:
        present_NV = counter.fit_transform(documents)
    except ValueError:  # scikit-learn: no term is left
        return None, []
    return present_NV, counter.get_feature_names_out().tolist()


def _class_term(present_nV: Any, goals_nC: np.ndarray, prior_C: np.ndarray) -> int | None:
    """The term that mends most errors of always saying the commonest class, times how sure it is; or None."""
    hits_VC = np.asarray(present_nV.T @ goals_nC)
    mended_V = hits_VC.max(axis=1) - hits_VC[:, prior_C.argmax()]
    best = int((mended_V * hits_VC.max(axis=1) / (hits_VC.sum(axis=1) + PRIOR)).argmax())
    return best if mended_V[best] >= MENDED else None


def _value_term(present_nV: Any, goals_nC: np.ndarray, prior_C: np.ndarray) -> int | None:
    """The term whose presence moves the mean most, in standard errors; None where none moves it clearly."""
    values_n = goals_nC[:, 0] - goals_nC[:, 0].mean()
    seen_V = np.asarray(present_nV.sum(axis=0)).ravel()
    spread = max(float(values_n.std()), 1e-300)
    moved_V = np.abs(np.asarray(present_nV.T @ values_n)) / (spread * np.sqrt(np.maximum(seen_V, 1)))
    moved_V[(seen_V < MENDED) | (seen_V > 0.9 * len(values_n))] = 0
    best = int(moved_V.argmax())
    return best if moved_V[best] > CLEAR else None

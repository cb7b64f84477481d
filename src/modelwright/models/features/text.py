"""Text as counts of its words and characters, weighted by tf-idf (sublinear, unit length).

Dimensions: N examples, F features, K components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from modelwright.models.features.frame import texts
from modelwright.models.features.stored import State
from modelwright.models.threads import one_thread

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Unit = Literal["word", "char_wb"]
WORD = r"(?u)\w+|[^\w\s]"
"""A word, or a sign: signs tell languages, moods and code apart (+.004 to +.036 of accuracy or R² on five of seven
sets, +.001 and -.001 on the others, measured)."""
MAX_CHARACTERS = 50_000
"""A text is read up to here: longer ones say what they are about long before. Chosen, not measured."""


@dataclass(frozen=True, slots=True)
class Terms:
    """A fitted vocabulary of word or character n-grams with the inverse document frequency of each.

    weight(t, d) = (1 + ln count) * (1 + ln((1 + N) / (1 + df))), then each text has unit length
    (Manning, Raghavan & Schütze 2008, section 6.4; smoothed as scikit-learn's TfidfTransformer).
    With a `scale` each weight is multiplied by it instead: a word then counts the same in a long text as in a
    short one, as facts do that add up.
    """

    unit: Unit
    sizes: tuple[int, int]
    terms: tuple[str, ...]
    idf_F: np.ndarray
    scale: float | None
    counter: Any  # scikit-learn's CountVectorizer over `terms`

    def transform(self, documents: Sequence[str]) -> csr_matrix:
        """The weights of each document, float32 (N, F)."""
        from scipy.sparse import csr_matrix

        if not self.terms:
            return csr_matrix((len(documents), 0), dtype=np.float32)
        return _weighted(self.counter.transform(_shortened(documents)), self.idf_F, self.scale)

    def state(self) -> State:
        """What `from_state` needs."""
        return {
            "unit": self.unit,
            "sizes": self.sizes,
            "terms": self.terms,
            "idf_F": self.idf_F,
            "scale": self.scale,
        }

    @classmethod
    def from_state(cls, state: State) -> Terms:
        """The vocabulary that `state` came from."""
        terms, sizes = tuple(state["terms"]), (state["sizes"][0], state["sizes"][1])
        counter = counter_of(state["unit"], sizes, vocabulary={term: place for place, term in enumerate(terms)})
        return cls(state["unit"], sizes, terms, state["idf_F"], state["scale"], counter)


def fit_terms(
    documents: Sequence[str],
    unit: Unit,
    sizes: tuple[int, int],
    *,
    min_count: int,
    max_terms: int,
    unit_length: bool = True,
) -> tuple[Terms, csr_matrix]:
    """The vocabulary of `documents` and their weights.

    Args:
        documents: N texts.
        unit: Words, or characters within word boundaries.
        sizes: The shortest and the longest n-gram.
        min_count: Terms in fewer documents are left out.
        max_terms: Only the commonest terms are kept.
        unit_length: False gives all texts one scale, on which their mean square length is 1.
    """
    from scipy.sparse import csr_matrix

    counter = counter_of(unit, sizes, min_df=min(min_count, len(documents)), max_features=max_terms)
    try:
        counts = counter.fit_transform(_shortened(documents))
    except ValueError:  # scikit-learn: no term is left
        nothing = Terms(unit, sizes, (), np.empty(0, dtype=np.float32), None, counter)
        return nothing, csr_matrix((len(documents), 0), dtype=np.float32)
    seen_F = np.bincount(counts.indices, minlength=counts.shape[1])
    idf_F = (1 + np.log((1 + len(documents)) / (1 + seen_F))).astype(np.float32)
    scale = None if unit_length else _scale(counts, idf_F)
    terms = Terms(unit, sizes, tuple(counter.get_feature_names_out().tolist()), idf_F, scale, counter)
    return terms, _weighted(counts, idf_F, scale)


def counter_of(unit: Unit, sizes: tuple[int, int], **options: Any) -> Any:
    """scikit-learn's CountVectorizer as all of our text features use it."""
    from sklearn.feature_extraction.text import CountVectorizer

    pattern = {"token_pattern": WORD} if unit == "word" else {}
    return CountVectorizer(analyzer=unit, ngram_range=sizes, dtype=np.float32, **pattern, **options)


def _shortened(documents: Sequence[str]) -> list[str]:
    return [document[:MAX_CHARACTERS] for document in documents]


def _scale(counts: csr_matrix, idf_F: np.ndarray) -> float:
    squares = ((1 + np.log(counts.data)) * idf_F[counts.indices]).astype(np.float64) ** 2
    return float(np.sqrt(counts.shape[0] / max(1.0, squares.sum())))


def _weighted(counts: csr_matrix, idf_F: np.ndarray, scale: float | None) -> csr_matrix:
    """tf-idf of the counts, in place, of unit length or times `scale`."""
    from sklearn.preprocessing import normalize

    counts.data = (1 + np.log(counts.data)) * idf_F[counts.indices] * np.float32(scale or 1.0)
    return normalize(counts, copy=False) if scale is None and counts.shape[0] else counts


@dataclass(frozen=True, slots=True)
class Text:
    """Text columns, read as one text, as the weights of their terms."""

    columns: tuple[str, ...]
    vocabularies: tuple[Terms, ...]

    def transform(self, examples: pl.DataFrame) -> csr_matrix:
        """The vocabularies' weights side by side, float32 (N, F)."""
        from scipy.sparse import hstack

        documents = texts(examples, self.columns)
        return hstack([terms.transform(documents) for terms in self.vocabularies], format="csr")

    def state(self) -> State:
        """What `from_state` needs."""
        return {"columns": self.columns, "vocabularies": [terms.state() for terms in self.vocabularies]}

    @classmethod
    def from_state(cls, state: State) -> Text:
        """The encoder that `state` came from."""
        return cls(tuple(state["columns"]), tuple(map(Terms.from_state, state["vocabularies"])))


@dataclass(frozen=True, slots=True)
class Opinion:
    """Text columns as what a linear model of their terms alone says: a score of each of K classes, or a value."""

    text: Text
    weights_FK: np.ndarray
    bias_K: np.ndarray

    def transform(self, examples: pl.DataFrame) -> np.ndarray:
        """The scores of each example, float64 (N, K)."""
        return np.asarray(self.text.transform(examples) @ self.weights_FK + self.bias_K, dtype=np.float64)

    def state(self) -> State:
        """What `from_state` needs."""
        return {"text": self.text.state(), "weights_FK": self.weights_FK, "bias_K": self.bias_K}

    @classmethod
    def from_state(cls, state: State) -> Opinion:
        """The encoder that `state` came from."""
        return cls(Text.from_state(state["text"]), state["weights_FK"], state["bias_K"])


@dataclass(frozen=True, slots=True)
class Topics:
    """Text columns as the K strongest components of their weights (latent semantic analysis)."""

    text: Text
    components_FK: np.ndarray

    def transform(self, examples: pl.DataFrame) -> np.ndarray:
        """The components of each text, float64 (N, K)."""
        return np.asarray(self.text.transform(examples) @ self.components_FK, dtype=np.float64)

    def state(self) -> State:
        """What `from_state` needs."""
        return {"text": self.text.state(), "components_FK": self.components_FK}

    @classmethod
    def from_state(cls, state: State) -> Topics:
        """The encoder that `state` came from."""
        return cls(Text.from_state(state["text"]), state["components_FK"])


def fit_topics(examples: pl.DataFrame, columns: tuple[str, ...], *, components: int, seed: int) -> Topics:
    """Words of the columns, and their truncated singular value decomposition (Halko et al. 2011)."""
    from sklearn.utils.extmath import randomized_svd

    documents = texts(examples, columns)
    terms, weights = fit_terms(documents, "word", (1, 1), min_count=2, max_terms=20_000)
    kept = min(components, *(side - 1 for side in weights.shape))
    if kept < 1:  # one column of zeros: an encoder without columns would be a case of its own everywhere
        components_FK = np.zeros((weights.shape[1], 1), dtype=np.float32)
    else:
        with one_thread():
            _, _, rows_KF = randomized_svd(weights, kept, n_iter=4, random_state=seed)
        components_FK = np.ascontiguousarray(rows_KF.T, dtype=np.float32)
    return Topics(Text(columns, (terms,)), components_FK)

"""One rule that a person can read: the first condition that holds gives the answer.

Dimensions: N examples, L lines of the rule, C classes (or the one value of a regression).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from modelwright.errors import IntegrityError
from modelwright.models.features.frame import DATE_PARTS, date_parts_NP, numbers_NP, strings, texts
from modelwright.models.features.text import counter_of
from modelwright.models.predictors import Predictions
from modelwright.records import Schema, plain

FILE = "rule.json"
SHOWN = 4
"""Lines of a rule that its description spells out."""


@dataclass(frozen=True, slots=True)
class Line:
    """A condition and the answer to examples that meet it.

    `contains`: the text has the word or pair of words `term`. `equals`: the category is `term`.
    `at_most`: the number is at most `limit`. `missing`: there is no value. `always`: the last line.
    """

    condition: Literal["contains", "equals", "at_most", "missing", "always"]
    answer: tuple[float, ...]
    term: str = ""
    limit: float = 0.0


class Rule:
    """A decision list over one column (all text columns count as one). The last line always holds."""

    kind = "rule"

    def __init__(self, schema: Schema, columns: tuple[str, ...], part: str, lines: tuple[Line, ...]) -> None:
        """`part` names one of DATE_PARTS where the column is a date, and is empty otherwise."""
        self.schema = schema
        self._columns = columns
        self._part = part
        self._lines = lines
        self._answers_LC = np.array([line.answer for line in lines])

    @property
    def describes(self) -> str:
        """The rule in words."""
        telling = self._telling()
        spoken = [self._spoken(line) for line in telling[:SHOWN]]
        if len(telling) > SHOWN:
            spoken.append(f"{len(telling) - SHOWN} more such lines")
        return "; ".join([*spoken, f"otherwise → {self._said(self._lines[-1])}"])

    def _telling(self) -> list[Line]:
        """The lines that change what is said: without those that repeat the last one, or the one after."""
        lines = list(self._lines[:-1])
        if any(line.condition == "at_most" for line in lines):
            follow = [*lines[1:], self._lines[-1]]
            pairs = zip(lines, follow, strict=True)
            return [
                line for line, after in pairs if after.condition == "missing" or self._said(line) != self._said(after)
            ]
        said = self._said(self._lines[-1])
        return [line for line in lines if line.condition == "contains" or self._said(line) != said]

    def _spoken(self, line: Line) -> str:
        subject = " or ".join(self._columns)
        if self._part:
            subject = f"{self._part} of {subject}"
        conditions = {
            "contains": f"contains {line.term!r}",
            "equals": f"is {line.term!r}",
            "at_most": f"≤ {line.limit:.6g}",
            "missing": "is missing",
            "always": "is anything",
        }
        return f"{subject} {conditions[line.condition]} → {self._said(line)}"

    def _said(self, line: Line) -> str:
        if self.schema.task == "regression":
            return f"{line.answer[0]:.4g}"
        return self.schema.classes[int(np.argmax(line.answer))]

    def predict(self, examples: pl.DataFrame) -> Predictions:
        """The answer of the first line that holds, for each example."""
        answers_NC = self._answers_LC[self._first_N(examples)]
        if self.schema.task == "regression":
            return Predictions(values_N=answers_NC[:, 0])
        return Predictions(answers_NC)

    def _first_N(self, examples: pl.DataFrame) -> np.ndarray:
        """The place of the first line that holds, for each example."""
        last = len(self._lines) - 1
        conditions = {line.condition for line in self._lines}
        if "contains" in conditions:
            return self._first_by_terms_N(examples, last)
        if "at_most" in conditions:
            values_N = self._numbers_N(examples)
            first_N = np.full(len(values_N), last)
            for place in range(last - 1, -1, -1):
                line = self._lines[place]
                holds = np.isnan(values_N) if line.condition == "missing" else values_N <= line.limit
                first_N[holds] = place
            return first_N
        if not conditions - {"always"}:
            return np.zeros(len(examples), dtype=np.int64)
        places: dict[str | None, int] = {
            (None if line.condition == "missing" else line.term): place
            for place, line in reversed(list(enumerate(self._lines[:-1])))
        }
        found = strings(examples, self._columns[0])
        return np.fromiter((places.get(value, last) for value in found), dtype=np.int64, count=len(found))

    def _first_by_terms_N(self, examples: pl.DataFrame, last: int) -> np.ndarray:
        analyse = counter_of("word", (1, 2)).build_analyzer()
        places = {line.term: place for place, line in reversed(list(enumerate(self._lines[:-1])))}
        documents = texts(examples, self._columns)
        return np.array(
            [min((places.get(term, last) for term in analyse(text)), default=last) for text in documents],
            dtype=np.int64,
        )

    def _numbers_N(self, examples: pl.DataFrame) -> np.ndarray:
        if self._part:
            return date_parts_NP(examples, self._columns[0])[:, DATE_PARTS.index(self._part)]
        return numbers_NP(examples, self._columns)[:, 0]

    def save(self, folder: Path) -> None:
        """Write `rule.json`."""
        about = {"columns": self._columns, "part": self._part, "lines": plain(self._lines)}
        (folder / FILE).write_text(json.dumps(about, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> Rule:
        """The predictor saved in `folder`."""
        try:
            about: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
            lines = tuple(Line(**{**line, "answer": tuple(line["answer"])}) for line in about["lines"])
            return cls(schema, tuple(about["columns"]), about["part"], lines)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{folder / FILE} cannot be read back: {error}") from error

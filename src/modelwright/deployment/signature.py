"""What goes into a package and what comes out, as a record and as JSON Schema (signature.json).

Draft 2020-12, with the keywords of ours under `x-`: `x-kind` (records.ColumnKind) and `x-type` (the Polars
type that the column had when the predictor learned, which it must have again when it answers).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from modelwright.models.predictors import Predictor
from modelwright.records import POSITION, ColumnKind, InputKind, Schema, Task

TEXT_CHARACTERS = 1_000_000  # what fits the server's body of 1 MiB; chosen, not measured
WORD_CHARACTERS = 10_000  # a category, date or identifier; chosen, not measured
IMAGE_CHARACTERS = 16 * 2**20  # what fits the server's body of 16 MiB, in base64
RARE = 3  # a value that fewer examples have could point at one person: never shown
SHOWN = 20  # known categories listed for each column
TOP_CLASSES = 20  # up to so many classes, an answer holds every probability; else the `TOP` likeliest
TOP = 5

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
"""A grey PNG of one pixel, in base64: the placeholder of an image."""

_DATETIME = re.compile(r"Datetime\((ms|us|ns)(?:, ([A-Za-z0-9_+:/-]+))?\)")
_PLAIN: dict[str, pl.DataType] = {
    "Float64": pl.Float64(),
    "Int64": pl.Int64(),
    "String": pl.String(),
    "Boolean": pl.Boolean(),
    "Date": pl.Date(),
    "Binary": pl.Binary(),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One input column as a caller must send it."""

    name: str
    kind: ColumnKind
    type: str  # a key of `_PLAIN`, or "Datetime(us)", "Datetime(us, UTC)"
    nullable: bool
    examples: tuple[Any, ...] = ()  # a middle value, or the commonest categories; never one person's
    max_characters: int | None = None

    @property
    def dtype(self) -> pl.DataType:
        """The Polars type of the column in the frame that the predictor is given."""
        if self.type in _PLAIN:
            return _PLAIN[self.type]
        match = _DATETIME.fullmatch(self.type)
        if match is None:
            raise ValueError(f"{self.type!r} is not a column type")
        return pl.Datetime(match[1], match[2])  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Signature:
    """All that a caller must know."""

    task: Task
    kind: InputKind
    fields: tuple[Field, ...]
    output: str
    classes: tuple[str, ...]
    ignored: dict[str, str]  # columns that the data has and the model does not use -> why

    @property
    def names(self) -> list[str]:
        """The names of the input columns, in order."""
        return [field.name for field in self.fields]


def describe(predictor: Predictor, examples: pl.DataFrame, excluded: Mapping[str, str]) -> Signature:
    """The signature of `predictor`, with types, known values and nullability taken from `examples`."""
    schema = predictor.schema
    nullable = _nullable(predictor, examples)
    fields = tuple(_field(column.kind, examples[column.name], column.name in nullable) for column in schema.inputs)
    ignored = {name: why for name, why in excluded.items() if name not in schema.names}
    ignored |= {schema.output: "it is what the model predicts", POSITION: "it is a row number"}
    return Signature(schema.task, schema.kind, fields, schema.output, schema.classes, ignored)


def _field(kind: ColumnKind, column: pl.Series, nullable: bool) -> Field:
    type_ = _type(kind, column.dtype)
    characters = {
        "Binary": IMAGE_CHARACTERS,
        "String": TEXT_CHARACTERS if kind in ("text", "messages") else WORD_CHARACTERS,
    }
    return Field(column.name, kind, type_, nullable, _known(kind, column), characters.get(type_))


def _type(kind: ColumnKind, dtype: pl.DataType) -> str:
    """Numbers are always Float64: what one caller sends must not change the type for another."""
    if kind == "number":
        return "Float64"
    if kind == "image" or dtype == pl.Binary:
        return "Binary"
    if isinstance(dtype, pl.Datetime):
        return f"Datetime({dtype.time_unit}, {dtype.time_zone})" if dtype.time_zone else f"Datetime({dtype.time_unit})"
    if dtype.is_integer():
        return "Int64"
    if dtype.is_float():
        return "Float64"
    return str(dtype) if str(dtype) in ("Boolean", "Date") else "String"


def _known(kind: ColumnKind, column: pl.Series) -> tuple[Any, ...]:
    """Values that show what to send: a rounded median, or categories that at least `RARE` examples have."""
    column = column.drop_nulls()
    if kind in ("text", "image", "identifier") or column.is_empty():
        return ()
    if kind == "number":
        middle = column.cast(pl.Float64, strict=False).fill_nan(None).quantile(0.5, "nearest")
        if middle is None:
            return ()
        return (int(middle) if column.dtype.is_integer() else float(f"{middle:.4g}"),)
    if kind == "date":
        middle = column.sort()[len(column) // 2]
        return (middle if isinstance(middle, str) else middle.isoformat(),)
    counts = column.alias("value").value_counts(name="count").filter(pl.col("count") >= RARE)
    counts = counts.sort(["count", "value"], descending=[True, False]).head(SHOWN)
    return tuple(value if isinstance(value, bool | int) else str(value) for value in counts["value"].to_list())


def _nullable(predictor: Predictor, examples: pl.DataFrame) -> set[str]:
    """The columns that the predictor can do without, found by asking it once for each.

    A text or an image that is missing leaves little to answer from, so those never are.
    """
    schema = predictor.schema
    names = [column.name for column in schema.inputs if column.kind != schema.kind]
    if not names:
        return set()
    one = examples.head(1).select(schema.names)
    frames = [one.with_columns(pl.lit(None, dtype=one[name].dtype).alias(name)) for name in names]
    if _answers(predictor, pl.concat(frames)):
        return set(names)
    return {name for name, frame in zip(names, frames, strict=True) if _answers(predictor, frame)}


def _answers(predictor: Predictor, frame: pl.DataFrame) -> bool:
    import numpy as np

    try:
        predictions = predictor.predict(frame)
    except Exception:  # a predictor may be anybody's code: whatever it raises, the answer here is no
        return False
    answers = predictions.array
    return len(answers) == len(frame) and (answers.dtype == object or bool(np.isfinite(answers).all()))


def example_input(signature: Signature, most: int) -> dict[str, Any]:
    """An input that can be sent as it stands, with `most` columns or all that are needed."""
    needed = [field.name for field in signature.fields if not field.nullable]
    others = [field.name for field in signature.fields if field.nullable]
    chosen = {*needed, *others[: max(most - len(needed), 0)]}
    return {field.name: _placeholder(field) for field in signature.fields if field.name in chosen}


def _placeholder(field: Field) -> Any:
    if field.examples:
        return field.examples[0]
    if field.type == "Binary":
        return PIXEL
    if field.type == "Date" or field.type.startswith("Datetime"):
        return "2026-01-31"
    return {"Float64": 0.0, "Int64": 0, "Boolean": True}.get(field.type, "Write the text here.")


def schema_of(signature: Signature) -> dict[str, Any]:
    """signature.json: the JSON Schemas of one input and of one answer."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "task": signature.task,
        "kind": signature.kind,
        "predicts": signature.output,
        "input": {
            "type": "object",
            "properties": {field.name: _property(field) for field in signature.fields},
            "required": [field.name for field in signature.fields if not field.nullable],
        },
        "output": answer_schema(signature),
        "x-ignored": signature.ignored,
    }


_JSON_TYPE = {"Float64": "number", "Int64": "integer", "Boolean": "boolean"}


def _property(field: Field) -> dict[str, Any]:
    json_type = _JSON_TYPE.get(field.type, "string")
    found: dict[str, Any] = {"type": [json_type, "null"] if field.nullable else json_type}
    if field.type == "Binary":
        found["contentEncoding"] = "base64"
    if field.type == "Date" or field.type.startswith("Datetime"):
        found["format"] = "date" if field.type == "Date" else "date-time"
    if field.max_characters is not None:
        found["maxLength"] = field.max_characters
    if field.examples:
        found["examples"] = list(field.examples)
    return found | {"x-kind": field.kind, "x-type": field.type}


_PLAIN_ANSWERS: dict[Task, dict[str, Any]] = {
    "regression": {"output": {"type": "number"}},
    "generation": {"output": {"type": "string"}},
    "language-modeling": {
        "bits": {"type": "number", "minimum": 0, "description": "what the text and its end take, or its hidden words"},
        "bits_per_byte": {
            "type": ["number", "null"],
            "description": "over the bytes of what is asked for; null for an empty text",
        },
    },
}
"""Answers that are not one of some classes."""

SAID: dict[Task, str] = {
    "classification": "one of {} classes",
    "multilabel": "any of {} labels, several or none",
    "regression": "a number",
    "tagging": "spans of the text, each with one of {} labels",
    "generation": "a text that it writes",
    "language-modeling": "the bits that the text takes",
}
"""What is answered, in words, with the number of classes to be filled in."""


def answer_schema(signature: Signature) -> dict[str, Any]:
    """The JSON Schema of one answer."""
    properties: dict[str, Any]
    if signature.task in _PLAIN_ANSWERS:
        properties = _PLAIN_ANSWERS[signature.task]
    elif signature.task == "tagging":
        properties = {"spans": {"type": "array", "items": _span_schema(signature)}}
    elif signature.task == "multilabel":
        several = {"type": "array", "items": {"type": "string", "enum": list(signature.classes)}, "uniqueItems": True}
        fewer = f"every label by itself, or the {TOP} likeliest and those answered where there are over {TOP_CLASSES}"
        properties = {
            "outputs": several,
            "probabilities": {"type": "object", "additionalProperties": _SHARE, "description": fewer},
        }
    else:
        share = _SHARE
        shown = "every class" if len(signature.classes) <= TOP_CLASSES else f"the {TOP} likeliest classes"
        properties = {
            "output": {"type": "string", "enum": list(signature.classes)},
            "confidence": share | {"description": "the probability of `output`"},
            "probabilities": {"type": "object", "additionalProperties": share, "description": shown},
        }
    return {"type": "object", "properties": properties, "required": list(properties)}


_SHARE = {"type": "number", "minimum": 0, "maximum": 1}


def _span_schema(signature: Signature) -> dict[str, Any]:
    """The JSON Schema of one span; a predictor that cannot say how sure it is leaves `confidence` out."""
    place = {"type": "integer", "minimum": 0}
    properties = {
        "start": place | {"description": "of its first character, from 0"},
        "end": place | {"description": "of the character after its last"},
        "label": {"type": "string", "enum": list(signature.classes)},
        "text": {"type": "string", "description": "what stands there"},
        "confidence": _SHARE,
    }
    return {"type": "object", "properties": properties, "required": ["start", "end", "label", "text"]}


def signature_from(found: Mapping[str, Any], schema: Schema) -> Signature:
    """The signature that `schema_of` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is not one.
    """
    fields = []
    for name, about in found["input"]["properties"].items():
        nullable = name not in found["input"]["required"]
        field = Field(
            name,
            about["x-kind"],
            about["x-type"],
            nullable,
            tuple(about.get("examples", ())),
            about.get("maxLength"),
        )
        assert field.dtype is not None  # raises ValueError where the type is unknown
        fields.append(field)
    if [field.name for field in fields] != schema.names:
        raise ValueError("its columns are not those of the model")
    return Signature(schema.task, schema.kind, tuple(fields), schema.output, schema.classes, dict(found["x-ignored"]))

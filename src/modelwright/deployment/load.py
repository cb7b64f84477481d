"""A package folder -> something that answers, after it has proven itself. No code from the folder is run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from modelwright.deployment import golden, requirements
from modelwright.deployment.answers import answers
from modelwright.deployment.files import MANIFEST, verify
from modelwright.deployment.inputs import Read, read
from modelwright.deployment.signature import Signature, signature_from
from modelwright.errors import Fault, InputError, IntegrityError
from modelwright.models.predictors import Predictor, load_predictor, schema_from
from modelwright.records import Golden, Schema

FORMAT = 1
SHOWN = 5  # of the golden cases that differ


@dataclass(frozen=True, slots=True)
class Loaded:
    """A package whose files are proven and whose golden cases pass."""

    id: str
    path: str
    predictor: Predictor
    schema: Schema
    signature: Signature
    manifest: dict[str, Any]
    reference: dict[str, Any]
    golden: Golden
    notes: tuple[str, ...]  # libraries that differ from those it was made with

    @property
    def name(self) -> str:
        """The package's name with its version, as its folder is called."""
        return f"{self.manifest['name']}-{self.manifest['version']}"

    def predict(self, inputs: list[Any]) -> list[dict[str, Any]]:
        """One answer per input, as the server gives them.

        Args:
            inputs: One object (column -> value) each or, where the model takes one column, its bare value:
                a text, or base64 of an image file.

        Returns:
            For each what `deployment.answers` says of its task: `{"output": class, "confidence": share,
            "probabilities": {class: share}}`, `{"output": number}`, `{"outputs": [label], "probabilities": …}` or
            `{"spans": [{"start", "end", "label", "text", "confidence"}]}`, `{"output": text}` for generation, or
            `{"bits": number, "bits_per_byte": number}` for a language model.

        Raises:
            InputError: with every fault of every input.
        """
        return self.answer(self.read(inputs).frame) if inputs else []

    def read(self, inputs: list[Any]) -> Read:
        """`inputs` as the frame that `answer` takes, with warnings; raises InputError as `predict`."""
        return read(inputs, self.signature)

    def answer(self, frame: pl.DataFrame) -> list[dict[str, Any]]:
        """The answers to a frame that `read` made, or to several of them stacked."""
        return answers(self.predictor.predict(frame), self.schema, frame)


def load_package(path: Path | str, *, expected_id: str | None = None) -> Loaded:
    """The package in the folder `path`.

    Args:
        path: The folder.
        expected_id: The id that the maker's record says. The hashes inside the folder find damage; only an
            id from outside finds somebody who rewrote the folder and its hashes.

    Raises:
        InputError: there is no such folder.
        IntegrityError: a file is missing, altered or extra, a library is not installed, or a golden case
            does not come out as stored; the message names each.
    """
    folder = Path(path)
    if not folder.is_dir():
        todo = "run `modelwright package` first"
        raise InputError(Fault(str(folder), "there is no such folder", "a package's folder", todo))
    manifest = verify(folder)
    found_id = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()[:16]
    if expected_id is not None and found_id != expected_id:
        raise IntegrityError(f"{folder} is package {found_id}, not {expected_id}")
    if manifest.get("format") != FORMAT:
        version = manifest.get("made_by", {}).get("modelwright", "another version")
        raise IntegrityError(f"{folder} was made by Modelwright {version} in a format that this one does not know")
    notes = requirements.check(manifest["requirements"])
    try:
        schema = schema_from(manifest["schema"])
        signature = signature_from(_json(folder / "signature.json"), schema)
        reference = _json(folder / "reference.json")
        lines = (folder / "golden.jsonl").read_text(encoding="utf-8").splitlines()
        cases = [json.loads(line) for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{folder} holds a file that is not what it should be: {error!r}") from error
    predictor = load_predictor(folder / "model")
    if predictor.schema != schema:
        raise IntegrityError(f"{folder}: the model's schema is not the one in {MANIFEST}")
    passed = Golden(len(cases), len(cases) - _prove(folder, predictor, cases, signature))
    return Loaded(found_id, str(folder), predictor, schema, signature, manifest, reference, passed, notes)


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _prove(folder: Path, predictor: Predictor, cases: list[dict[str, Any]], signature: Signature) -> int:
    """How many cases differ, where no more do than may."""
    try:
        differing = list(golden.differences(predictor, cases, signature))
    except (InputError, KeyError, TypeError) as error:
        raise IntegrityError(f"{folder}: golden.jsonl cannot be asked: {error}") from error
    if len(differing) > golden.bearable(predictor.schema, len(cases)):
        shown = "; ".join(differing[:SHOWN])
        more = f"; and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise IntegrityError(
            f"{folder}: {len(differing)} of {len(cases)} golden cases differ from what is stored: {shown}{more}"
        )
    return len(differing)

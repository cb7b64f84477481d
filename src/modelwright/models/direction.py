"""Whether a model reads texts in both directions, and so guesses hidden words instead of going on with a text."""

from __future__ import annotations

import json
from pathlib import Path

from modelwright.models.catalogue import catalogue, locate


def reads_both_ways(base: str, *, folder: Path) -> bool:
    """Whether the model called `base` reads texts in both directions.

    Args:
        base: As `model.base` names it.
        folder: The project's, which a relative `base` is relative to.

    Raises:
        InputError: there is no such model here.
    """
    if base == "auto":
        return False
    found = locate(base, folder=folder)
    return catalogue()[found].kind == "masked" if isinstance(found, str) else bool(family_of_both_directions(found))


def family_of_both_directions(folder: Path) -> str:
    """The family of the model in `folder` where it is one that reads in both directions, else nothing."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""  # loading says what is wrong with it
    family = config.get("model_type")
    return family if family in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not config.get("is_decoder") else ""

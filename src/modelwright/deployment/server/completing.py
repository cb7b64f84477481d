"""POST /complete: what a text goes on with, for packages whose predictor can say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelwright.deployment.cells import shown
from modelwright.deployment.server.limits import Limits
from modelwright.deployment.server.replies import Refusal
from modelwright.deployment.signature import TEXT_CHARACTERS
from modelwright.errors import Fault
from modelwright.registry import suggestion

MAX_TOKENS, TEMPERATURE, MOST_TEMPERATURE = 100, 1.0, 5.0
"""What is taken where nothing is asked; beyond the last, draws are hardly the model's. Chosen."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to go on, and how."""

    text: str
    max_tokens: int = MAX_TOKENS
    temperature: float = TEMPERATURE
    seed: int = 0


def wish_from(body: Any, limits: Limits) -> Wish:
    """The wish in a request's JSON.

    Raises:
        Refusal: with every fault.
    """
    if not isinstance(body, dict):
        body = {"text": body}
    names = ["text", "max_tokens", "temperature", "seed"]
    faults = [Fault(shown(name), "is no field", "", suggestion(str(name), names)) for name in body if name not in names]
    text = body.get("text")
    if not isinstance(text, str) or len(text) > TEXT_CHARACTERS:
        found = "is missing" if "text" not in body else shown(text)
        faults.append(Fault("text", found, f"a text of at most {TEXT_CHARACTERS:,} characters; it may be empty"))
    tokens, temperature, seed = body.get("max_tokens", MAX_TOKENS), body.get("temperature", 1.0), body.get("seed", 0)
    if not _whole(tokens) or not 1 <= tokens <= limits.tokens:
        faults.append(Fault("max_tokens", shown(tokens), f"a whole number from 1 to {limits.tokens:,}"))
    if not (_whole(temperature) or isinstance(temperature, float)) or not 0 <= temperature <= MOST_TEMPERATURE:
        expected = f"a number from 0 (the likeliest each time) to {MOST_TEMPERATURE:g}"
        faults.append(Fault("temperature", shown(temperature), expected))
    if not _whole(seed) or not 0 <= seed < 2**31:
        faults.append(Fault("seed", shown(seed), "a whole number from 0 on, below 2,147,483,648"))
    if faults:
        raise Refusal(422, "input", "The request cannot be gone on with.", faults=faults)
    return Wish(str(text), tokens, float(temperature), seed)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def wish_schema(limits: Limits) -> dict[str, Any]:
    """The JSON Schema of a wish."""
    return {
        "type": "object",
        "properties": {
            "text": {"type": "string", "maxLength": TEXT_CHARACTERS},
            "max_tokens": {"type": "integer", "minimum": 1, "maximum": limits.tokens, "default": MAX_TOKENS},
            "temperature": {"type": "number", "minimum": 0, "maximum": MOST_TEMPERATURE, "default": TEMPERATURE},
            "seed": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 0},
        },
        "required": ["text"],
        "additionalProperties": False,
    }

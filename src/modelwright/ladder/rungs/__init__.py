"""The ladder, from the cheapest to the dearest. To add a rung: a module with a `RUNG`, and its line here.

A line enters the contract suite (tests/contracts/test_rungs.py) by being listed.
"""

from __future__ import annotations

from modelwright.registry import Table

RUNGS = Table(
    "rung",
    {
        "constant": "modelwright.ladder.rungs.constant:RUNG",
        "ngram": "modelwright.ladder.rungs.ngram:RUNG",
        "rule": "modelwright.ladder.rungs.rule:RUNG",
        "linear": "modelwright.ladder.rungs.linear:RUNG",
        "neighbours": "modelwright.ladder.rungs.neighbours:RUNG",
        "kernel": "modelwright.ladder.rungs.kernel:RUNG",
        "head": "modelwright.ladder.rungs.head:RUNG",
        "trees": "modelwright.ladder.rungs.trees:RUNG",
    },
)
"""name -> Rung, in the order of what an answer costs and of how much there is to understand."""

LANGUAGE_MODEL_RUNGS = ("prompt", "few_shot", "rag")
"""The rungs above these, dearest last; a verdict lists them as skipped while no language model is configured."""

NO_LANGUAGE_MODEL = "no language model is configured"

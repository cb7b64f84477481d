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

LANGUAGE_MODEL_RUNGS = Table(
    "language model rung",
    {
        "prompt": "modelwright.ladder.rungs.language_model:prompt",
        "few_shot": "modelwright.ladder.rungs.language_model:few_shot",
        "base": "modelwright.ladder.rungs.language_model:base",
    },
)
"""name -> (the folder of a language model -> Rung): the rungs above these, dearest last."""

NO_LANGUAGE_MODEL = "no language model is configured"
RAG, NO_DOCUMENTS = "rag", "there are no documents to look answers up in"
"""A rung whose place is kept."""
NOT_WRITTEN = "for answers that are written: task generation"

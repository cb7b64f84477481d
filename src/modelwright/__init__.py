"""Modelwright: from a problem and some data to a deployed, monitored model.

The names below are imported when they are first asked for, so that `import modelwright` costs nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelwright.deployment.load import load_package
    from modelwright.errors import Fault, InputError, ModelwrightError, RefusedError
    from modelwright.models.predictors import Predictions, Predictor, load_predictor, save_predictor
    from modelwright.problem import Problem
    from modelwright.records import Dataset, Interval, Package, Plan, Progress, Report, Run, Schema, Verdict
    from modelwright.workflow import Project, RunOutcome
    from modelwright.workflow.new import new

# OpenMP's threads spin for milliseconds while they wait for each other, which is ruinous where other processes want the
# same cores: reading texts took up to eight times as long (2 cores, load 4). Sleeping at once is slow for convolutions,
# which wait often and briefly. So they spin for some microseconds and then sleep. The runtime reads this when torch or
# LightGBM loads it: hence here, first.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# oneDNN keeps the kernels of 1,024 products, each for one shape, and torch what it made of them, 1,024 more; batches of
# texts have a new length at every step. That took 530 MB of the 1,660 of a small language model's training on one's own
# texts, and as the kernels lie between tensors the heap could not be used again: 13% more time, too. 64 are as quick as
# 1,024: the layers of a step share theirs. Both are read at the first product.
for _cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_cache, "64")

_HOMES = {
    "Dataset": "records",
    "Fault": "errors",
    "InputError": "errors",
    "Interval": "records",
    "ModelwrightError": "errors",
    "Package": "records",
    "Plan": "records",
    "Predictions": "models.predictors",
    "Predictor": "models.predictors",
    "Problem": "problem",
    "Progress": "records",
    "Project": "workflow",
    "RefusedError": "errors",
    "Report": "records",
    "Run": "records",
    "RunOutcome": "workflow",
    "Schema": "records",
    "Verdict": "records",
    "load_package": "deployment.load",
    "load_predictor": "models.predictors",
    "new": "workflow",
    "save_predictor": "models.predictors",
}

__all__ = [
    "Dataset",
    "Fault",
    "InputError",
    "Interval",
    "ModelwrightError",
    "Package",
    "Plan",
    "Predictions",
    "Predictor",
    "Problem",
    "Progress",
    "Project",
    "RefusedError",
    "Report",
    "Run",
    "RunOutcome",
    "Schema",
    "Verdict",
    "load_package",
    "load_predictor",
    "new",
    "save_predictor",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'modelwright' has no attribute {name!r}")
    return getattr(import_module(f"modelwright.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__doc__", "__name__"]

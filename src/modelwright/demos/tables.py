"""Two tables that scikit-learn carries: tell tumours apart, and foretell the course of diabetes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelwright.problem import FILE
from modelwright.problem.write import write as write_problem


def write_tumours(folder: Path) -> None:
    """Put tumours.csv (569 tumours, 30 measurements of cell nuclei) and problem.yaml into `folder`."""
    from sklearn.datasets import load_breast_cancer

    source = load_breast_cancer()
    names = [str(name).replace(" ", "_") for name in source.feature_names]
    diagnoses = [str(source.target_names[index]) for index in source.target]
    values = {
        "name": "tumours",
        "statement": "Say from measurements of cell nuclei whether a breast tumour is malignant.",
        "correct": "What the biopsy found: malignant or benign.",
        "output": "diagnosis",
        "metric": "roc_auc",
        "goal": 0.98,
        "data.source": "tumours.csv",
    }
    _write(folder, "tumours.csv", [*names, "diagnosis"], source.data, diagnoses, values)


def write_diabetes(folder: Path) -> None:
    """Put diabetes.csv (442 patients, 10 measurements) and problem.yaml into `folder`."""
    from sklearn.datasets import load_diabetes

    source = load_diabetes(scaled=False)
    values = {
        "name": "diabetes",
        "statement": "Foretell from ten measurements how far a patient's diabetes will be in a year.",
        "correct": "The doctors' measure of progression one year after the measurements, 25 to 346.",
        "output": "progression",
        "metric": "r2",
        "data.source": "diabetes.csv",
    }
    _write(folder, "diabetes.csv", [*source.feature_names, "progression"], source.data, source.target, values)


def _write(
    folder: Path,
    name: str,
    columns: Sequence[str],
    inputs: Iterable[Iterable[float]],
    outputs: Iterable[Any],
    values: Mapping[str, Any],
) -> None:
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(columns)
        lines.writerows([*map(float, given), output] for given, output in zip(inputs, outputs, strict=True))
    (folder / FILE).write_text(write_problem(values), encoding="utf-8")

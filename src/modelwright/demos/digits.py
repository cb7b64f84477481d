"""Read a handwritten digit: scikit-learn's 1,797 images of 8 by 8 pixels, as PNG files by class."""

from __future__ import annotations

from pathlib import Path

from modelwright.problem import FILE
from modelwright.problem.write import write as write_problem


def write(folder: Path) -> None:
    """Put images/0 to images/9 and problem.yaml into `folder`."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for position, (pixels_HW, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        place = folder / "images" / str(digit)
        place.mkdir(parents=True, exist_ok=True)
        grey_HW = (pixels_HW * (255 / 16)).round().astype("uint8")  # the source counts ink from 0 to 16
        Image.fromarray(grey_HW).save(place / f"{position:04d}.png")
    values = {
        "name": "digits",
        "statement": "Read a single handwritten digit from a small scan.",
        "correct": "The digit that the writer meant, 0 to 9.",
        "input": "image",
        "output": "label",
        "metric": "accuracy",
        "goal": 0.97,
        "data.source": "images",
    }
    (folder / FILE).write_text(write_problem(values), encoding="utf-8")

"""The docs say what is: every command, field, metric, rung, source and record of the code stands in them."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def test_the_generated_page_is_up_to_date() -> None:
    built = runpy.run_path(str(DOCS / "build.py"))["page"]()
    assert (DOCS / "commands.md").read_text(encoding="utf-8") == built, "run `python docs/build.py`"


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))], ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_rung_and_source_is_described() -> None:
    from modelwright.data.sources import SOURCES
    from modelwright.ladder.rungs import LANGUAGE_MODEL_RUNGS, RUNGS

    ladder, data = (DOCS / name for name in ("ladder.md", "data.md"))
    assert [
        name for name in (*RUNGS, *LANGUAGE_MODEL_RUNGS) if f"`{name}`" not in ladder.read_text(encoding="utf-8")
    ] == []
    assert len(SOURCES) > 5 and "hf://" in data.read_text(encoding="utf-8")


def test_every_metric_is_described() -> None:
    from modelwright.evaluation.metrics import METRICS

    text = (DOCS / "evaluation.md").read_text(encoding="utf-8")
    assert [name for name in METRICS if f"`{name}`" not in text] == []


def test_every_reason_and_finding_is_described() -> None:
    """Reasons for leaving an example out, and kinds of findings, as the code names them."""
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/modelwright/data").rglob("*.py"))
    text = (DOCS / "data.md").read_text(encoding="utf-8")
    kinds = set(re.findall(r"Finding\(\s*(?:kind=)?\"([a-z_]+)\"", source))
    assert kinds, "the pattern no longer fits how findings are made"
    assert sorted(kind for kind in kinds if f"`{kind}`" not in text) == []

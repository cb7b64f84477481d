"""A package holds what it should, proves itself when loaded, and is refused when anything in it changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from modelwright.deployment.files import sums_text
from modelwright.deployment.load import Loaded, load_package
from modelwright.deployment.package import package
from modelwright.errors import InputError, IntegrityError
from modelwright.models.predictors import Predictions
from modelwright.models.predictors.fake import Fake
from modelwright.records import Package

KINDS = ["table", "text", "image", "price"]
FILES = {
    "package.json",
    "signature.json",
    "golden.jsonl",
    "reference.json",
    "MODEL_CARD.md",
    "SHA256SUMS",
    "model/predictor.json",
    "model/fake.json",
}


def rewrite(folder: Path, name: str, content: bytes) -> None:
    """Change a file and all hashes, as somebody would who knows the format."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "package.json").read_text())
    manifest["files"] = {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in manifest["files"]}
    (folder / "package.json").write_text(json.dumps(manifest))
    hashes = manifest["files"] | {"package.json": hashlib.sha256((folder / "package.json").read_bytes()).hexdigest()}
    (folder / "SHA256SUMS").write_text(sums_text(hashes))


@pytest.fixture
def folder(loaded: Callable[[str], Loaded], tmp_path: Path) -> Path:
    """A copy of the table's package that may be spoilt."""
    copy = tmp_path / "demo-1"
    shutil.copytree(loaded("table").path, copy)
    return copy


@pytest.mark.parametrize("kind", KINDS)
def test_the_loaded_package_answers_as_the_predictor_did(
    kind: str, loaded: Callable[[str], Loaded], request: pytest.FixtureRequest
) -> None:
    case, found = request.getfixturevalue(kind), loaded(kind)
    assert found.golden.count == found.golden.passed == min(64, len(case.examples))
    lines = (Path(found.path) / "golden.jsonl").read_text().splitlines()
    inputs = [json.loads(line)["input"] for line in lines]
    assert found.predict(inputs) == [json.loads(line)["output"] for line in lines]
    assert found.predict([]) == []


def test_a_package_is_numbered_and_the_same_twice(
    table: Any, make: Callable[..., Package], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make(table, tmp_path), make(table, tmp_path)
    assert [Path(each.path).name for each in (first, second)] == ["demo-1", "demo-2"]
    assert first.id != second.id  # the number is part of what a package is
    elsewhere = make(table, tmp_path / "elsewhere")
    assert (elsewhere.id, elsewhere.files) == (first.id, first.files)
    assert set(first.files) == FILES
    assert {path.name for path in tmp_path.iterdir()} == {"demo-1", "demo-2", "elsewhere"}
    assert first.latency_ms is not None and first.latency_ms.p95 >= first.latency_ms.p50 > 0


def test_numbers_of_other_names_and_gaps_do_not_count(table: Any, make: Callable[..., Package], tmp_path: Path) -> None:
    for name in ("demo-7", "demo-x", "demo-extra-9", "demo-07"):
        (tmp_path / name).mkdir()
    assert Path(make(table, tmp_path).path).name == "demo-8"


def test_a_package_that_another_process_finished_first_gets_the_next_number(
    table: Any, make: Callable[..., Package], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import modelwright.deployment.package as room

    real, numbers = room._next_number, iter([1, 1])
    (tmp_path / "demo-1").mkdir()
    (tmp_path / "demo-1" / "package.json").write_text("somebody's")
    monkeypatch.setattr(room, "_next_number", lambda to, name: next(numbers, None) or real(to, name))
    found = make(table, tmp_path)
    assert Path(found.path).name == "demo-2"
    assert json.loads((Path(found.path) / "package.json").read_text())["version"] == 2


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_flipped_byte_anywhere_is_refused(name: str, folder: Path) -> None:
    content = bytearray((folder / name).read_bytes())
    for position in {0, len(content) // 3, len(content) // 2, len(content) - 2}:
        spoilt = bytearray(content)
        spoilt[position] ^= 1
        (folder / name).write_bytes(spoilt)
        with pytest.raises(IntegrityError, match=r"altered|disagree|damaged"):
            load_package(folder)
    (folder / name).write_bytes(content)
    load_package(folder)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(IntegrityError, match=name.replace(".", r"\.")):
        load_package(folder)


def test_extra_files_and_links_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model" / "hook.py").write_text("raise SystemExit('code ran')")
    with pytest.raises(IntegrityError, match=r"model/hook\.py is extra"):
        load_package(folder)
    (folder / "model" / "hook.py").unlink()
    outside = tmp_path / "fake.json"
    shutil.move(folder / "model" / "fake.json", outside)
    os.symlink(outside, folder / "model" / "fake.json")
    with pytest.raises(IntegrityError, match="is a link"):
        load_package(folder)


def test_golden_cases_that_differ_are_named_with_the_distance(folder: Path) -> None:
    rewrite(folder, "model/fake.json", json.dumps({"salt": "another", "seconds": 0, "poison": None}).encode())
    with pytest.raises(
        IntegrityError, match=r"of 64 golden cases differ.*case \d+: '(yes|no)' instead of .*off by 0\."
    ):
        load_package(folder)


def test_a_rewritten_package_is_refused_by_its_id(folder: Path, loaded: Callable[[str], Loaded]) -> None:
    rightful = loaded("table").id
    assert load_package(folder, expected_id=rightful).id == rightful
    rewrite(folder, "MODEL_CARD.md", b"It is perfect.")
    assert load_package(folder).id != rightful
    with pytest.raises(IntegrityError, match=rightful):
        load_package(folder, expected_id=rightful)


def test_a_predictor_that_is_saved_as_another_is_not_packaged(table: Any, tmp_path: Path) -> None:
    class Forgetful(Fake):
        def save(self, folder: Path) -> None:
            Fake(self.schema, salt="").save(folder)

    with pytest.raises(IntegrityError, match="golden cases differ"):
        package(
            Forgetful(table.predictor.schema, salt="mine"),
            name="demo",
            to=tmp_path,
            examples=table.examples,
            lineage={},
            seed=0,
        )
    assert list(tmp_path.iterdir()) == []


def test_requirements_are_those_of_the_class_and_must_be_there(folder: Path) -> None:
    manifest = json.loads((folder / "package.json").read_text())
    assert set(manifest["requirements"]) == {"modelwright", "numpy", "polars"}
    manifest["requirements"] |= {"polars": "0.1", "nowhere-to-be-found": "1.2"}
    (folder / "package.json").write_text(json.dumps(manifest))
    rewrite(folder, "MODEL_CARD.md", b"-")
    with pytest.raises(IntegrityError, match=r"pip install nowhere-to-be-found==1\.2"):
        load_package(folder)
    del manifest["requirements"]["nowhere-to-be-found"]
    (folder / "package.json").write_text(json.dumps(manifest))
    rewrite(folder, "MODEL_CARD.md", b"-")
    assert load_package(folder).notes[0].startswith("made with polars 0.1, here is ")


def test_a_newer_format_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / "package.json").read_text()) | {"format": 2}
    (folder / "package.json").write_text(json.dumps(manifest))
    rewrite(folder, "MODEL_CARD.md", b"-")
    with pytest.raises(IntegrityError, match="format"):
        load_package(folder)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a" * 101, "sp ace", "nul\0"])
def test_names_that_are_no_folder_are_refused(
    name: str, table: Any, make: Callable[..., Package], tmp_path: Path
) -> None:
    with pytest.raises(InputError):
        make(table, tmp_path / "packages", name)
    assert list(tmp_path.iterdir()) == []


def test_no_such_folder_and_no_examples(table: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_package(tmp_path / "nowhere")
    with pytest.raises(IntegrityError, match="is no package"):
        load_package(tmp_path)
    with pytest.raises(InputError, match="there are none"):
        package(table.predictor, name="demo", to=tmp_path, examples=table.examples.clear(), lineage={}, seed=0)


def test_golden_cases_cover_every_class_before_any_twice(loaded: Callable[[str], Loaded], text: Any) -> None:
    """64 cases over 30 classes of 4 examples each: every class twice, four of them three times."""
    lines = (Path(loaded("text").path) / "golden.jsonl").read_text().splitlines()
    given = [json.loads(line)["input"]["message"] for line in lines]
    counts = text.examples.filter(pl.col("message").is_in(given))["intent"].value_counts()["count"].to_list()
    assert sorted(counts) == [2] * 26 + [3] * 4


def test_the_reference_has_counts_but_no_example(loaded: Callable[[str], Loaded], text: Any) -> None:
    """`city`: Genf once, Bern 29, Basel 30, Chur 30, null 30 of 120. One person's town is not named."""
    reference = loaded("table").reference
    assert reference["columns"]["city"] == {
        "kind": "category",
        "missing": 0.25,
        "counts": {"Basel": 30, "Chur": 30, "Bern": 29},
        "others": 1,
    }
    assert reference["columns"]["income"]["missing"] == 18 / 120
    assert reference["columns"]["age"]["quantiles"]["0.5"] == 47.5  # of 18..77, each twice
    answers = reference["answers"]
    assert sum(answers["counts"].values()) == sum(answers["confidence"]["counts"]) == 120
    stored = (Path(loaded("text").path) / "reference.json").read_text()
    assert not any(message in stored for message in text.examples["message"].to_list())
    signature = (Path(loaded("table").path) / "signature.json").read_text()
    assert "Genf" not in signature and "Genf" not in json.dumps(reference)


def test_the_card_tells_the_evidence(loaded: Callable[[str], Loaded]) -> None:
    text = (Path(loaded("table").path) / "MODEL_CARD.md").read_text()
    _, front, body = text.split("---\n", 2)
    head = yaml.safe_load(front)
    assert head["pipeline_tag"] == "tabular-classification"
    assert head["model-index"][0]["results"][0]["metrics"] == [{"type": "macro_f1", "value": 0.9}]
    assert "| macro_f1 | 0.9 | 0.85 to 0.94 |" in body
    assert "goal, macro_f1 of 0.8, is met" in body
    assert "Say whether the customer stays." in body
    assert "`customer_id`" not in body  # the dataset's record was not given, only its id


def test_a_missing_value_is_allowed_only_where_the_model_takes_it(table: Any, tmp_path: Path) -> None:
    class Strict(Fake):
        def predict(self, examples: pl.DataFrame) -> Predictions:
            if examples["age"].null_count():
                raise ValueError("age is null")
            return Fake.predict(self, examples)

    found = package(
        Strict(table.predictor.schema), name="demo", to=tmp_path, examples=table.examples, lineage={}, seed=0
    )
    signature = json.loads((Path(found.path) / "signature.json").read_text())
    assert signature["input"]["required"] == ["age"]
    assert signature["input"]["properties"]["city"]["type"] == ["string", "null"]

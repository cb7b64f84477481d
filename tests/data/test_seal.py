"""The sealed part: what a look costs, what it tells, and that tampering is noticed."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import modelwright
from modelwright.data import ledger, seal
from modelwright.data.seal import Answer, Best, carry_looks, close_seal, look, open_seal
from modelwright.errors import SealError
from modelwright.records import POSITION, Column, Dataset, Schema, Seal

COUNT = 400


def sealed(folder: Path, *, looks: int = 20, seed: int = 0) -> Dataset:
    folder.mkdir(exist_ok=True)
    labels = np.random.default_rng(seed).integers(0, 2, COUNT).astype(str)
    examples = pl.DataFrame({POSITION: range(COUNT), "text": ["x"] * COUNT, "label": labels})
    state = close_seal(folder, examples, looks=looks)
    return dataset_in(folder, state)


def dataset_in(folder: Path, state: Seal) -> Dataset:
    schema = Schema("classification", "text", (Column("text", "text"),), "label", ("0", "1"), "1")
    return Dataset(
        "id", str(folder), schema, {"test": COUNT}, ("0", "1"), {}, (), state, "s.csv", "0" * 64, "80/10/10", 1.0
    )


def judge(guesses: np.ndarray) -> Callable[[pl.DataFrame, Best | None], Answer]:
    """Accuracy, and its paired difference from the best so far."""

    def answer(examples: pl.DataFrame, best: Best | None) -> Answer:
        right = (examples["label"].to_numpy() == guesses).astype(float)
        kept = pl.DataFrame({"right": right})
        figures = {"accuracy": float(right.mean())}
        if best is None:
            return Answer(figures, kept)
        gains = right - best.kept["right"].to_numpy()
        return Answer(figures, kept, float(gains.mean()), float(gains.std() / len(gains) ** 0.5))

    return answer


def guesses_with(share_right: float, seed: int = 0) -> np.ndarray:
    """Guesses of which the first `share_right` are right on the dataset of `sealed(seed=0)`."""
    labels = np.random.default_rng(seed).integers(0, 2, COUNT)
    right = np.arange(COUNT) < share_right * COUNT
    return np.where(right, labels, 1 - labels).astype(str)


def ledger_lines(dataset: Dataset) -> list[dict[str, object]]:
    return [json.loads(line) for line in (Path(dataset.path) / "ledger.jsonl").read_text().splitlines()]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return sealed(tmp_path / "dataset")


def test_the_first_look_tells_its_figures(dataset: Dataset) -> None:
    told = look(dataset, predictor="a", purpose="report", judge=judge(guesses_with(0.7)))
    assert told.figures == {"accuracy": 0.7}
    assert (told.number, told.looks_used, told.looks_allowed, told.masked) == (1, 1, 20, None)
    state = open_seal(dataset)
    assert (state.looks_used, state.best, state.count) == (1, "a", COUNT)


def test_a_later_look_tells_its_figures_only_where_it_is_clearly_better(dataset: Dataset) -> None:
    """z for 20 looks is the normal quantile of 1 - .05/20, 2.807.

    From 280 right of 400 to 284: gain .01, standard error sqrt(.01 * .99 / 400) = .00497, 2.01 of them: no.
    From 280 to 300: gain .05, standard error sqrt(.05 * .95 / 400) = .0109, 4.59 of them: yes.
    """
    assert open_seal(dataset).z == pytest.approx(2.807, abs=5e-4)
    look(dataset, predictor="a", purpose="report", judge=judge(guesses_with(0.70)))
    slight = look(dataset, predictor="b", purpose="report", judge=judge(guesses_with(0.71)))
    assert slight.figures is None
    assert slight.against == "a"
    assert slight.masked is not None and "not better than the best so far" in slight.masked
    clear = look(dataset, predictor="c", purpose="report", judge=judge(guesses_with(0.75)))
    assert clear.figures == {"accuracy": 0.75}
    assert open_seal(dataset).best == "c"


def test_masked_figures_stand_nowhere_in_the_folder(dataset: Dataset) -> None:
    look(dataset, predictor="a", purpose="report", judge=judge(guesses_with(0.7)))
    look(dataset, predictor="b", purpose="report", judge=judge(guesses_with(0.6825)))
    assert "0.6825" not in (Path(dataset.path) / "ledger.jsonl").read_text()
    assert len(list(Path(dataset.path, "sealed").glob("look-*.parquet"))) == 1


def test_the_same_question_again_costs_nothing(dataset: Dataset) -> None:
    first = look(dataset, predictor="a", purpose="report", judge=judge(guesses_with(0.7)))

    def never(examples: pl.DataFrame, best: Best | None) -> Answer:
        raise AssertionError("the test examples were handed out again")

    again = look(dataset, predictor="a", purpose="report", judge=never)
    assert again.repeated
    assert (again.figures, again.number, again.looks_used) == (first.figures, 1, 1)


def test_a_judge_that_fails_costs_the_look(dataset: Dataset) -> None:
    def failing(examples: pl.DataFrame, best: Best | None) -> Answer:
        raise RuntimeError("it fell over with the examples in hand")

    with pytest.raises(RuntimeError):
        look(dataset, predictor="a", purpose="report", judge=failing)
    assert open_seal(dataset).looks_used == 1


def test_a_killed_judge_costs_the_look(dataset: Dataset, tmp_path: Path) -> None:
    """A child process is killed by SIGKILL while it holds the test examples; the lock frees itself."""
    script = tmp_path / "child.py"
    script.write_text(
        "import os, signal, sys\n"
        "from modelwright.data.seal import look\n"
        "from modelwright.records import Dataset, Schema, Seal\n"
        "schema = Schema('classification', 'text', (), 'label', ('0', '1'))\n"
        f"dataset = Dataset('id', {dataset.path!r}, schema, {{}}, (), {{}}, (), Seal(400, 0, 20), '', '', '', 1.0)\n"
        "look(dataset, predictor='a', purpose='report',"
        " judge=lambda examples, best: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    child = subprocess.run([sys.executable, str(script)], env=os.environ, check=False)
    assert child.returncode == -signal.SIGKILL
    assert open_seal(dataset).looks_used == 1
    assert look(dataset, predictor="a", purpose="report", judge=judge(guesses_with(0.7))).looks_used == 2


def test_no_looks_are_left_after_the_last(tmp_path: Path) -> None:
    dataset = sealed(tmp_path / "dataset", looks=2)
    for name in "ab":
        look(dataset, predictor=name, purpose="report", judge=judge(guesses_with(0.7)))
    with pytest.raises(SealError, match="all 2 looks"):
        look(dataset, predictor="c", purpose="report", judge=judge(guesses_with(0.9)))


def test_every_look_has_two_entries_and_the_chain_holds(dataset: Dataset) -> None:
    look(dataset, predictor="a", purpose="report", judge=judge(guesses_with(0.7)))
    lines = ledger_lines(dataset)
    assert [line["kind"] for line in lines] == ["sealed", "look", "answer"]
    assert [line["number"] for line in lines] == [0, 1, 2]
    assert lines[0]["previous"] == "0" * 64
    assert [line["previous"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]


def swap_test_file(folder: Path) -> None:
    path = folder / "sealed" / "test.parquet"
    pl.read_parquet(path).with_columns(label=pl.lit("1")).write_parquet(path)


def flip_a_byte(folder: Path) -> None:
    path = folder / "sealed" / "test.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def remove_test_file(folder: Path) -> None:
    (folder / "sealed" / "test.parquet").unlink()


def edit_ledger(folder: Path) -> None:
    path = folder / "ledger.jsonl"
    path.write_text(path.read_text().replace('"predictor":"a"', '"predictor":"z"'))


def allow_more_looks(folder: Path) -> None:
    path = folder / "ledger.jsonl"
    path.write_text(path.read_text().replace('"looks_allowed":20', '"looks_allowed":99'))


def truncate_ledger(folder: Path) -> None:
    path = folder / "ledger.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))


def drop_a_line(folder: Path) -> None:
    path = folder / "ledger.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:1] + lines[2:]))


def drop_a_line_and_mend_the_head(folder: Path) -> None:
    drop_a_line(folder)
    number, last = (folder / "ledger.head").read_text().split()
    (folder / "ledger.head").write_text(f"{int(number) - 1} {last}\n")


def remove_ledger(folder: Path) -> None:
    (folder / "ledger.jsonl").unlink()


def remove_head(folder: Path) -> None:
    (folder / "ledger.head").unlink()


def empty_ledger(folder: Path) -> None:
    (folder / "ledger.jsonl").write_text("")


@pytest.mark.parametrize(
    "tamper",
    [
        swap_test_file, flip_a_byte, remove_test_file, edit_ledger, allow_more_looks, truncate_ledger,
        drop_a_line, drop_a_line_and_mend_the_head, remove_ledger, remove_head, empty_ledger,
    ],
)  # fmt: skip
def test_tampering_is_noticed(dataset: Dataset, tamper: Callable[[Path], None]) -> None:
    look(dataset, predictor="a", purpose="report", judge=judge(guesses_with(0.7)))
    tamper(Path(dataset.path))
    with pytest.raises(SealError):
        open_seal(dataset)
    with pytest.raises(SealError):
        look(dataset, predictor="b", purpose="report", judge=judge(guesses_with(0.9)))


def test_a_changed_best_is_noticed(dataset: Dataset) -> None:
    look(dataset, predictor="a", purpose="report", judge=judge(guesses_with(0.7)))
    pl.DataFrame({"right": [0.0] * COUNT}).write_parquet(Path(dataset.path, "sealed", "look-1.parquet"))
    with pytest.raises(SealError, match="look-1"):
        look(dataset, predictor="b", purpose="report", judge=judge(guesses_with(0.7)))


def test_a_torn_last_line_is_cut_off_and_the_ledger_goes_on(dataset: Dataset) -> None:
    """The line was being written when the machine stopped: its look had not begun."""
    look(dataset, predictor="a", purpose="report", judge=judge(guesses_with(0.7)))
    with Path(dataset.path, "ledger.jsonl").open("a") as file:
        file.write('{"kind":"look","lo')
    assert open_seal(dataset).looks_used == 1
    assert len(ledger_lines(dataset)) == 3


def test_a_line_that_the_head_does_not_know_yet_counts(dataset: Dataset) -> None:
    """The machine stopped between the ledger's line and the head: the look is spent."""
    folder = Path(dataset.path)
    head = (folder / "ledger.head").read_bytes()
    with ledger.locked(folder) as entries:
        ledger.append(folder, entries, {"kind": "look", "look": 1, "predictor": "a", "purpose": "report"})
    (folder / "ledger.head").write_bytes(head)
    assert open_seal(dataset).looks_used == 1
    assert (folder / "ledger.head").read_bytes() != head


def test_preparing_again_does_not_buy_new_looks(dataset: Dataset, tmp_path: Path) -> None:
    look(dataset, predictor="a", purpose="report", judge=judge(guesses_with(0.7)))
    again = sealed(tmp_path / "again")
    assert carry_looks(Path(dataset.path), Path(again.path))
    assert (open_seal(again).looks_used, open_seal(again).best) == (1, "a")
    other = sealed(tmp_path / "other", seed=1)
    assert not carry_looks(Path(dataset.path), Path(other.path))
    assert open_seal(other).looks_used == 0


def test_looking_a_lot_teaches_nothing(tmp_path: Path) -> None:
    """Coin flips have an accuracy of .5. An attacker asks for 60 and believes the last figure that he is told.

    The best of 60 plain scores is about .5 + 2.3 * .025 = .558. Here mostly the first figure alone is told,
    whose mean over the ten attacks is .5 within three standard errors, 3 * .025 / sqrt(10) = .024.
    """
    told, plain = [], []
    for attack in range(10):
        dataset = sealed(tmp_path / str(attack), looks=60)
        labels_N = np.random.default_rng(0).integers(0, 2, COUNT)
        guesses_KN = np.random.default_rng(attack + 1).integers(0, 2, (60, COUNT))
        plain.append((guesses_KN == labels_N).mean(axis=1).max())
        answers = [
            look(dataset, predictor=str(trial), purpose="report", judge=judge(guesses_N.astype(str)))
            for trial, guesses_N in enumerate(guesses_KN)
        ]
        told.append([each.figures["accuracy"] for each in answers if each.figures is not None][-1])
    assert np.mean(plain) > 0.55
    assert np.mean(told) < 0.524


def test_only_the_seal_and_evaluation_touch_the_sealed_part() -> None:
    """No file but data/seal.py names the sealed file, and none but evaluation/evaluate.py asks for a look."""
    root = Path(modelwright.__file__).parent
    naming, asking = [], []
    for path in sorted(root.rglob("*.py")):
        where = path.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = node.value
                if words in {"sealed", "test.parquet"} or "sealed/" in words.replace("`", "").split("\n")[0]:
                    naming.append(where)
            if isinstance(node, ast.ImportFrom) and node.module == "modelwright.data.seal":
                asking += [where for alias in node.names if alias.name in {"look", "FOLDER", "TEST", "*"}]
            if isinstance(node, ast.Import) and any(a.name == "modelwright.data.seal" for a in node.names):
                asking.append(where)
            if isinstance(node, ast.ImportFrom) and node.module == "modelwright.data":
                asking += [where for alias in node.names if alias.name == "seal"]
    assert set(naming) <= {"data/seal.py"}
    assert set(asking) <= {"evaluation/evaluate.py"}


def test_the_ledger_says_when_it_was_and_by_whom(dataset: Dataset) -> None:
    look(dataset, predictor="a", purpose="report", judge=judge(guesses_with(0.7)))
    entry = ledger_lines(dataset)[-1]
    assert (entry["predictor"], entry["purpose"], entry["look"]) == ("a", "report", 1)
    assert str(entry["time"]).endswith("+00:00")
    assert seal.LOOKS == 20

import random
from pathlib import Path

import pytest

from modelwright.errors import ProblemError
from modelwright.workflow import Check, Project

WORDS = "statement: Tell large from small.\ncorrect: large from 50 on.\n"


def checked(folder: Path, text: str, lines: list[str] | None = None) -> Check:
    if lines is None:
        draw = random.Random(0)
        lines = ["size,weight,colour,label"]
        for _ in range(400):  # neither size nor weight says it alone; about a tenth is large
            size, weight = draw.uniform(0, 100), draw.uniform(0, 100)
            label = "large" if size + weight >= 155 else "small"
            lines.append(f"{size:.4f},{weight:.4f},{draw.choice(['red', 'blue'])},{label}")
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    (folder / "problem.yaml").write_text(f"name: p\n{text}\n")
    return Project(folder).check()


def faults(check: Check) -> dict[str, str]:
    return {fault.where: str(fault) for fault in check.faults}


def questions(check: Check) -> dict[str, str]:
    return {question.where: question.question for question in check.questions}


GOOD = WORDS + "output: label\nmetric: macro_f1\ngoal: 0.9\ndata: {source: data.csv}\n"


def test_a_well_stated_problem_has_nothing_to_ask(tmp_path: Path) -> None:
    found = checked(tmp_path, GOOD)
    assert (found.faults, questions(found)) == ((), {})


def test_what_is_vague_is_asked(tmp_path: Path) -> None:
    found = checked(tmp_path, "output: label\ndata: {source: data.csv}\n")
    assert found.faults == ()
    assert questions(found).keys() >= {"statement", "correct", "goal"}


def test_faults_of_the_file_and_of_the_data_come_together(tmp_path: Path) -> None:
    text = "output: labl\nmetric: acuracy\nmetrc: x\ninput: [sise]\n"
    text += "data: {source: data.csv, split: {group: color}}\n"
    found = faults(checked(tmp_path, text))
    assert found.keys() == {"output", "metric", "metrc", "input", "data.split.group"}
    assert "did you mean label" in found["output"]
    assert "did you mean accuracy" in found["metric"]
    assert "did you mean size" in found["input"]
    assert "did you mean colour" in found["data.split.group"]


def test_a_source_that_is_not_there_offers_what_is(tmp_path: Path) -> None:
    found = faults(checked(tmp_path, GOOD.replace("data.csv", "dat.csv")))
    assert "data.csv" in next(iter(found.values()))


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    assert len(Project(tmp_path).check().faults) == 1


@pytest.mark.parametrize(
    ("stated", "where", "said"),
    [
        ("metric: r2\ngoal: 0.9", "metric", "judges regression"),
        ("metric: accuracy\ngoal: 95", "goal", "write 0.95 for 95 per cent"),
        ("metric: accuracy\ngoal: -0.5", "goal", "0 or more"),
        ("metric: log_loss\ngoal: -1", "goal", "0 or more"),
    ],
)
def test_a_metric_or_goal_that_cannot_be_is_a_fault(tmp_path: Path, stated: str, where: str, said: str) -> None:
    found = faults(checked(tmp_path, GOOD.replace("metric: macro_f1\ngoal: 0.9", stated)))
    assert said in found[where]


def test_trials_of_a_table_are_a_fault(tmp_path: Path) -> None:
    """A table is searched within the budget anyway, so that the number would be ignored; 1 is what is unset."""
    found = faults(checked(tmp_path, GOOD + "training: {trials: 8}\n"))
    assert found.keys() == {"training.trials"} and "training.budget_minutes" in found["training.trials"]
    assert checked(tmp_path, GOOD + "training: {trials: 1}\n").faults == ()
    checked(tmp_path, GOOD + "training: {trials: 8}\n")
    with pytest.raises(ProblemError, match="8, and the data are a table"):
        Project(tmp_path).ladder()


def test_settings_of_networks_are_noted_where_a_table_has_no_use_for_them(tmp_path: Path) -> None:
    """They are left out without harm, so that they are no fault; `auto` asks for nothing."""
    found = checked(tmp_path, GOOD + "training: {num_train_epochs: 3, batch_size: auto, compile: true, seed: 1}\n")
    why = "the data are a table, and what suits it is searched within training.budget_minutes"
    told = [f"training.epochs has no effect: {why}", f"training.compile has no effect: {why}"]
    assert not found.faults and list(found.notes[1:]) == told and "num_train_epochs" in found.notes[0]
    lines = ["text,label", *(f"what number {number} says at length,{'ab'[number % 2]}" for number in range(60))]
    text = WORDS + "output: label\ngoal: 0.9\ndata: {source: data.csv}\ntraining: {epochs: 3}\n"
    assert checked(tmp_path, text, lines).notes == ()


def test_a_goal_that_a_constant_answer_meets_is_questioned(tmp_path: Path) -> None:
    """A tenth is large (45 * 45 / 2 of 100 * 100), so that always answering small is right on .9."""
    found = questions(checked(tmp_path, GOOD.replace("metric: macro_f1\ngoal: 0.9", "metric: accuracy\ngoal: 0.8")))
    assert "one answer already reaches accuracy 0." in found["goal"]
    assert "balanced_accuracy" in found["goal"]


def test_a_goal_for_an_error_that_a_constant_answer_meets_is_questioned(tmp_path: Path) -> None:
    """The numbers lie within 0 and 1, so that no constant in between errs by more than 1."""
    draw = random.Random(0)
    lines = ["x,y", *(f"{draw.random():.5f},{draw.random():.5f}" for _ in range(300))]
    text = WORDS + "output: y\nmetric: mae\ngoal: 2\ndata: {source: data.csv}\n"
    assert "already reaches mae" in questions(checked(tmp_path, text, lines))["goal"]


def test_a_goal_above_what_the_labels_support_is_questioned(tmp_path: Path) -> None:
    """Each of 40 texts stands there ten times, nine times with one label and once with the other."""
    texts = [f"the message number {number} says something else" for number in range(40)]
    lines = ["text,label"]
    for number, text in enumerate(texts):
        label, other = ("a", "b") if number % 2 else ("b", "a")
        lines += [f"{text},{label}"] * 9 + [f"{text},{other}"]
    stated = WORDS + "output: label\nmetric: accuracy\ngoal: 0.99\ndata: {source: data.csv}\n"
    found = checked(tmp_path, stated, lines)
    assert "different outputs" in questions(found)["goal"]


def test_a_leak_is_questioned(tmp_path: Path) -> None:
    draw = random.Random(0)
    lines = ["size,answer,label"]
    for _ in range(400):
        label = draw.choice(["large", "small"])
        lines.append(f"{draw.random():.4f},{'L' if label == 'large' else 'S'},{label}")
    found = checked(tmp_path, GOOD, lines)
    assert any(question.where == "data" and "leakage" in question.question for question in found.questions)


def test_notes_tell_of_foreign_spellings(tmp_path: Path) -> None:
    found = checked(tmp_path, GOOD.replace("output:", "label:"))
    assert found.notes == ("label is read as output",)

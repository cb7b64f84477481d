from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelwright.errors import ProblemError
from modelwright.problem import load, parse, survey
from modelwright.problem.fields import Problem
from modelwright.problem.read import ALIASES
from modelwright.problem.write import paths, write

LEAST = {"name": "p", "output": "y", "data": {"source": "a.csv"}}


def faults(found: Any) -> dict[str, str]:
    with pytest.raises(ProblemError) as caught:
        parse(found)
    return {fault.where: str(fault) for fault in caught.value.faults}


def test_the_least_problem_is_enough() -> None:
    problem, notes = parse(LEAST)
    assert (problem.name, problem.output, problem.data.source) == ("p", "y", "a.csv")
    assert (problem.task, problem.metric, problem.input, problem.seed) == ("auto", "auto", "*", 0)
    assert notes == []


def test_there_are_at_most_forty_fields() -> None:
    assert len(list(paths())) <= 40


def test_a_budget_in_dollars_needs_a_price() -> None:
    (said,) = faults({**LEAST, "training": {"budget_dollars": 2}}).values()
    assert "no price" in said and "dollars_per_hour" in said


def test_trials_are_made_by_one_worker() -> None:
    (said,) = faults({**LEAST, "training": {"trials": 3}, "compute": {"workers": 2}}).values()
    assert "training.trials 3 with compute.workers 2" in said and "one of the two" in said
    assert parse({**LEAST, "training": {"trials": 3}})[0].training.trials == 3


def test_every_field_says_what_belongs_there() -> None:
    text = write({"name": "p", "output": "y", "data.source": "a.csv"})
    for path in paths():
        line = next(each for each in text.splitlines() if each.lstrip("# ").startswith(path.split(".")[-1] + ":"))
        assert line.count("#") >= 1 and len(line.split("#")[-1]) > 5, line


def test_every_fault_is_said_at_once() -> None:
    found = faults(
        {
            "name": "a b",
            "data": {"source": "x", "splitt": {}, "split": {"train": 0.8, "test": 0.3}},
            "goal": "high",
            "metrc": "f1",
            "task": "ranking",
            "training": {"learning_rate": "fast", "batch_size": 0, "seed": -1, "epochs": True},
            "constraints": {"latency": 3},
        }
    )
    assert found.keys() == {
        "name",
        "output",
        "data.splitt",
        "data.split",
        "goal",
        "metrc",
        "task",
        "training.learning_rate",
        "training.batch_size",
        "training.seed",
        "training.epochs",
        "constraints.latency",
    }
    assert "did you mean split" in found["data.splitt"]
    assert "did you mean metric?" in found["metrc"]
    assert "did you mean latency_ms?" in found["constraints.latency"]
    assert "add up to 1.2" in found["data.split"]
    assert "auto, classification, multilabel, regression" in found["task"]
    assert "is missing" in found["output"]


def test_a_language_model_has_no_output_and_every_other_task_has_one() -> None:
    unset = {name: value for name, value in LEAST.items() if name != "output"}
    problem, _ = parse({**unset, "task": "language-modeling"})
    assert problem.output is None
    assert "only task: language-modeling has none" in faults({**unset, "task": "generation"})["output"]
    assert "learns its input" in faults({**LEAST, "task": "language-modeling"})["output"]


def test_a_section_that_is_no_section_says_how_to_write_it() -> None:
    assert "write `data: {source: ...}`" in faults({**LEAST, "data": "a.csv"})["data"]


@pytest.mark.parametrize("found", [None, [], "text", 3])
def test_what_is_no_mapping_is_refused(found: Any) -> None:
    assert "problem.yaml" in faults(found)


@pytest.mark.parametrize("field", ["name", "output", "statement"])
def test_a_number_is_read_as_text(field: str) -> None:
    """YAML reads 2024 as a number; a column or a project may be called so."""
    problem, _ = parse({**LEAST, field: 2024})
    assert getattr(problem, field) == "2024"


def test_yes_unquoted_is_said_to_need_quotes() -> None:
    """YAML 1.1 reads `output: yes` as true."""
    assert "put it in quotes" in faults({**LEAST, "output": True})["output"]


def test_an_empty_value_is_unset() -> None:
    problem, _ = parse({**LEAST, "statement": None, "goal": None, "training": None})
    assert (problem.statement, problem.goal, problem.training.seed) == ("", None, 0)


@pytest.mark.parametrize("inputs", ["y", ["a", "y"], [], ["a", "a"]])
def test_inputs_that_cannot_be(inputs: Any) -> None:
    assert faults({**LEAST, "input": inputs})


@pytest.mark.parametrize("theirs", sorted(ALIASES))
def test_a_foreign_spelling_is_read_and_noted(theirs: str) -> None:
    ours = ALIASES[theirs]
    section = next((path.rpartition(".")[0] for path in paths() if path.split(".")[-1] == ours), "")
    value: Any = {"output": "z", "base": "b", "method": "full", "precision": "fp32"}.get(ours, 1)
    if ours == "validation":
        value = 0.1
    stated: dict[str, Any] = {**LEAST, "data": {"source": "a.csv"}}
    if ours == "output":
        del stated["output"]
    holder = stated
    for name in filter(None, section.split(".")):
        holder = holder.setdefault(name, {})
    holder[theirs] = value
    _, notes = parse(stated)
    assert notes == [f"{section}.{theirs} is read as {section}.{ours}".removeprefix(".").replace("as .", "as ")]


def test_both_spellings_at_once_are_a_fault() -> None:
    found = faults({**LEAST, "training": {"lr": 1e-3, "learning_rate": 1e-4}})
    assert "means the same as learning_rate" in found["training.lr"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nname: b\n", "'name' stands here twice"),
        ("name: [a\n", "line 2"),
        ("name: a: b\n", "quotes"),
        ("{a: 1}: 2\n", "cannot be the name of a field"),
        ("name: !!python/object:os.system x\n", "python/object"),
        ("", "is empty"),
        ("\x00", "is not YAML"),
        ("a: &a [*a]\n", "problem.yaml"),
    ],
)
def test_a_file_that_is_no_yaml_says_where(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "problem.yaml").write_text(text)
    with pytest.raises(ProblemError) as caught:
        load(tmp_path)
    assert said in str(caught.value)


def test_a_missing_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="modelwright new"):
        load(tmp_path)


def test_a_file_in_another_encoding_is_said(tmp_path: Path) -> None:
    (tmp_path / "problem.yaml").write_bytes("name: é".encode("utf-16"))
    with pytest.raises(ProblemError, match="UTF-8"):
        load(tmp_path)


def test_a_survey_looks_past_faults(tmp_path: Path) -> None:
    text = "name: p\noutput: y\nmetrc: f1\ngoal: high\ndata:\n  source: a.csv\n  splitt: 3\n"
    (tmp_path / "problem.yaml").write_text(text)
    problem, _, found = survey(tmp_path)
    assert problem is not None and problem.data.source == "a.csv"
    assert {fault.where for fault in found} == {"metrc", "goal", "data.splitt"}


def test_a_survey_of_nothing_gives_the_faults(tmp_path: Path) -> None:
    assert survey(tmp_path)[0] is None
    (tmp_path / "problem.yaml").write_text("name: p\n")
    problem, _, found = survey(tmp_path)
    assert problem is None
    assert {fault.where for fault in found} == {"output", "data"}


def uncommented(text: str) -> str:
    """All fields set to what they show, as a person would by taking "# " away."""
    fields = {path.split(".")[-1] for path in paths()} | set(Problem.model_fields) | {"split"}
    lines = []
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        lines.append(bare if bare.split(":")[0].strip() in fields else line)
    return "\n".join(lines)


def test_a_written_problem_is_read_back_with_and_without_its_comments() -> None:
    values = {
        "name": "p",
        "statement": "Route: each # message, to 'one' \"team\".",
        "output": "true",
        "input": ["a, b", "c: d", "[e]", "#f", "null", "3"],
        "goal": 0.9,
        "data.source": "a b.csv",
        "data.split.group": "g",
        "training.budget_minutes": 2,
    }
    stated, _ = parse(yaml.safe_load(write(values)))
    assert stated.statement == values["statement"]
    assert (stated.output, stated.input, stated.goal) == ("true", tuple(values["input"]), 0.9)  # type: ignore[arg-type]
    assert (stated.data.split.group, stated.training.budget_minutes) == ("g", 2)
    everything, _ = parse(yaml.safe_load(uncommented(write(values))))
    assert everything == stated


@settings(max_examples=50, deadline=None)  # a busy machine is no failure
@given(
    st.text(st.characters(blacklist_categories=("Cs",)), min_size=1),
    st.lists(st.text(min_size=1), min_size=1),
    st.text(min_size=1),
)
@example("0", ["0?", "?0", "a: b", "- a", "yes"], ",\x7f")
def test_any_name_survives_writing(output: str, inputs: list[str], statement: str) -> None:
    values = {"name": "p", "output": output, "input": inputs, "data.source": "a.csv", "statement": statement}
    found = yaml.safe_load(write(values))
    assert (found["output"], found["input"], found["statement"]) == (output, inputs, statement)


def test_the_problem_of_the_design_is_read() -> None:
    """The example of DESIGN.md section 4, less what comes with later issues."""
    text = """
name: intent-router
statement: Route each customer message to the team that can answer it.
correct: The one intent the customer asks for; the first when there are two.   # remark
task: classification
input: text
output: intent
metric: macro_f1
goal: 0.90
constraints: {latency_ms: 50, error_rate: 0.10, cost_per_1000: 0.05}
data:
  source: messages.csv
  split: {train: 0.8, validation: 0.1, test: 0.1, group: customer_id, time: null, column: null}
  test: null
model: {base: auto, method: auto}
training: {learning_rate: auto, batch_size: auto, epochs: auto, precision: auto, max_grad_norm: 1.0, seed: 0}
compute: {engine: local}
store: null
"""
    problem, notes = parse(yaml.safe_load(text))
    assert problem.constraints.latency_ms == 50
    assert problem.data.split.group == "customer_id"
    assert notes == []

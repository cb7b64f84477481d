"""Training adapters: what is saved opens in PEFT and in plain transformers, and a run can be interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelwright.data.parts import read_part
from modelwright.models.predictors import load_predictor
from modelwright.problem import Problem
from modelwright.records import Dataset, Plan, Progress, Run
from modelwright.training.plan import plan
from modelwright.training.train import train

pytest.importorskip("peft")


def asked(problem: Problem, method: str) -> Problem:
    if method == "qlora":
        pytest.importorskip("bitsandbytes")
    training = problem.training.model_copy(update={"learning_rate": 5e-3, "epochs": 5.0})
    model = problem.model.model_copy(update={"method": method})
    return problem.model_copy(update={"model": model, "training": training})


def trained(dataset: Dataset, made: Plan, folder: Path, progress=lambda progress: None) -> Run:
    return train(
        dataset, made, metric="accuracy", folder=folder, project=folder.parent, budget_seconds=600, progress=progress
    )


@pytest.mark.parametrize("method", ["lora", "qlora"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_adapters_learn_and_open_elsewhere(
    method: str, text_dataset: Dataset, problem: Problem, tiny_encoder: Path, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModel

    made = plan(text_dataset, asked(problem, method), folder=tmp_path, metric="accuracy", budget_seconds=600)
    assert made.method == method and made.settings["rank"].value == 16
    run = trained(text_dataset, made, tmp_path / "run")
    assert run.validation["accuracy"].value > 0.8
    validation = read_part(text_dataset, "validation")
    predictor = load_predictor(tmp_path / "run/predictor")
    answers = predictor.predict(validation)
    assert (answers.indices_N == [text_dataset.classes.index(each) for each in validation["label"]]).mean() > 0.8

    base = AutoModel.from_pretrained(tiny_encoder)
    adapted = PeftModel.from_pretrained(base, tmp_path / "run/adapters").eval()
    plain = AutoModel.from_pretrained(next((tmp_path / "run/predictor").rglob("model.safetensors")).parent).eval()
    inputs = {"input_ids": torch.arange(4, 24).reshape(2, 10), "attention_mask": torch.ones(2, 10, dtype=torch.int64)}
    with torch.no_grad():
        first, second = adapted(**inputs).last_hidden_state, plain(**inputs).last_hidden_state
    torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)


class Stop(Exception):
    pass


@pytest.mark.parametrize("method", ["lora", "qlora"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_an_interrupted_run_of_adapters_ends_alike(
    method: str, text_dataset: Dataset, problem: Problem, tmp_path: Path
) -> None:
    made = plan(text_dataset, asked(problem, method), folder=tmp_path, metric="accuracy", budget_seconds=600)
    whole = trained(text_dataset, made, tmp_path / "whole")

    def stop(progress: Progress) -> None:
        if progress.what == "training" and progress.done == 17:
            raise Stop

    with pytest.raises(Stop):
        trained(text_dataset, made, tmp_path / "parts", stop)
    held = next((tmp_path / "parts/checkpoints").glob("step-*/network.safetensors"))
    assert held.stat().st_size < 200_000, "the frozen weights need not be kept"
    parts = trained(text_dataset, made, tmp_path / "parts")
    assert parts.weights_sha256 == whole.weights_sha256
    assert (tmp_path / "parts/log.jsonl").read_bytes() == (tmp_path / "whole/log.jsonl").read_bytes()


def test_without_peft_the_plan_says_what_to_install(
    text_dataset: Dataset, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelwright.errors import RefusedError
    from modelwright.training import consider as planning

    monkeypatch.setattr(planning, "find_spec", lambda name: None)
    with pytest.raises(RefusedError, match=r"needs peft: pip install 'modelwright\[lora\]'"):
        plan(text_dataset, asked(problem, "lora"), folder=tmp_path, metric="accuracy", budget_seconds=600)

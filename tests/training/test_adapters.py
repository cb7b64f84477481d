"""Training adapters: what is saved opens in PEFT and in plain transformers, and a run can be interrupted."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest

from modelwright.data.parts import read_part
from modelwright.models.predictors import load_predictor
from modelwright.problem import Problem
from modelwright.records import Dataset, Plan, Progress, Run
from modelwright.training.job import Job, build, built_on
from modelwright.training.plan import plan
from modelwright.training.train import train

pytest.importorskip("peft")


def asked(problem: Problem, method: str, precision: str = "fp32") -> Problem:
    if method == "qlora":
        pytest.importorskip("bitsandbytes")
    training = problem.training.model_copy(update={"learning_rate": 5e-3, "epochs": 5.0, "precision": precision})
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


@pytest.mark.parametrize(("method", "precision"), [("lora", "fp32"), ("lora", "bf16"), ("qlora", "fp32")])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_an_interrupted_run_of_adapters_ends_alike(
    method: str, precision: str, text_dataset: Dataset, problem: Problem, tmp_path: Path
) -> None:
    asking = asked(problem, method, precision)
    made = plan(text_dataset, asking, folder=tmp_path, metric="accuracy", budget_seconds=600)
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


QLORA = {
    "batch_size": 16,
    "seed": 0,
    "max_length": 32,
    "image_size": 0,
    "smoothing": 0.0,
    "vary": False,
    "rank": 4,
    "alpha": 8,
    "quantised": True,
    "precision": "fp32",
    "checkpointing": 0,
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_one_model_is_let_go_before_the_next_is_loaded(
    text_dataset: Dataset, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one in float32 before that in four bits comes, and that again before the one that is merged into."""
    pytest.importorskip("bitsandbytes")
    from modelwright.training import trained

    parts = (read_part(text_dataset, "train"), read_part(text_dataset, "validation"))
    job = build(text_dataset.schema, *parts, base=tiny_encoder, settings=QLORA)
    last, load = [weakref.ref(job.network.transformer)], trained._base
    seen: list[tuple[bool, bool]] = []

    def noted(job: Job, *, quantised: bool = False) -> object:
        seen.append((quantised, last[0]() is None))
        return load(job, quantised=quantised)

    monkeypatch.setattr(trained, "_base", noted)
    held = trained.begin(job)
    last[0] = weakref.ref(job.network.transformer)
    held.end()
    assert seen == [(True, True), (False, True)]


def test_what_will_be_held_in_four_bits_is_built_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelwright.models.precision.device", lambda: "cuda")
    assert [built_on({"quantised": each}, None) for each in (True, False)] == ["cpu", "cuda"]
    assert [built_on({"quantised": each}, "cuda:1") for each in (True, False)] == ["cpu", "cuda:1"]


def test_a_merged_model_goes_to_the_gpu_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four weights and two biases in float32 take 24 bytes."""
    import torch

    from modelwright.training import trained

    class Placed(torch.nn.Linear):
        def to(self, place: object) -> None:
            found.append(place)

    found: list[object] = []
    gpu = torch.device("cuda", 0)
    for free in (24, 25):
        monkeypatch.setattr(trained, "available_bytes", lambda free=free: free)
        trained._move(Placed(2, 2), gpu)
    assert found == [torch.device("cpu"), gpu]


def test_without_peft_the_plan_says_what_to_install(
    text_dataset: Dataset, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelwright.errors import RefusedError
    from modelwright.training import consider as planning

    monkeypatch.setattr(planning, "find_spec", lambda name: None)
    with pytest.raises(RefusedError, match=r"needs peft: pip install 'modelwright\[lora\]'"):
        plan(text_dataset, asked(problem, "lora"), folder=tmp_path, metric="accuracy", budget_seconds=600)

"""Text encoders from scratch: by plan and train, opened in plain transformers, interrupted, and chosen or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelwright.data.parts import read_part
from modelwright.errors import InputError, RefusedError
from modelwright.models.predictors import load_predictor
from modelwright.problem import Problem, parse
from modelwright.records import POSITION, Column, Dataset, Plan, Progress, Run, Schema, Seal
from modelwright.training.consider import consider
from modelwright.training.plan import plan
from modelwright.training.train import train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
NAMES = ("ada", "bob", "eve", "max", "Łucja", "zoë")
THINGS = ("cats", "dogs", "kites", "boats")
METRICS = {"classification": "accuracy", "multilabel": "micro_f1", "regression": "r2", "tagging": "micro_f1"}


def examples(task: str, count: int) -> pl.DataFrame:
    """Who sees how many of what: who it is says the class and stands in a span, and the things are the labels."""
    generator, rows = np.random.default_rng(3), []
    for _ in range(count):
        who, many = str(generator.choice(NAMES)), int(generator.integers(1, 5))
        what = sorted(map(str, generator.choice(THINGS, size=int(generator.integers(1, 3)), replace=False)))
        text = f"there {who} sees {' '.join(['very'] * many)} many {' and '.join(what)}"
        start = text.index(who)
        answer: Any = {
            "classification": f"class {NAMES.index(who) % 3}",
            "multilabel": what,
            "regression": 10.0 * many,
            "tagging": [{"start": start, "end": start + len(who), "label": "who"}],
        }[task]
        rows.append({"text": text, "answer": answer})
    return pl.DataFrame(rows)


def dataset_of(task: str, folder: Path, count: int = 320) -> Dataset:
    folder.mkdir()
    frame = examples(task, count).with_row_index(POSITION).with_columns(pl.col(POSITION).cast(pl.Int64))
    held = count // 5
    frame[:-held].write_parquet(folder / "train.parquet")
    frame[-held:].write_parquet(folder / "validation.parquet")
    listed = {
        "classification": ("class 0", "class 1", "class 2"),
        "multilabel": THINGS,
        "regression": (),
        "tagging": ("who",),
    }
    schema = Schema(task, "text", (Column("text", "text"),), "answer", listed[task])  # type: ignore[arg-type]
    parts = {"train": count - held, "validation": held, "test": 0}
    return Dataset("d", str(folder), schema, parts, listed[task], {}, (), Seal(0, 0, 20), "", "", "", 0.0)


def stated(model: dict[str, str], **training: Any) -> Problem:
    chosen = {"epochs": 8, "batch_size": 16, "precision": "fp32", **training}
    found, _ = parse({"name": "n", "output": "answer", "data": {"source": "none"}, "model": model, "training": chosen})
    return found


def trained(dataset: Dataset, made: Plan, metric: str, folder: Path, progress: Any = lambda progress: None) -> Run:
    return train(
        dataset, made, metric=metric, folder=folder, project=folder.parent, budget_seconds=600, progress=progress
    )


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression", "tagging"])
def test_each_task_is_learnt_and_opens_in_transformers(task: str, tmp_path: Path) -> None:
    """A vocabulary of 512 pieces at most, and positions for what is read at once: both of the training part alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    dataset, metric = dataset_of(task, tmp_path / "data"), METRICS[task]
    asked = stated({"base": "bert-2x128", "method": "scratch"})
    made = plan(dataset, asked, folder=tmp_path, metric=metric, budget_seconds=600)
    assert made.method == "scratch" and made.settings["head"].value == "random"
    assert made.settings["vocabulary"].value == 512
    run = trained(dataset, made, metric, tmp_path / "run")
    assert run.validation[metric].value > 0.9
    folder = next((tmp_path / "run/predictor").rglob("model.safetensors")).parent
    predictor: Any = load_predictor(tmp_path / "run/predictor")
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    text = "there zoë sees Ωmega"
    read = tokenizer(text, return_tensors="pt")
    assert tokenizer.decode(read["input_ids"][0], skip_special_tokens=True) == text
    assert network.config.vocab_size == len(tokenizer) <= 513  # and the token that hides others
    inputs = {name: read[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        theirs, ours = network(**inputs).last_hidden_state, predictor.network.encoder(**inputs).last_hidden_state
    torch.testing.assert_close(theirs, ours)


def test_the_vocabulary_is_of_the_training_part_alone(tmp_path: Path) -> None:
    """`xylophone` stands in every validation text and is no piece; `many`, of the training texts, is one."""
    from modelwright.training.job import build
    from modelwright.training.rules import sizes

    dataset = dataset_of("classification", tmp_path / "data")
    held = read_part(dataset, "validation").with_columns(pl.lit("many xylophone xylophone").alias("text"))
    train_part, asked = read_part(dataset, "train"), stated({"base": "bert-2x128"})
    found = sizes(dataset.schema, train_part, asked, "bert-2x128", "scratch")
    settings = {name: each.value for name, each in found.items()}
    job = build(dataset.schema, train_part, held, base="bert-2x128", settings=settings)
    pieces = job.predictor.tokenizer.tokenize("sees many xylophone")
    assert "Ġmany" in pieces and len(pieces) > 5


class Stop(Exception):
    pass


def test_an_interrupted_run_ends_alike(tmp_path: Path) -> None:
    dataset = dataset_of("classification", tmp_path / "data")
    made = plan(
        dataset, stated({"base": "bert-2x128"}, epochs=3), folder=tmp_path, metric="accuracy", budget_seconds=600
    )
    whole = trained(dataset, made, "accuracy", tmp_path / "whole")

    def stop(progress: Progress) -> None:
        if progress.what == "training" and progress.done == 40:
            raise Stop

    with pytest.raises(Stop):
        trained(dataset, made, "accuracy", tmp_path / "parts", stop)
    again = trained(dataset, made, "accuracy", tmp_path / "parts")
    assert again.weights_sha256 == whole.weights_sha256 and not again.not_exact


def test_it_is_taken_only_where_the_user_says_so(tmp_path: Path) -> None:
    """The texts take 320 x .8 x some 40 bytes, far under the ten megabytes of the larger entry."""
    dataset = dataset_of("classification", tmp_path / "data")

    def first(model: dict[str, str]) -> Any:
        return consider(dataset.schema, dataset, stated(model), folder=tmp_path)

    taken, *others = first({"method": "scratch"})
    assert (taken.model, taken.method, taken.fits) == ("bert-2x128", "scratch", True)
    told = {each.model: each for each in others}
    assert told["bert-6x384"].reason.startswith("for 10 MB of text or more") and not told["bert-6x384"].fits
    left = {each.model: each for each in first({"method": "auto"})}
    assert not left["bert-2x128"].fits and "model.method to scratch" in left["bert-2x128"].reason
    (refused,) = first({"base": "bert-2x128", "method": "lora"})
    assert refused.reason == "it starts from fresh weights: set model.method to scratch, and not to lora"


def test_what_is_no_encoder_of_text_is_named(tmp_path: Path, tiny_encoder: Path) -> None:
    dataset = dataset_of("classification", tmp_path / "data")
    for base in ("llama-2x128", "resnet-small"):
        with pytest.raises(InputError, match=rf"'{base}' is no encoder of text.*bert-2x128 or bert-6x384"):
            plan(dataset, stated({"base": base}), folder=tmp_path, metric="accuracy", budget_seconds=600)
    asked = stated({"base": str(tiny_encoder), "method": "scratch"})
    with pytest.raises(RefusedError, match=r"it is pre-trained: set model.method to full, and not to scratch"):
        plan(dataset, asked, folder=tmp_path, metric="accuracy", budget_seconds=600)
    tagged = replace(dataset.schema, task="tagging")
    with pytest.raises(InputError, match="is no encoder of text"):
        plan(
            replace(dataset, schema=tagged),
            stated({"base": "llama-2x128"}),
            folder=tmp_path,
            metric="micro_f1",
            budget_seconds=600,
        )

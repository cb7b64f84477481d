"""Language models by plan and train: from scratch, from a folder in hub layout, with adapters; interrupted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from modelwright.errors import InputError
from modelwright.models.language import language_from_scratch
from modelwright.models.predictors import load_predictor
from modelwright.models.text import tokenizer_in
from modelwright.models.vocabulary import learn_tokenizer
from modelwright.problem import Problem, parse
from modelwright.records import POSITION, Column, Dataset, Plan, Progress, Run, Schema, Seal
from modelwright.training.plan import plan
from modelwright.training.train import train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
COLOURS, THINGS = ["red", "blue", "green", "grey"], ["cat", "dog", "hat", "kite"]


def sentences(count: int, seed: int) -> list[str]:
    """Sentences of a grammar of eight words: far fewer bits than their letters have."""
    generator = np.random.default_rng(seed)
    return [
        f"the {generator.choice(COLOURS)} {generator.choice(THINGS)} sees the {generator.choice(THINGS)}"
        for _ in range(count)
    ]


def dataset_of(folder: Path, schema: Schema, frame: pl.DataFrame) -> Dataset:
    folder.mkdir(parents=True)
    frame = frame.with_row_index(POSITION).with_columns(pl.col(POSITION).cast(pl.Int64))
    cut = int(0.8 * len(frame))
    frame[:cut].write_parquet(folder / "train.parquet")
    frame[cut:].write_parquet(folder / "validation.parquet")
    parts = {"train": cut, "validation": len(frame) - cut, "test": 0}
    return Dataset("d", str(folder), schema, parts, (), {}, (), Seal(0, 0, 20), "", "", "", 0.0)


@pytest.fixture
def texts(tmp_path: Path) -> Dataset:
    found = sentences(300, seed=1)
    schema = Schema("language-modeling", "text", (Column("text", "text"),), "bytes")
    frame = pl.DataFrame({"text": found, "bytes": [float(len(each.encode())) for each in found]})
    return dataset_of(tmp_path / "texts", schema, frame)


@pytest.fixture
def questions(tmp_path: Path) -> Dataset:
    """What colour is a thing? The answer stands in the question."""
    generator = np.random.default_rng(2)
    colours = [str(generator.choice(COLOURS)) for _ in range(300)]
    asked = [f"a {colour} {generator.choice(THINGS)}: which colour" for colour in colours]
    schema = Schema("generation", "text", (Column("prompt", "text"),), "answer")
    return dataset_of(tmp_path / "questions", schema, pl.DataFrame({"prompt": asked, "answer": colours}))


@pytest.fixture(scope="session")
def tiny_language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with fresh weights in hub layout, without a chat template."""
    folder = tmp_path_factory.mktemp("tiny-language")
    tokenizer = learn_tokenizer(sentences(200, seed=3), size=300)
    torch.manual_seed(0)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    config = {**sizes, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 128}
    language_from_scratch("llama", "causal", config).model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def asked(task: str, base: Path | str, method: str = "auto", **training: Any) -> Problem:
    settings = {"epochs": 3, "precision": "fp32", **training}
    model = {"base": str(base), "method": method}
    output = {} if task == "language-modeling" else {"output": "answer"}
    found, _ = parse(
        {"name": "tiny", "task": task, **output, "data": {"source": "none"}, "model": model, "training": settings}
    )
    return found


def planned(dataset: Dataset, problem: Problem, folder: Path, metric: str) -> Plan:
    return plan(dataset, problem, folder=folder, metric=metric, budget_seconds=600)


def trained(dataset: Dataset, made: Plan, folder: Path, metric: str, progress: Any = lambda progress: None) -> Run:
    return train(
        dataset, made, metric=metric, folder=folder, project=folder.parent, budget_seconds=600, progress=progress
    )


def test_from_scratch_a_grammar_is_learnt_and_opens_in_transformers(texts: Dataset, tmp_path: Path) -> None:
    """The grammar has 4 x 4 x 4 sentences of 29 to 32 bytes: 6 bits, about .2 a byte, are the least."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made = planned(texts, asked("language-modeling", "llama-2x128"), tmp_path, "bits_per_byte")
    assert made.method == "scratch" and made.settings["optimizer"].value == "muon"
    run = trained(texts, made, tmp_path / "run", "bits_per_byte")
    assert 0.19 < run.validation["bits_per_byte"].value < 0.35
    folder = tmp_path / "run/predictor"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("the red cat sees the", return_tensors="pt")
    said = tokenizer.decode(model.generate(**ids, max_new_tokens=4, do_sample=False)[0], skip_special_tokens=True)
    assert said.split()[-1] in THINGS
    assert load_predictor(folder).complete(["the blue"], max_tokens=3)[0].split()[0] in THINGS


@pytest.mark.parametrize(("method", "precision"), [("full", "fp32"), ("lora", "bf16"), ("qlora", "bf16")])
def test_answers_are_learnt_from_a_folder_in_hub_layout(
    method: str, precision: str, questions: Dataset, tiny_language: Path, tmp_path: Path
) -> None:
    if method != "full":
        pytest.importorskip("peft")
    if method == "qlora":
        pytest.importorskip("bitsandbytes")
    problem = asked(
        "generation", tiny_language, method, learning_rate=5e-3, epochs=8, precision=precision, batch_size=16
    )
    made = planned(questions, problem, tmp_path, "exact_match")
    run = trained(questions, made, tmp_path / "run", "exact_match")
    assert run.validation["exact_match"].value > 0.5  # of four colours
    folder = tmp_path / "run/predictor"
    settings = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    assert settings["eos_token_id"] == [tokenizer_in(folder).eos_token_id]  # a list: where answers were learnt to end
    if method == "full":
        return
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_language), tmp_path / "run/adapters")
    merged = AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.arange(40, 60)[None]
    with torch.no_grad():
        first, second = adapted(input_ids=ids).logits, merged(input_ids=ids).logits
    torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)


class Stop(Exception):
    pass


@pytest.mark.parametrize("task", ["language-modeling", "generation"])
def test_an_interrupted_run_ends_alike(task: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    dataset = request.getfixturevalue("texts" if task == "language-modeling" else "questions")
    metric = "bits_per_byte" if task == "language-modeling" else "token_f1"
    made = planned(dataset, asked(task, "llama-2x128", epochs=2), tmp_path, metric)
    whole = trained(dataset, made, tmp_path / "whole", metric)

    def stop(progress: Progress) -> None:
        if progress.what == "training" and progress.done == whole.steps // 2 + 3:
            raise Stop

    with pytest.raises(Stop):
        trained(dataset, made, tmp_path / "parts", metric, stop)
    parts = trained(dataset, made, tmp_path / "parts", metric)
    assert parts.weights_sha256 == whole.weights_sha256
    assert (tmp_path / "parts/log.jsonl").read_bytes() == (tmp_path / "whole/log.jsonl").read_bytes()


def test_a_model_that_goes_on_with_nothing_is_refused(texts: Dataset, tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.base"):
        planned(texts, asked("language-modeling", tiny_encoder), tmp_path, "bits_per_byte")


def test_a_token_to_pad_with_that_has_no_row_is_told(texts: Dataset, tiny_language: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_language, base)
    tokenizer = tokenizer_in(base)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(base)
    made = planned(texts, asked("language-modeling", base, batch_size=16), tmp_path, "bits_per_byte")
    assert made.preflight is not None
    told = "the model has no row for the pad_token '<pad>': batches are filled up with '<|pad|>'"
    assert told in made.preflight.notes


def test_a_role_that_validation_alone_has_counts_before_training(tiny_language: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_language, base)
    tokenizer = tokenizer_in(base)
    tokenizer.chat_template = (
        "{% for message in messages %}{% if message.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ message.content + '<|end|>' }}{% endfor %}"
    )
    tokenizer.save_pretrained(base)
    turns = [[{"role": "user", "content": each}] for each in sentences(100, seed=4)]
    turns[-1].insert(0, {"role": "system", "content": "Be brief."})
    frame = pl.DataFrame({"messages": [json.dumps(each) for each in turns], "answer": ["red"] * 100})
    schema = Schema("generation", "text", (Column("messages", "messages"),), "answer")
    dataset = dataset_of(tmp_path / "turns", schema, frame)
    with pytest.raises(InputError, match="fails on turns of system"):
        planned(dataset, asked("generation", base), tmp_path, "token_f1")


def test_what_a_model_knows_without_training_is_where_training_starts(
    knowing_model: Path, colour_questions: pl.DataFrame, tmp_path: Path
) -> None:
    """It answers all that it is asked as questions, kites too, of which train has none; a short training keeps that.

    What is saved has the words as its template, so that transformers alone asks and answers alike: it has learnt to
    end there, too. Killed and gone on with, it ends with the same bits.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    schema = Schema("generation", "text", (Column("prompt", "text"),), "answer")
    known = colour_questions.rename({"ask": "prompt", "say": "answer"})
    data = dataset_of(tmp_path / "known", schema, known)
    problem = asked("generation", knowing_model, "full", learning_rate=1e-3, epochs=12)
    made = planned(data, problem, tmp_path, "exact_match")
    assert made.preflight is not None
    assert all("Q: a " in shown.text and "which colour\nA:« " in shown.text for shown in made.preflight.shown)
    assert all("<|end|>»" in shown.text for shown in made.preflight.shown)
    run = trained(data, made, tmp_path / "run", "exact_match")
    assert run.validation["exact_match"].value == 1.0
    folder = tmp_path / "run/predictor"
    predictor, kites = load_predictor(folder), pl.read_parquet(Path(data.path) / "validation.parquet")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for question, answer in zip(kites["prompt"], predictor.predict(kites).texts_N, strict=True):
        turns = [{"role": "user", "content": question}]
        ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        said = model.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1] :]
        assert said[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(said, skip_special_tokens=True).strip() == answer

    def stop(progress: Progress) -> None:
        if progress.what == "training" and progress.done == run.steps // 2:
            raise Stop

    with pytest.raises(Stop):
        trained(data, made, tmp_path / "parts", "exact_match", stop)
    assert trained(data, made, tmp_path / "parts", "exact_match").weights_sha256 == run.weights_sha256

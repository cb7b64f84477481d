"""Masked language models: what is hidden, what a hidden word takes, and training by plan and train."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from modelwright.data.hidden import asked_bytes, hidden_texts
from modelwright.errors import InputError
from modelwright.models.direction import reads_both_ways
from modelwright.models.fitting.ngram import fit_frequencies, fit_ngram
from modelwright.models.guesses import FORMS, MOST_PIECES, form_nats, guesses_of
from modelwright.models.language import language_from_scratch
from modelwright.models.predictors import completer_of, load_predictor
from modelwright.models.predictors.masked_model import MaskedModel, Masking
from modelwright.models.text import IGNORED
from modelwright.models.vocabulary import learn_masking_tokenizer
from modelwright.problem import Problem, parse
from modelwright.records import POSITION, Column, Dataset, Plan, Progress, Run, Schema, Seal
from modelwright.training.masked import FRESH
from modelwright.training.masks import masks_of
from modelwright.training.plan import plan
from modelwright.training.train import train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
METRIC = "bits_per_byte"
SCHEMA = Schema("language-modeling", "text", (Column("text", "text"),), "bytes", masked=True)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "cat", "dog", "sees", "the", "##s"]


def sentences(count: int, seed: int) -> list[str]:
    """A thing has always the same colour: what is hidden of one stands in the other, on either side."""
    generator, pairs = np.random.default_rng(seed), ["red cat", "blue dog", "green hat", "grey kite", "pink car"]
    return [f"the {generator.choice(pairs)} sees the {generator.choice(pairs)}" for _ in range(count)]


@pytest.fixture
def texts(tmp_path: Path) -> Dataset:
    folder = tmp_path / "texts"
    folder.mkdir()
    frame = pl.DataFrame({"text": sentences(300, seed=1)}).with_row_index(POSITION)
    frame = frame.with_columns(pl.col(POSITION).cast(pl.Int64), bytes=asked_bytes(SCHEMA, frame).cast(pl.Float64))
    frame[:240].write_parquet(folder / "train.parquet")
    frame[240:].write_parquet(folder / "validation.parquet")
    parts = {"train": 240, "validation": 60, "test": 0}
    return Dataset("d", str(folder), SCHEMA, parts, (), {}, (), Seal(0, 0, 20), "", "", "", 0.0)


@pytest.fixture(scope="session")
def cased_out() -> Any:
    """A tokenizer that knows a few words in small letters."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.normalizer, inner.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    inner.decoder = decoders.WordPiece()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, mask_token="[MASK]", **names)


@pytest.fixture
def folder_of(cased_out: Any, tmp_path: Path) -> Path:
    """A BERT with fresh weights and no layer that guesses words, in hub layout."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, **sizes)
    BertModel(config).save_pretrained(tmp_path / "bert")
    cased_out.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def uniform(tokenizer: Any, **how: Any) -> MaskedModel:
    """A model to which all words of the vocabulary are alike."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    network = language_from_scratch("bert", "masked", {**sizes, "vocab_size": len(tokenizer)})
    for weight in network.parameters():
        torch.nn.init.zeros_(weight)
    return MaskedModel(SCHEMA, network, Masking(**how), tokenizer)


def test_a_hidden_word_takes_its_form_and_its_tokens(cased_out: Any) -> None:
    """All of 12 tokens are alike: log2 12 a token. Of 25 forms + 2 words seen, each seen has 2/27, others 1/27.

    "cats" (2 tokens) and "The" (1, with a capital) are those seen. "Dog" is of The's form; "cows" is not known: 4 bytes
    and its end, of 257 symbols each, and its form; "DOGS" are two tokens in capitals.
    """
    nats_F = form_nats(guesses_of(cased_out, ["cats", "The"], length=16).forms_NF)
    assert nats_F.shape == (FORMS,) == (3 * MOST_PIECES + 1,)
    frame = pl.DataFrame({"text": ["cats", "Dog", "cows", "DOGS", "", "red"]})
    found = uniform(cased_out, max_length=16, form_nats_F=tuple(nats_F.tolist())).predict(frame).values_N
    each, seen, other = math.log2(12), math.log2(27 / 2), math.log2(27)
    expected = [2 * each + seen, each + seen, 5 * math.log2(257) + other, 2 * each + other, 0.0, each + other]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_of_a_long_text_every_hidden_token_is_asked_once(cased_out: Any) -> None:
    """100 words in windows of at most 14 of them beside two special tokens; 15 words are hidden, everywhere alike."""
    text = " ".join(["red", "cats", "dog", "sees", "the"] * 20)
    found = guesses_of(cased_out, [text], length=16)
    targets = found.windows.targets[found.windows.targets != IGNORED]
    expected = [i for word in hidden_texts(text) for i in cased_out(word, add_special_tokens=False)["input_ids"]]
    assert sorted(targets.tolist()) == sorted(expected) and found.forms_NF.sum() == 15
    assert found.lengths_W.max() <= 16
    masked = found.windows.tokens.flat == cased_out.mask_token_id
    assert masked[found.windows.targets != IGNORED].all()
    taken = guesses_of(cased_out, ["red", text, "dog"], length=16).take(np.array([1]))
    np.testing.assert_array_equal(taken.windows.targets, found.windows.targets)


def test_what_training_hides_is_a_function_of_seed_row_and_epoch(cased_out: Any) -> None:
    """Of 20 tokens a row 3 are chosen; of all, 8 in 10 are masked and 1 in 10 is one of 7 ordinary tokens by chance."""
    rows = masks_of(cased_out, ["red cat sees the dog " * 4] * 400, length=22, seed=3)
    first, second = (np.concatenate(rows.order(batch_size=50, seed=3, epoch=epoch)) for epoch in (0, 1))
    assert sorted(first.tolist()) == list(range(400)) and sorted(second.tolist()) == list(range(400, 800))
    whole, again = rows.batch(second[:6]), rows.batch(second[:6])
    parts = [rows.batch(second[:2]), rows.batch(second[2:6])]
    for batch in (again, *parts[:1]):
        torch.testing.assert_close(batch.targets, whole.targets[: len(batch.targets)])
    torch.testing.assert_close(parts[1].inputs["input_ids"], whole.inputs["input_ids"][2:])
    assert not torch.equal(rows.batch(np.arange(9)).targets, rows.batch(400 + np.arange(9)).targets)
    batch = rows.batch(first)
    chosen = batch.targets != IGNORED
    assert (chosen.sum(1) == 3).all() and not chosen[:, [0, -1]].any()
    put, true = batch.inputs["input_ids"][chosen], batch.targets[chosen]
    masked, kept = float((put == cased_out.mask_token_id).float().mean()), float((put == true).float().mean())
    assert masked == pytest.approx(0.8, abs=0.04) and kept == pytest.approx(0.1 + 0.1 / 7, abs=0.03)
    whole_row = torch.where(chosen, batch.targets, batch.inputs["input_ids"])
    assert (whole_row == whole_row[0]).all()


def test_the_ladder_answers_the_same_question() -> None:
    """Bits of the hidden words alone: with no word hidden none, and fewer by knowing words than by knowing bytes."""
    train_part = pl.DataFrame({"text": sentences(200, seed=1)})
    asked = pl.DataFrame({"text": [*sentences(50, seed=2), ""]})
    size = asked_bytes(SCHEMA, asked).sum()
    fitted = [fit(SCHEMA, train_part, seed=0) for fit in (fit_frequencies, fit_ngram)]
    bytes_bits, words_bits = (each.predict(asked).values_N for each in fitted)
    assert words_bits[-1] == 0 and words_bits.sum() < bytes_bits.sum() < 8 * size
    assert completer_of(fitted[1]) is None


def asked(base: Path | str, method: str = "auto", **training: Any) -> Problem:
    found, _ = parse(
        {
            "name": "tiny",
            "task": "language-modeling",
            "data": {"source": "none"},
            "model": {"base": str(base), "method": method},
            "training": {"precision": "fp32", **training},
        }
    )
    return found


def planned(dataset: Dataset, problem: Problem, folder: Path, metric: str = METRIC) -> Plan:
    return plan(dataset, problem, folder=folder, metric=metric, budget_seconds=600)


def trained(dataset: Dataset, made: Plan, folder: Path, progress: Any = lambda progress: None) -> Run:
    return train(
        dataset, made, metric=made.settings["metric"].value, folder=folder, project=folder.parent,
        budget_seconds=600, progress=progress,
    )  # fmt: skip


def test_from_scratch_both_sides_are_learnt_and_others_can_use_it(texts: Dataset, tmp_path: Path) -> None:
    """A word by itself is one of a dozen; what its neighbour says of it leaves next to nothing of it."""
    from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

    made = planned(texts, asked("bert-2x128", epochs=20, learning_rate=4e-3, batch_size=16), tmp_path)
    assert made.method == "scratch" and made.preflight is not None
    assert all("«" in shown.text and "<|mask|>" not in shown.text for shown in made.preflight.shown)
    run = trained(texts, made, tmp_path / "run")
    train_part = pl.read_parquet(Path(texts.path) / "train.parquet")
    held = pl.read_parquet(Path(texts.path) / "validation.parquet")
    rung = fit_ngram(SCHEMA, train_part, seed=0).predict(held).values_N.sum() / held["bytes"].sum()
    assert run.validation[METRIC].value < 0.8 * rung
    folder = tmp_path / "run/predictor"
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(f"the red cat sees the blue{tokenizer.mask_token}", return_tensors="pt")
    place = ids["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    with torch.no_grad():
        assert tokenizer.decode(model(**ids).logits[0, place].argmax()) == " dog"
        assert AutoModel.from_pretrained(folder)(**ids).last_hidden_state.shape[-1] == 128
    bits = load_predictor(folder).predict(held).values_N
    assert bits.sum() / held["bytes"].sum() == pytest.approx(run.validation[METRIC].value, rel=1e-4)
    labelled = [pl.read_parquet(Path(texts.path) / f"{name}.parquet") for name in ("train", "validation")]
    place = tmp_path / "labelled"
    place.mkdir()
    for name, part in zip(("train", "validation"), labelled, strict=True):
        colours = pl.col("text").str.extract(r"the (\w+)").alias("label")
        part.with_columns(colours).write_parquet(place / f"{name}.parquet")
    classes = ("blue", "green", "grey", "pink", "red")
    schema = Schema("classification", "text", (Column("text", "text"),), "label", classes)
    dataset = replace(texts, path=str(place), schema=schema, classes=classes)
    problem, _ = parse(
        {
            "name": "colours",
            "task": "classification",
            "output": "label",
            "data": {"source": "none"},
            "model": {"base": str(folder)},
            "training": {"precision": "fp32", "epochs": 1, "batch_size": 16},
        }
    )
    told = trained(dataset, planned(dataset, problem, tmp_path, "accuracy"), tmp_path / "second")
    assert told.validation["accuracy"].value > 0.95


class Stop(Exception):
    pass


def test_a_model_without_a_layer_that_guesses_goes_on_and_says_so(
    texts: Dataset, folder_of: Path, tmp_path: Path
) -> None:
    """Killed and gone on with too: the same bits at the end."""
    assert reads_both_ways(str(folder_of), folder=tmp_path) and reads_both_ways("bert-2x128", folder=tmp_path)
    assert not reads_both_ways("auto", folder=tmp_path) and not reads_both_ways("llama-2x128", folder=tmp_path)
    made = planned(texts, asked(folder_of, epochs=2, batch_size=16), tmp_path)
    assert made.method == "full" and made.preflight is not None and FRESH in made.preflight.notes
    assert made.settings["learning_rate"].value == 4e-4
    several = planned(texts, asked(folder_of, batch_size=16, trials=2), tmp_path)
    assert several.search is not None and several.search.methods == ("full",), "adapters would leave that layer fresh"
    whole = trained(texts, made, tmp_path / "whole")

    def stop(progress: Progress) -> None:
        if progress.what == "training" and progress.done == whole.steps // 2 + 3:
            raise Stop

    with pytest.raises(Stop):
        trained(texts, made, tmp_path / "parts", stop)
    parts = trained(texts, made, tmp_path / "parts")
    assert parts.weights_sha256 == whole.weights_sha256
    assert (tmp_path / "parts/log.jsonl").read_bytes() == (tmp_path / "whole/log.jsonl").read_bytes()


def test_what_cannot_guess_is_refused(texts: Dataset, folder_of: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mask token"):
        planned(texts, asked(tiny_encoder), tmp_path)
    pytest.importorskip("peft")
    with pytest.raises(InputError, match=r"model\.method"):
        planned(texts, asked(folder_of, "lora"), tmp_path)


def test_adapters_are_merged_into_a_model_that_guesses(texts: Dataset, cased_out: Any, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = {**sizes, "vocab_size": len(WORDS), "max_position_embeddings": 32}
    language_from_scratch("bert", "masked", config).model.save_pretrained(tmp_path / "whole")
    cased_out.save_pretrained(tmp_path / "whole")
    made = planned(texts, asked(tmp_path / "whole", "lora", epochs=1), tmp_path)
    run = trained(texts, made, tmp_path / "run")
    assert made.preflight is not None and FRESH not in made.preflight.notes
    assert run.status == "completed" and (tmp_path / "run/adapters/adapter_config.json").is_file()


def test_the_tokenizer_of_ones_own_puts_ends_around_a_text() -> None:
    tokenizer = learn_masking_tokenizer(sentences(50, seed=1), size=300)
    ids = tokenizer("the cat")["input_ids"]
    assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id and tokenizer.mask_token_id not in ids
    assert tokenizer.decode(ids[1:-1]) == "the cat"

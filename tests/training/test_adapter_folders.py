"""A folder of adapters as `model.base`: merged into the base that it names, it is a model like any other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from modelwright.errors import InputError, ResourceError
from modelwright.models import merging
from modelwright.models.catalogue import locate
from modelwright.models.language import language_from_scratch, language_in
from modelwright.models.networks import encoder_in
from modelwright.models.predictors import load_predictor
from modelwright.models.text import tokenizer_in
from modelwright.problem import Problem, parse
from modelwright.records import POSITION, Column, Dataset, Schema, Seal
from modelwright.training.basis import basis_of
from modelwright.training.plan import plan
from modelwright.training.train import train

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
FIVE = {"num_labels": 5, "ignore_mismatched_sizes": True}
IDS = torch.arange(4, 24).reshape(2, 10)


def adapters(base: Path, auto: str, folder: Path, *, config: Any = None, labels: int = 2, **options: Any) -> Path:
    """Adapters with drawn weights beside the model in `base`, written by plain PEFT."""
    import transformers

    torch.manual_seed(1)
    heads = {"num_labels": labels, "ignore_mismatched_sizes": True} if "Classification" in auto else {}
    model = getattr(transformers, auto).from_pretrained(base, **heads)
    found = config or peft.LoraConfig(r=4, init_lora_weights=False, **{"target_modules": "all-linear", **options})
    adapted = peft.get_peft_model(model, found)
    for name, weight in adapted.named_parameters():
        if "modules_to_save" in name:
            torch.nn.init.normal_(weight.data)
    adapted.save_pretrained(folder)
    return folder


def renamed(adapter: Path, base: str) -> Path:
    """The same adapters with another name for their base."""
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "base_model_name_or_path": base}), encoding="utf-8")
    return adapter


LLAMA: list[dict[str, Any]] = [
    {"task_type": "CAUSAL_LM"},
    {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"layers.1.self_attn.q_proj": 2}, "use_rslora": True},
    {"target_modules": r".*\.layers\.1\..*(down|up)_proj", "use_dora": True, "task_type": "CAUSAL_LM"},
    {"target_modules": ["k_proj"], "modules_to_save": ["lm_head", "embed_tokens"], "task_type": "CAUSAL_LM"},
]


@pytest.mark.parametrize("options", LLAMA, ids=["all-linear", "list", "regex", "modules"])
def test_a_language_model_answers_as_peft_has_it(options: dict[str, Any], knowing_model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    adapter = adapters(knowing_model, "AutoModelForCausalLM", tmp_path / "adapter", **options)
    found = locate("adapter", folder=tmp_path)
    assert isinstance(found, Path) and found.name == "adapter" and not (found / "adapter_config.json").exists()
    base = AutoModelForCausalLM.from_pretrained(knowing_model)
    theirs, ours = peft.PeftModel.from_pretrained(base, adapter).eval(), language_in(found, "causal").eval()
    with torch.no_grad():
        expected, plain = theirs(input_ids=IDS).logits, AutoModelForCausalLM.from_pretrained(knowing_model)(IDS).logits
        torch.testing.assert_close(ours({"input_ids": IDS}), expected, atol=1e-5, rtol=1e-5)
    assert (expected - plain).abs().max() > 1e-2, "the adapters moved nothing"


@pytest.mark.parametrize("table", ["lm_head", "embed_tokens"])
def test_adapters_of_one_table_are_not_added_to_the_other(table: str, tmp_path: Path) -> None:
    """A model that reads and scores words by the same weights: PEFT's own merging would change both."""
    from transformers import AutoModelForCausalLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    torch.manual_seed(0)
    base = language_from_scratch("llama", "causal", {**sizes, "vocab_size": 64, "tie_word_embeddings": True}).model
    base.save_pretrained(tmp_path / "base")
    adapter = adapters(
        tmp_path / "base", "AutoModelForCausalLM", tmp_path / "adapter", target_modules=[table], task_type="CAUSAL_LM"
    )
    theirs = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), adapter).eval()
    ours = language_in(Path(locate("adapter", folder=tmp_path)), "causal").eval()
    with torch.no_grad():
        expected = theirs(input_ids=IDS).logits
        torch.testing.assert_close(ours({"input_ids": IDS}), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("auto", ["AutoModel", "AutoModelForSequenceClassification", "AutoModelForMaskedLM"])
def test_an_encoder_answers_as_peft_has_it(auto: str, tiny_encoder: Path, tmp_path: Path) -> None:
    """Adapters of a classifier of five on one of two, of an encoder, and of a masked model whose layer that guesses
    nobody has.
    """
    import transformers

    of_classes = "Classification" in auto
    if of_classes:
        two = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_encoder)
        shutil.copytree(tiny_encoder, tmp_path / "base")
        two.save_pretrained(tiny_encoder := tmp_path / "base")
    adapter = adapters(tiny_encoder, auto, tmp_path / "adapter", labels=5, task_type="SEQ_CLS" if of_classes else None)
    found = locate(str(adapter), folder=tmp_path)
    base = getattr(transformers, auto).from_pretrained(tiny_encoder, **(FIVE if of_classes else {}))
    theirs = peft.PeftModel.from_pretrained(base, adapter).eval().get_base_model().base_model
    ours = encoder_in(Path(found)).eval()
    with torch.no_grad():
        expected = theirs(IDS).last_hidden_state
        torch.testing.assert_close(ours(IDS).last_hidden_state, expected, atol=1e-5, rtol=1e-5)
    assert language_in(Path(found), "masked").fresh


def test_a_classifier_is_trained_on_from_adapters(
    text_dataset: Dataset, problem: Problem, tiny_encoder: Path, tmp_path: Path
) -> None:
    """What the plan says, and that a run which goes on where the merged folder was lost finds the same model."""
    adapters(tiny_encoder, "AutoModel", tmp_path / "adapter")
    problem = problem.model_copy(update={"model": problem.model.model_copy(update={"base": "adapter"})})
    made = plan(text_dataset, problem, folder=tmp_path, metric="accuracy", budget_seconds=600)
    assert made.model == "adapter" and made.candidates[0].reason.endswith("adapters, merged into their base")
    assert made.preflight is not None and f"the model is {tiny_encoder} with the adapters of" in made.preflight.notes[0]
    run = train(text_dataset, made, metric="accuracy", folder=tmp_path / "run", project=tmp_path, budget_seconds=600)
    assert run.validation["accuracy"].value > 0.9
    before = basis_of(text_dataset, made, locate("adapter", folder=tmp_path))
    shutil.rmtree(tmp_path / ".modelwright")
    assert basis_of(text_dataset, made, locate("adapter", folder=tmp_path)) == before


def test_answers_are_learnt_on_from_adapters(
    knowing_model: Path, colour_questions: pl.DataFrame, tmp_path: Path
) -> None:
    adapters(knowing_model, "AutoModelForCausalLM", tmp_path / "adapter", lora_alpha=1, task_type="CAUSAL_LM")
    (tmp_path / "questions").mkdir()
    frame = colour_questions.with_row_index(POSITION).with_columns(pl.col(POSITION).cast(pl.Int64))
    frame[:12].write_parquet(tmp_path / "questions/train.parquet")
    frame[12:].write_parquet(tmp_path / "questions/validation.parquet")
    schema = Schema("generation", "text", (Column("ask", "text"),), "say")
    parts = {"train": 12, "validation": 4, "test": 0}
    dataset = Dataset("d", str(tmp_path / "questions"), schema, parts, (), {}, (), Seal(0, 0, 20), "", "", "", 0.0)
    told = {"name": "t", "task": "generation", "output": "say", "data": {"source": "-"}, "model": {"base": "adapter"}}
    problem, _ = parse({**told, "training": {"epochs": 8, "learning_rate": 1e-3, "precision": "fp32"}})
    made = plan(dataset, problem, folder=tmp_path, metric="exact_match", budget_seconds=600)
    run = train(dataset, made, metric="exact_match", folder=tmp_path / "run", project=tmp_path, budget_seconds=600)
    assert run.status == "completed"
    assert len(load_predictor(tmp_path / "run/predictor").predict(frame[:2]).texts_N) == 2


def test_a_base_is_looked_for_where_it_may_be(tiny_encoder: Path, tmp_path: Path) -> None:
    """Relative to the project, to the adapters, and beside these by its last name."""
    adapter = adapters(tiny_encoder, "AutoModel", tmp_path / "elsewhere/adapter")
    for name, place in (
        ("models/one", tmp_path / "project/models/one"),
        ("../../two", tmp_path / "two"),
        ("owner/three", tmp_path / "elsewhere/three"),
    ):
        shutil.copytree(tiny_encoder, place)
        found = locate(str(renamed(adapter, name)), folder=tmp_path / "project")
        about = merging.about_merged(found)
        assert Path(about.split(" is ")[1].split(" with ")[0]).resolve() == place.resolve()


def test_adapters_and_their_base_may_be_on_the_hub(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    adapter = renamed(adapters(tiny_encoder, "AutoModel", tmp_path / "snapshots/5f1"), "owner/base")
    there = {"owner/adapter": adapter, "owner/base": tiny_encoder}
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda hub, **options: str(there[hub]))
    found = Path(locate("owner/adapter", folder=tmp_path))
    assert found.name == "adapter" and str(tiny_encoder) in merging.about_merged(found)


def test_what_is_merged_is_made_once_and_again_for_another(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = adapters(tiny_encoder, "AutoModel", tmp_path / "adapter")
    first = locate("adapter", folder=tmp_path)
    assert sorted(each.name for each in (tmp_path / ".modelwright/models").iterdir()) == [Path(first).parent.name]
    with monkeypatch.context() as patched:
        patched.delattr(merging, "_merge")
        assert locate("adapter", folder=tmp_path) == first
    adapters(tiny_encoder, "AutoModel", adapter, lora_alpha=32)
    assert locate("adapter", folder=tmp_path) != first


def test_what_is_fresh_is_the_same_whenever_it_is_made(tiny_encoder: Path, tmp_path: Path) -> None:
    """A masked model lacks the pooler of the encoder that the adapters are of; drawing it moves no run's generator."""
    from transformers import AutoModelForMaskedLM

    AutoModelForMaskedLM.from_pretrained(tiny_encoder).save_pretrained(tmp_path / "base")
    renamed(adapters(tiny_encoder, "AutoModel", tmp_path / "adapter"), str(tmp_path / "base"))
    made = []
    for seed in (1, 2):
        expected = torch.rand(1, generator=torch.Generator().manual_seed(seed))
        torch.manual_seed(seed)
        made.append((Path(locate("adapter", folder=tmp_path)) / "model.safetensors").read_bytes())
        assert torch.rand(1) == expected
        shutil.rmtree(tmp_path / ".modelwright")
    assert made[0] == made[1]


def test_the_tokenizer_is_the_adapters_own_where_they_have_one(tiny_encoder: Path, tmp_path: Path) -> None:
    adapter = adapters(tiny_encoder, "AutoModel", tmp_path / "adapter")
    theirs = tokenizer_in(tiny_encoder)
    assert tokenizer_in(Path(locate("adapter", folder=tmp_path))).get_vocab() == theirs.get_vocab()
    theirs.add_tokens(["overdraft"])
    theirs.save_pretrained(adapter)
    assert "overdraft" in tokenizer_in(Path(locate("adapter", folder=tmp_path))).get_vocab()


def test_tokens_that_were_added_for_adapters_are_kept(knowing_model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    larger = AutoModelForCausalLM.from_pretrained(knowing_model)
    rows = larger.get_input_embeddings().num_embeddings + 3
    larger.resize_token_embeddings(rows)
    adapted = peft.get_peft_model(
        larger, peft.LoraConfig(target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    )
    adapted.save_pretrained(tmp_path / "adapter")
    found = language_in(Path(locate("adapter", folder=tmp_path)), "causal").eval()
    assert found.vocabulary.out_features == rows
    with torch.no_grad():
        last = torch.tensor([[5, rows - 1, 9]])
        expected = adapted.eval()(input_ids=last).logits
        torch.testing.assert_close(found({"input_ids": last}), expected, atol=1e-5, rtol=1e-5)


def test_what_cannot_be_merged_says_why(
    tiny_encoder: Path, knowing_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(adapter: Path, said: str) -> None:
        with pytest.raises(InputError, match=said):
            locate(str(adapter), folder=tmp_path)

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    adapter = adapters(tiny_encoder, "AutoModel", tmp_path / "adapter")
    refused(renamed(adapter, "owner/base"), r"adapters of 'owner/base', and that is not a whole model on this machine")
    refused(renamed(adapter, ""), "names no base model")
    refused(renamed(adapter, str(adapter)), "not a whole model")
    refused(renamed(adapter, str(knowing_model)), "is a llama, and the adapters are of a BertModel")
    tuned = peft.PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")
    prompts = adapters(knowing_model, "AutoModelForCausalLM", tmp_path / "prompts", config=tuned)
    refused(prompts, "holds prompt tuning, which cannot be merged into a model's weights; expected LoRA")
    called = adapters(
        knowing_model, "AutoModelForCausalLM", tmp_path / "called", alora_invocation_tokens=[5], task_type="CAUSAL_LM"
    )
    refused(called, "cannot be merged into LlamaForCausalLM: aLoRA does not support merging")
    shutil.copyfile(tiny_encoder / "model.safetensors", adapter / "model.safetensors")
    refused(adapter, "which of them is meant")
    (prompts / "adapter_model.safetensors").unlink()
    refused(prompts, "no adapter_model.safetensors")
    monkeypatch.setattr(merging, "find_spec", lambda name: None)
    refused(called, r"pip install 'modelwright\[lora\]'")


def test_adapters_of_a_deeper_model_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    """Those of its third layer would be dropped without a word."""
    from transformers import BertConfig, BertModel

    config = BertConfig.from_pretrained(tiny_encoder, num_hidden_layers=3)
    BertModel(config).save_pretrained(tmp_path / "deep")
    adapter = adapters(tmp_path / "deep", "AutoModel", tmp_path / "adapter")
    with pytest.raises(InputError, match=r"not of this BertModel: .*layer\.2\."):
        locate(str(renamed(adapter, str(tiny_encoder))), folder=tmp_path)


def test_a_base_that_was_quantised_and_one_too_large_are_refused(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "base")
    adapter = adapters(tmp_path / "base", "AutoModel", tmp_path / "adapter")
    with monkeypatch.context() as patched:
        patched.setattr(merging, "free_bytes", lambda: 1000)
        with pytest.raises(ResourceError, match=r"merging adapters into .* memory has 0\.0 GB free"):
            locate(str(adapter), folder=tmp_path)
    path = tmp_path / "base/config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "quantization_config": {"quant_method": "bitsandbytes"}}), encoding="utf-8")
    with pytest.raises(InputError, match=r"quantised already \(bitsandbytes\).*adapter_config\.json"):
        locate(str(adapter), folder=tmp_path)

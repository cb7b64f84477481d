"""A language model as a predictor: bits of texts, windows of long ones, completions."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from modelwright.models import asking, chat
from modelwright.models.generate import generated
from modelwright.models.language import language_from_scratch, surprise
from modelwright.models.predictors import language_model as module
from modelwright.models.predictors import load_predictor, save_predictor
from modelwright.models.predictors.language_model import LanguageModel, Wording
from modelwright.models.text import IGNORED
from modelwright.models.vocabulary import learn_tokenizer
from modelwright.models.windows import windows_of
from modelwright.problem import parse
from modelwright.records import Column, Schema

SCHEMA = Schema("language-modeling", "text", (Column("text", "text"),), "bytes")
TEXTS = ["the cat sat on the mat", "a dog", "", "the log and the cat and the dog sat on the mat again"]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    tokenizer = learn_tokenizer(TEXTS * 20, size=300)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = {**sizes, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    network = language_from_scratch("llama", "causal", config).eval()
    return LanguageModel(SCHEMA, network, Wording(max_length=64), tokenizer)


@pytest.mark.parametrize(("length", "overlap"), [(64, 0), (8, 4), (5, 2), (3, 0)])
def test_every_token_and_the_end_of_every_text_is_asked_for_once(
    model: LanguageModel, length: int, overlap: int
) -> None:
    found = windows_of(model.tokenizer, TEXTS, length=length, overlap=overlap)
    end = model.tokenizer.eos_token_id
    for position, text in enumerate(TEXTS):
        part = found.take(np.array([position]))
        assert part.targets[part.targets != IGNORED].tolist() == [*model.tokenizer(text)["input_ids"], end]
        assert part.tokens.flat[0] == end  # every text is read from the start token on
    assert int(found.tokens.lengths_N.max()) <= length
    assert found.lengths_N.sum() == len(found.tokens.flat)


def test_bits_are_the_chain_rule_of_the_plain_model(model: LanguageModel) -> None:
    """Of one text: the sum of −log2 p of each token after the start and the tokens before it."""
    text = TEXTS[0]
    end = model.tokenizer.eos_token_id
    ids = torch.tensor([[end, *model.tokenizer(text)["input_ids"], end]])
    with torch.no_grad():
        logs = model.network.model(input_ids=ids).logits[0].double().log_softmax(-1)
    by_hand = -sum(float(logs[t, ids[0, t + 1]]) for t in range(ids.shape[1] - 1)) / math.log(2)
    found = model.predict(pl.DataFrame({"text": TEXTS})).values_N
    assert found is not None
    assert found[0] == pytest.approx(by_hand, rel=1e-5)
    alone = model.predict(pl.DataFrame({"text": [TEXTS[0]]})).values_N
    assert alone is not None and alone[0] == pytest.approx(found[0], rel=1e-6)
    assert found[2] > 0  # the end of an empty text is a surprise too


def test_a_window_reads_the_tokens_before_it(model: LanguageModel) -> None:
    """With windows of 8 that overlap by 7, every token sees the 7 before it: near what the whole text gives."""
    whole = model.outputs(windows_of(model.tokenizer, TEXTS, length=64))
    narrow = model.outputs(windows_of(model.tokenizer, TEXTS, length=8, overlap=7))
    assert narrow[:, 1].tolist() == whole[:, 1].tolist()
    assert narrow[1] == pytest.approx(whole[1], rel=1e-6)  # a text of fewer tokens is the same either way


def test_only_what_is_asked_for_costs(model: LanguageModel) -> None:
    ids = torch.tensor([[0, 5, 6, 7]])
    targets = torch.tensor([[IGNORED, 6, IGNORED, 3]])
    with torch.no_grad():
        nats = surprise(model.network, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, targets)
    assert nats[0, 0] == 0 and nats[0, 2] == 0 and (nats[0, [1, 3]] > 0).all()


def test_completions_repeat_by_seed_and_do_not_depend_on_company(model: LanguageModel) -> None:
    prompts = ["the cat", "a", "the dog and the log"]
    first = model.complete(prompts, max_tokens=6)
    assert first == model.complete(prompts, max_tokens=6)
    assert first == [model.complete([prompt], max_tokens=6)[0] for prompt in prompts]
    drawn = model.complete(prompts, max_tokens=12, temperature=1.5, seed=3)
    assert drawn == model.complete(prompts, max_tokens=12, temperature=1.5, seed=3)
    assert drawn != model.complete(prompts, max_tokens=12, temperature=1.5, seed=4)
    assert len(model.complete(["the mat " * 100], max_tokens=200)) == 1  # cut to what the model reads at once


SET = {
    "repetition_penalty": 9.0,
    "no_repeat_ngram_size": 1,
    "min_new_tokens": 12,
    "suppress_tokens": [5, 6, 7],
    "begin_suppress_tokens": list(range(2, 200)),
    "num_beams": 3,
    "do_sample": True,
    "temperature": 0.1,
    "top_k": 1,
    "top_p": 0.1,
    "min_p": 0.9,
}


def test_what_a_checkpoint_sets_for_others_changes_no_answer(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The likeliest tokens are those of plain scores, one after the other; draws are from all of them."""
    from transformers import GenerationConfig

    def written() -> list[str]:
        return [
            *model.complete(["the cat", "a"], max_tokens=12),
            *model.complete(["the cat", "a"], max_tokens=12, temperature=2.0, seed=1),
        ]

    before = written()
    ids = torch.tensor([[model.tokenizer.bos_token_id, *model.tokenizer("the cat")["input_ids"]]])
    begun = ids.shape[1]
    with torch.no_grad():
        for _ in range(12):
            ids = torch.cat([ids, model.network.model(input_ids=ids).logits[:, -1:].argmax(-1)], dim=1)
    assert before[0] == model._texts(ids[:, begun:].tolist(), [model.tokenizer.eos_token_id])[0]
    monkeypatch.setattr(model.network.model, "generation_config", GenerationConfig(**SET))
    assert written() == before


def test_a_draw_may_be_any_token(model: LanguageModel) -> None:
    """With nearly even chances a thousand draws of 300 tokens are more than fifty, the default of transformers."""
    torch.manual_seed(0)
    drawn = generated(model.network.model, [[0]] * 1000, pad=0, stops=[0], max_tokens=1, temperature=1e6)
    assert len({row[0] for row in drawn}) > 200


def test_saved_it_opens_in_plain_transformers_and_answers_alike(model: LanguageModel, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    save_predictor(model, tmp_path)
    again = load_predictor(tmp_path)
    examples = pl.DataFrame({"text": TEXTS})
    assert again.predict(examples).array.tolist() == model.predict(examples).array.tolist()
    plain, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer("the cat", return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(plain(**ids).logits, model.network.model(**ids).logits)


def test_a_template_is_tried_once(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trial renders conversations in the sandbox; roles of the data are looked at, so that one is enough."""
    tried: list[tuple[str, set[str]]] = []

    def trial(tokenizer: object, *, model: str, roles: object = ()) -> chat.ChatTemplate:
        tried.append((model, set(roles)))  # type: ignore[call-overload]
        return chat.chat_template(tokenizer, model=model, roles=roles)  # type: ignore[arg-type]

    monkeypatch.setattr(asking, "chat_template", trial)
    schema = Schema("generation", "text", (Column("text", "text"),), "say")
    predictor = LanguageModel(schema, model.network, Wording(max_length=64), model.tokenizer)
    settled = predictor.settle_asking(model="acme", roles={"system"})
    assert predictor.asking is settled and predictor.asking is settled
    assert tried == [("acme", {"system"})]
    untold = LanguageModel(schema, model.network, Wording(max_length=64), model.tokenizer)
    assert untold.asking is untold.asking and tried[1:] == [("this model", set())]


THINKING = """\
{%- for message in messages -%}
    {{- message.role + '\n' -}}
    {%- if message.role == 'assistant' and loop.last -%}{{- '<think>\n\n</think>\n\n' -}}{%- endif -%}
    {{- message.content + eos_token -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'assistant\n' -}}{%- endif -%}
"""


def test_what_the_template_puts_before_an_answer_is_no_part_of_it(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was learnt is written and taken off; room is made for its tokens. Other thinking is the answer's own."""
    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.chat_template = THINKING
    schema = Schema("generation", "text", (Column("ask", "text"),), "say")
    predictor = LanguageModel(schema, model.network, Wording(max_length=64), tokenizer)
    examples = pl.DataFrame({"ask": ["a", "a", "a"], "say": ["the cat", "the dog", "a dog"]})
    written = ["<think>\n\n</think>\n\nthe cat", "the dog", "<think>\na log?\n</think>\n\na dog"]
    rows = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id, 5] for text in written]
    monkeypatch.setattr(module, "generated", lambda *given, **options: rows)
    assert predictor.predict(examples).texts_N.tolist() == ["the cat", "the dog", written[2]]
    answer, lead = (len(tokenizer(text)["input_ids"]) for text in ("the cat", "<think>\n\n</think>"))
    assert predictor.asking.answer_tokens(examples[:1], max_length=64) == lead + answer + 8


def test_an_answer_ends_where_the_checkpoint_ends_one_too(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own list comes after the token that is learnt; it may be one number, a list or nothing."""
    schema, end = Schema("generation", "text", (Column("text", "text"),), "say"), model.tokenizer.eos_token_id
    for own, stops in ((7, (end, 7)), ([9, end, 7], (end, 9, 7)), (None, (end,))):
        monkeypatch.setattr(model.network.model.generation_config, "eos_token_id", own)
        assert LanguageModel(schema, model.network, Wording(max_length=64), model.tokenizer).asking.stops() == stops


def test_what_is_read_at_once_has_room_for_what_the_template_puts_around(model: LanguageModel, tmp_path: Path) -> None:
    """Questions of ten bytes need five tokens and 32 around them: 64. A house rule around them takes over 100."""
    from modelwright.training.language_rules import fitting_length, language_sizes

    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.chat_template = "{{- 'the dog sat on the log ' * 20 -}}" + THINKING
    model.network.model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    schema = Schema("generation", "text", (Column("ask", "text"),), "say")
    around = asking.asking(schema, tokenizer, plain=False, model="acme").around_tokens()
    assert 100 < around < 200 and fitting_length(np.full(9, 10.0), most=512).value == 64
    assert fitting_length(np.full(9, 10.0), most=512, around=around).value == 256
    problem, _ = parse({"name": "a", "data": {"source": "a.csv"}, "task": "generation", "output": "say"})
    train = pl.DataFrame({"ask": ["the cat"] * 9, "say": ["cat"] * 9})
    assert language_sizes(schema, train, problem, tmp_path, "full")["max_length"].value == 64  # all that it can read

"""Conversations as tokens: only answers carry loss, each up to its end token, as the model will be asked."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelwright.errors import InputError
from modelwright.models.asking import Asking
from modelwright.models.chat import ChatTemplate, chat_template, questions_of, roles_of, talks_of
from modelwright.models.completions import IGNORED, Completions, chats
from modelwright.models.endings import check_stop, settle_ends, stop_ids
from modelwright.models.marking import Encoder
from modelwright.models.vocabulary import learn_tokenizer
from modelwright.records import Column, Schema

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}{{- message.content + '<|im_end|>' }}{%- endgeneration %}
    {%- else %}
        {{- message.content + '<|im_end|>' }}
    {%- endif %}
    {{- '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""
HEADED = """\
{%- set ns = namespace(first=true) -%}
{{- bos_token -}}
{%- for message in messages if message.role != 'none' -%}
    {%- if loop.first and message.role == 'system' -%}
        {{- '<|system|>' ~ 'Today: ' ~ strftime_now('%d %b %Y') ~ '\n' ~ message.content | trim ~ '<|end|>' -}}
        {%- continue -%}
    {%- endif -%}
    {{- '<|' ~ message.role ~ '|>' ~ (message.content | trim) ~ '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""
BRACKETS = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message['role'] == 'user' %}{{- '[INST] ' + message['content'] + ' [/INST]' }}
    {%- elif message['role'] == 'assistant' %}{{- ' ' + message['content'] | trim + eos_token }}
    {%- elif message['role'] == 'system' %}{{- message['content'] + '\n\n' }}
    {%- else %}{{- raise_exception('Only user, assistant and system roles are supported!') }}{%- endif %}
{%- endfor %}
"""
THINKING = """\
{%- for message in messages -%}
    {{- '<|im_start|>' + message.role + '\n' -}}
    {%- if message.role == 'assistant' and loop.last -%}{{- '<think>\n\n</think>\n\n' -}}{%- endif -%}
    {{- message.content + '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
"""
TEMPLATES = {"ours": None, "chatml": CHATML, "marked": MARKED, "headed": HEADED, "brackets": BRACKETS}

TEXTS = [
    "What is the capital of France? Paris, of course.",
    "  two spaces before, and a line\n\nbreak or two after\n",
    "naïve café, 東京 🙂 – and 12,345.67 numbers",
    "def add(a, b):\n    return a + b\n",
    "Be brief and kind. A kite is a toy that flies.",
]


def byte_level() -> Any:
    """Byte pairs as GPT-2 and Llama 3 have them, with the tokens of chats."""
    tokenizer = learn_tokenizer(TEXTS * 5, size=500)
    chat = ["<|im_start|>", "<|im_end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
    tokenizer.add_tokens(chat, special_tokens=True)
    return tokenizer


def by_spaces() -> Any:
    """Pieces with their space before them and bytes for what is unknown, as Llama 2 and Mistral have them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Metaspace(prepend_scheme="first"), decoders.ByteFallback()])
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    chat = ["<|im_start|>", "<|im_end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|tool|>"]
    tokenizer.train_from_iterator(
        TEXTS * 5, trainers.BpeTrainer(vocab_size=520, special_tokens=special, show_progress=False)
    )
    tokenizer.add_special_tokens([AddedToken(each, special=True, normalized=False) for each in chat])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )


TOKENIZERS = {"byte_level": byte_level, "by_spaces": by_spaces}


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def talk(*contents: str, system: str = "") -> list[dict[str, str]]:
    turns = [turn(("user", "assistant")[number % 2], content) for number, content in enumerate(contents)]
    return [turn("system", system), *turns] if system else turns


TALKS = [
    talk("What is a kite?", "A toy that flies."),
    talk("Hi", "Hello, 東京 🙂", "And now?", "def add(a, b):\n    return a + b"),
    talk("Add 12 and 30.", "42", system="Be brief."),
]


def made(tokenizer: str, template: str | None) -> tuple[Any, ChatTemplate]:
    found = TOKENIZERS[tokenizer]()
    found.chat_template = template
    return found, chat_template(found, model="m", roles={"system"})


def learnt(found: Completions, row: int) -> np.ndarray:
    """Which tokens of an example are learnt: those that the token before them has as its target."""
    begin, end = found.tokens.starts[row : row + 2]
    targets = found.targets_flat[begin:end]
    assert targets[-1] == IGNORED
    carried = np.flatnonzero(targets != IGNORED)
    assert (targets[carried] == found.tokens.flat[begin:end][carried + 1]).all()
    mask = np.zeros(end - begin, bool)
    mask[carried + 1] = True
    return mask


def ids_of(found: Completions, row: int) -> list[int]:
    return found.tokens.flat[found.tokens.starts[row] : found.tokens.starts[row + 1]].tolist()


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_answers_and_their_end_tokens_carry_loss_and_nothing_else(kind: str, template: str) -> None:
    tokenizer, how = made(kind, TEMPLATES[template])
    found = chats(how, tokenizer, TALKS, max_length=400)
    assert found.kept_N.tolist() == [0, 1, 2] and not found.dropped and not found.notes
    stop = tokenizer.convert_tokens_to_ids(how.stop)
    for row, turns in enumerate(TALKS):
        ids, mask = np.asarray(ids_of(found, row)), learnt(found, row)
        answers = [each["content"] for each in turns if each["role"] == "assistant"]
        ends = np.flatnonzero(mask & (ids == stop))
        assert len(ends) == len(answers)
        for end, answer in zip(ends, answers, strict=True):
            begin = end - int(np.argmin(mask[: end + 1][::-1])) + 1  # after the last token before it without loss
            said = tokenizer.decode(ids[begin:end]).replace(" ", "")  # some decoders lose the first word's spaces
            assert said == answer.replace(" ", "")
            prompt = how.render(turns[: 2 * answers.index(answer) + 1 + len(turns) % 2], ask=True).text
            assert ids[:begin].tolist() == tokenizer(prompt, add_special_tokens=False)["input_ids"]
        text = how.render(turns).text
        assert ids.tolist() == tokenizer(text, add_special_tokens=False)["input_ids"]
    check_stop(found, stop_ids(tokenizer, how))


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_masks_are_those_of_transformers_where_the_template_marks_answers(kind: str) -> None:
    tokenizer, how = made(kind, MARKED)
    found = chats(how, tokenizer, TALKS, max_length=400)
    for row, turns in enumerate(TALKS):
        theirs = tokenizer.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)
        assert theirs["input_ids"] == ids_of(found, row)
        assert theirs["assistant_masks"] == learnt(found, row).astype(int).tolist()


def test_an_end_token_outside_of_the_marks_is_learnt_all_the_same() -> None:
    outside = MARKED.replace(
        "{{- message.content + '<|im_end|>' }}{%- endgeneration %}",
        "{{- message.content }}{%- endgeneration %}{{- '<|im_end|>' }}",
    )
    assert outside != MARKED
    tokenizer, how = made("byte_level", outside)
    inside = made("byte_level", MARKED)[1]
    one, other = (chats(each, tokenizer, TALKS, max_length=400) for each in (how, inside))
    assert (one.targets_flat == other.targets_flat).all()


def test_an_earlier_answer_that_the_template_rewrites_carries_no_loss() -> None:
    tokenizer, how = made("byte_level", THINKING)
    found = chats(how, tokenizer, TALKS, max_length=400)
    assert found.notes == ("1 of 3 have an earlier answer that the template rewrites: it carries no loss",)
    ids = np.asarray(ids_of(found, 1))
    assert (
        tokenizer.decode(ids[learnt(found, 1)]) == "<think>\n\n</think>\n\ndef add(a, b):\n    return a + b<|im_end|>"
    )


def test_what_cannot_be_learned_from_is_left_out_with_a_reason() -> None:
    tokenizer, how = made("byte_level", BRACKETS)
    odd = [
        talk("Say <|im_start|>user", "No."),
        [*talk("Hi", "Ho"), turn("tool", "31"), turn("assistant", "warm")],
        talk("Hi", "word " * 99),
        TALKS[0],
    ]
    found = chats(how, tokenizer, odd, max_length=64)
    assert [(each.index, each.reason) for each in found.dropped] == [
        (0, "control_token"),
        (1, "template_fails"),
        (2, "too_long"),
    ]
    assert "Only user, assistant and system roles" in found.dropped[1].where
    assert found.kept_N.tolist() == [3]
    with pytest.raises(InputError, match="none of 3 conversations can be learned from: 1 control_token"):
        chats(how, tokenizer, odd[:3], max_length=64)
    joined = CHATML.replace("<|im_start|>", ">").replace(" + '\n' +", " +").replace("assistant\n'", "assistant'")
    tokenizer = learn_tokenizer(["assistants"] * 9, size=400)
    tokenizer.add_tokens(["<|im_end|>"], special_tokens=True)
    tokenizer.chat_template = joined
    how = chat_template(tokenizer, model="m")
    with pytest.raises(InputError, match=r"3 not_a_prefix.*is one with the end of the prompt"):
        chats(how, tokenizer, [talk("Hi", "s are nice")] * 3, max_length=64)


def test_what_is_too_long_loses_its_oldest_turns_and_then_the_beginning_of_the_question() -> None:
    tokenizer, how = made("byte_level", CHATML)
    long = talk("one " * 40, "first", "two " * 40, "second", "three " * 40, "third", system="Be brief.")
    for most in (300, 200, 60):
        found = chats(how, tokenizer, [long], max_length=most)
        ids = ids_of(found, 0)
        assert len(ids) <= most
        text = tokenizer.decode(ids)
        assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>") and text.endswith("third<|im_end|>\n")
        assert how.stop in text and "<|im_start|>user" in text
        said = tokenizer.decode(np.asarray(ids)[learnt(found, 0)])
        if most == 60:
            assert said == "third<|im_end|>" and text.count("three") in range(3, 40)
            assert found.notes == (
                "1 of 1 lost the beginning of the question",
                "1 of 1 lost their oldest turns",
            )
        else:
            assert text.count("three") == 40 and found.notes == ("1 of 1 lost their oldest turns",)


@pytest.mark.parametrize(("room", "kept"), [(290, 2), (200, 1), (60, 1)])
def test_a_prompt_that_is_too_long_is_shortened_as_in_training(room: int, kept: int) -> None:
    """Where it begins and how its turns are headed is what the model has learnt from."""
    tokenizer, how = made("byte_level", CHATML)
    schema = Schema("generation", "text", (Column("messages", "messages"),), "answer")
    asking = Asking(schema, tokenizer, how, Encoder(tokenizer, how.stop))
    turns = talk("one " * 40, "first", "two " * 40, "second", "three " * 40, system="Be brief.")
    (ids,) = asking.after([turns], [()], room=room)
    text = tokenizer.decode(ids)
    assert len(ids) <= room
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")
    assert text.endswith("three three <|im_end|>\n<|im_start|>assistant\n")
    assert text.count("<|im_start|>user") == kept
    learnt_from = chats(how, tokenizer, [[*turns, turn("assistant", "")]], max_length=room + 2)
    assert ids_of(learnt_from, 0)[: len(ids)] == ids


def test_what_does_not_fit_without_a_question_loses_its_beginning() -> None:
    tokenizer, how = made("byte_level", CHATML)
    schema = Schema("generation", "text", (Column("messages", "messages"),), "answer")
    asking = Asking(schema, tokenizer, how, Encoder(tokenizer, how.stop))
    turns = talk("What is a kite?", system="Be brief. " * 20)
    (ids,) = asking.after([turns], [()], room=12)
    assert len(ids) == 12 and tokenizer.decode(ids).endswith("<|im_start|>assistant\n")
    assert asking.after([[]], [()], room=1) == [ids[-1:]]


def test_a_batch_is_padded_and_padding_carries_no_loss() -> None:
    tokenizer, how = made("by_spaces", BRACKETS)
    assert tokenizer.pad_token == tokenizer.eos_token
    found = chats(how, tokenizer, TALKS, max_length=400)
    inputs, targets = found.batch(np.arange(3))
    assert inputs["input_ids"].shape == targets.shape == inputs["attention_mask"].shape
    assert ((targets != IGNORED) <= inputs["attention_mask"].bool()).all()
    ends = (targets == tokenizer.eos_token_id).sum(1)
    assert ends.tolist() == [1, 2, 1]  # the end token is learnt though it is what batches are filled up with


def test_a_stop_that_is_not_learnt_is_refused() -> None:
    tokenizer, how = made("byte_level", CHATML)
    found = chats(how, tokenizer, TALKS, max_length=400)
    check_stop(found, stop_ids(tokenizer, how, [7, 9]))
    assert stop_ids(tokenizer, how, [7, 9])[2:] == (7, 9)
    with pytest.raises(InputError, match="4 of 4 answers end without a token at which generation stops"):
        check_stop(found, [tokenizer.eos_token_id])
    masked = Completions(
        found.tokens,
        np.where(found.targets_flat == stop_ids(tokenizer, how)[0], -100, found.targets_flat),
        found.kept_N,
    )
    with pytest.raises(InputError, match="4 of 4 answers"):
        check_stop(masked, stop_ids(tokenizer, how))


def bare(*special: str) -> Any:
    found = learn_tokenizer(["some words"] * 3, size=300)
    found.eos_token = found.pad_token = found.bos_token = None
    found.add_tokens(list(special), special_tokens=True)
    return found


def test_end_and_padding_are_chosen_by_rule() -> None:
    own = learn_tokenizer(["some words"] * 3, size=300)
    assert settle_ends(own, [], model="m") == () and own.eos_token == "<|end|>"
    named = bare("</s>", "[PAD]")
    notes = settle_ends(named, ["<|end|> stands here", "<|pad|> too"], model="m", rows=len(named))
    assert (named.eos_token, named.pad_token) == ("</s>", "[PAD]") and len(notes) == 2
    assert notes[0] == "the tokenizer has no eos_token: answers end with '</s>'"
    alone = bare("</s>")
    settle_ends(alone, ["<|end|> <|pad|>"], model="m", rows=len(alone))
    assert (alone.eos_token, alone.pad_token) == ("</s>", "</s>")
    with pytest.raises(InputError, match="its embedding has no row to spare"):
        settle_ends(bare(), ["<|end|> stands here"], model="m", rows=1)


def test_tokens_that_the_model_has_no_row_for_are_not_used() -> None:
    """They were added to the tokenizer, and the model was not resized."""
    grown = bare("</s>")
    rows = len(grown)
    grown.add_special_tokens({"eos_token": "</s>", "pad_token": "<pad>"})
    whole, named = copy.deepcopy(grown), copy.deepcopy(grown)
    notes = settle_ends(grown, ["<|pad|> stands here"], model="m", rows=rows)
    assert grown.pad_token == "</s>"
    assert notes == ("the model has no row for the pad_token '<pad>': batches are filled up with '</s>'",)
    assert settle_ends(named, [], model="m", rows=rows) and named.pad_token == "<|pad|>"
    assert settle_ends(whole, [], model="m", rows=rows + 1) == () and whole.pad_token == "<pad>"
    whole.eos_token = "<pad>"
    with pytest.raises(InputError, match=f"'<pad>' is number {rows}, and its embedding has {rows} rows.*resize"):
        settle_ends(whole, [], model="m", rows=rows)


def test_a_part_of_a_dataset_becomes_conversations() -> None:
    part = pl.DataFrame(
        {
            "messages": ['[{"content":"Be brief.","role":"system"},{"content":"Hi","role":"user"}]'],
            "question": ["What is a kite?"],
            "answer": ["Ho"],
        }
    )
    chat = Schema("generation", "text", (Column("messages", "messages"),), "answer")
    assert talks_of(chat, part) == [talk("Hi", "Ho", system="Be brief.")]
    assert roles_of(talks_of(chat, part)) == {"system", "user", "assistant"}
    assert questions_of(chat, part) == [talk("Hi", system="Be brief.")]
    plain = Schema("generation", "text", (Column("question", "text"),), "answer")
    assert talks_of(plain, part) == [talk("What is a kite?", "Ho")]

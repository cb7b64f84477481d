"""Chat templates: rendered as transformers does, in a sandbox where all comes to an end, and tried before use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelwright.errors import InputError
from modelwright.models import sandbox
from modelwright.models.chat import OURS, chat_template, control_tokens
from modelwright.models.sandbox import compiled
from modelwright.models.text import tokenizer_in
from modelwright.models.vocabulary import learn_tokenizer

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LOOPED = """\
{%- set ns = namespace(count=0) -%}
{%- macro shown(turn) -%}{{ turn.content | trim | replace('\t', ' ') }}{%- endmacro -%}
{{- bos_token -}}
{%- for message in messages -%}
    {%- if message.role == 'system' -%}
        {{- '[' ~ loop.index ~ '/' ~ messages | length ~ '] ' ~ message.content -}}
        {%- continue -%}
    {%- endif -%}
    {%- set ns.count = ns.count + 1 -%}
    {{- '<|im_start|>' ~ message.role ~ ' ' ~ '%02d' | format(ns.count) ~ ': ' -}}
    {%- generation -%}{{- shown(message) ~ eos_token -}}{%- endgeneration -%}
    {%- if loop.last and not add_generation_prompt -%}
        {{- {'turns': messages | map(attribute='role') | list} | tojson -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant %02d: ' % (ns.count + 1) -}}
    {{- '!' * 3 if messages | selectattr('role', 'equalto', 'x') | list else '' -}}
{%- endif -%}
"""
TURNS = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": " What's <b>up</b>?\t"},
    {"role": "assistant", "content": 'Not "much" – 東京'},
    {"role": "user", "content": "{{ bos_token }}"},
]


def tokenizer(template: str | None) -> Any:
    found = learn_tokenizer(["what is up not much"] * 3, size=300)
    found.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    found.chat_template = template
    return found


@pytest.mark.parametrize("ask", [False, True])
@pytest.mark.parametrize("source", [CHATML, LOOPED, OURS])
def test_a_conversation_is_rendered_as_transformers_does(source: str, ask: bool) -> None:
    with_it = tokenizer(source)
    expected = with_it.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=ask)
    assert chat_template(with_it, model="m").render(TURNS, ask=ask).text == expected


def test_what_a_template_marks_is_found() -> None:
    found = chat_template(tokenizer(LOOPED), model="m").render(TURNS)
    marked = [found.text[begin:end] for begin, end in found.spans]
    assert marked == ["What's <b>up</b>?<|end|>", 'Not "much" – 東京<|end|>', "{{ bos_token }}<|end|>"]


def test_a_tokenizer_without_a_template_gets_ours() -> None:
    template = chat_template(tokenizer(None), model="m", roles={"system", "tool"})
    assert template.ours and template.stop == "<|end|>"
    assert template.render(TURNS[:3]).text == (
        'System:\nBe kind.\n\nUser:\nWhat\'s <b>up</b>?\n\nAssistant:\nNot "much" – 東京<|end|>\n\n'
    )
    assert template.render(TURNS[:2], ask=True).text.endswith("?\n\nAssistant:\n")
    assert control_tokens(tokenizer(None)) == ["<|im_start|>", "<|im_end|>", "<|end|>", "<|pad|>"]


def test_named_templates_give_the_default() -> None:
    assert chat_template(tokenizer({"default": CHATML, "tool_use": LOOPED}), model="m").source == CHATML  # type: ignore[arg-type]


THINKING = """\
{%- for message in messages -%}
    {{- '<|im_start|>' + message.role + '\n' -}}
    {%- if message.role == 'assistant' and loop.last -%}{{- '<think>\n\n</think>\n\n' -}}{%- endif -%}
    {{- message.content + '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
"""
BEGUN = THINKING.replace("assistant\n' -}}{%- endif -%}\n", "assistant\n<think>\n' -}}{%- endif -%}\n")
NAMED = THINKING.replace("<think>\n\n</think>\n\n", "<|im_start|>final ")


@pytest.mark.parametrize(
    ("source", "lead"),
    [
        (THINKING, "<think>\n\n</think>"),
        (BEGUN, "</think>"),
        (NAMED, "final"),
        (CHATML, ""),
        (LOOPED, ""),
        (None, ""),
    ],
)
def test_what_a_template_puts_before_the_words_of_an_answer_is_known(source: str | None, lead: str) -> None:
    assert chat_template(tokenizer(source), model="m").lead == lead


EACH = "{% for message in messages %}{{ message.content + eos_token }}{% endfor %}"
FAULTY = [
    ("{{ foo( }}", "is none"),
    ("{% if 'x' %}" * 3000 + "{% endif %}" * 3000, "is none: is nested too deeply"),
    ("{{ raise_exception('never') }}", "fails on turns of user: never"),
    ("{{ missing.content }}", "fails on turns of user: 'missing' is undefined"),
    ("{{ messages[7].content.x }}", "fails on turns of user"),
    ("{% for message in messages %}{{ message.content }}{% endfor %}", "writes nothing after an answer"),
    ("{% for message in messages %}{{ message.content + '</end>' }}{% endfor %}", "writes '</end>' after an answer"),
    ("{{ messages[0].content + eos_token }}", "drops the assistant's turn"),
    (EACH.replace("message.content", "(message.content if message.role == 'assistant' else '')"), "drops the user's"),
    (
        EACH + "{% if add_generation_prompt %}Bot:{% endif %}",
        "'Bot:' before the answer, 'A toy that flies.<|end|>' with",
    ),
    (EACH.replace("in messages", "in messages if message.role != 'system'"), "drops the system turn"),
    (EACH.replace("in messages", "in messages if message.role != 'tool'"), "drops what tools answer"),
    (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + EACH,
        "fails on turns of system, user: no system",
    ),
]


@pytest.mark.parametrize(("source", "said"), FAULTY)
def test_a_template_that_cannot_be_learned_with_is_refused(source: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        chat_template(tokenizer(source), model="acme/chat", roles={"system", "tool"})
    assert said in str(refused.value) and "acme/chat: its chat template" in str(refused.value)


def test_a_system_turn_matters_only_where_there_is_one() -> None:
    source = EACH.replace("in messages", "in messages if message.role != 'system'")
    assert chat_template(tokenizer(source), model="m", roles={"user", "assistant"}).stop == "<|end|>"


ENDLESS = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro again(n) %}{% for a in range(99) %}{{ again(n) }}{% endfor %}{% endmacro %}{{ again(1) }}",
    "{% set n = namespace(t='aaaaaaaa') %}{% for a in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}",
    "{% set n = namespace(t='aaaaaaaa') %}{% for a in range(60) %}{% set n.t = n.t + n.t %}{% endfor %}",
    "{% set x %}{% for a in range(99999) %}" + "x" * 1000 + "{% endfor %}{% endset %}",
    "{{ 'a' * 10 ** 6 * 10 ** 6 }}",
    "{{ [0] * 99999999999 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ 'a'.ljust(9999999999) }}",
    "{{ 'a' | center(9999999999) }}",
    "{{ '%9999999999d' | format(1) }}",
    "{{ '%9999999999d' % 1 }}",
    "{{ '{:9999999999}'.format(1) }}",
    "{{ strftime_now('%9999999999d') }}",
    "{{ 'abc' | replace('', 'x' * 99999) | replace('', 'x' * 99999) }}",
    "{{ 'x' * 99999 | join('y' * 99999) }}{{ ('y' * 99999).join(['a'] * 99999) }}",
    "{{ [1] | batch(9999999999, 0) | list }}",
    "{{ lipsum(99999) }}",
]


@pytest.mark.parametrize("source", ENDLESS)
def test_a_template_without_an_end_is_stopped(source: str) -> None:
    with pytest.raises(InputError, match="fails on turns of user"):
        chat_template(tokenizer(source), model="m")


def test_a_template_has_only_so_much_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MOST_SECONDS", -1.0)
    with pytest.raises(Exception, match="takes longer than -1 seconds"):
        compiled("{% for a in range(999) %}{% endfor %}")({})


REACHING = [
    "{{ ''.__class__.__mro__ }}",
    "{{ raise_exception.__globals__.os }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update(role='x') }}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "{% include '/etc/passwd' %}",
]


@pytest.mark.parametrize("source", REACHING)
def test_a_template_reaches_nothing(source: str) -> None:
    with pytest.raises(InputError, match="fails on turns of user"):
        chat_template(tokenizer(source), model="m")


def test_the_same_text_on_every_day() -> None:
    assert compiled("{{ strftime_now('%d %b %Y') }}")({}) == "26 Jul 2024"


def test_a_template_is_read_from_the_models_folder(tmp_path: Path) -> None:
    tokenizer(CHATML).save_pretrained(tmp_path)
    assert (tmp_path / "chat_template.jinja").is_file()
    assert chat_template(tokenizer_in(tmp_path), model="m").source == CHATML
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": LOOPED}))
    (tmp_path / "chat_template.jinja").unlink()
    assert chat_template(tokenizer_in(tmp_path), model="m").source == LOOPED

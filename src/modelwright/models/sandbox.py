"""Templates that strangers wrote, run where they can do no harm: nothing to reach, nothing to change, an end to all.

jinja2's immutable sandbox keeps a template from Python's insides. It does not keep it from looping for hours or from
making a text of ten gigabytes, so here every turn of a loop, every call and every character made is counted.
transformers renders in the same sandbox, but without these limits; what it offers to templates is offered here too.
"""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from datetime import datetime
from types import BuiltinMethodType, FunctionType
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_STEPS = 1_000_000
MOST_CHARACTERS = 1 << 26
MOST_SECONDS = 10.0
"""What one conversation may take: turns of loops and calls, characters made on the way, time. Chosen: a thousand turns
through the longest public template take 1% of the first two."""
MOST_SOURCE = 1 << 20
"""Characters that a template may have. Chosen: the longest public ones have 20,000."""
BIG = 100_000
"""A whole number above this in a template is no width, count or indent that a conversation needs. Chosen."""

DAY = datetime(2024, 7, 26)
"""What templates that ask for today's date are told, so that the same data gives the same tokens on every day. It is
what Llama 3's template falls back to."""

SPAN = ("\U000f5a17", "\U000f5a18")
"""Marks around what a template says is the model's, taken out again; private characters that no text has."""


class _Budget:
    """What is left of the limits while one conversation is rendered."""

    __slots__ = ("characters", "deadline", "steps")

    def __init__(self) -> None:
        self.steps, self.characters, self.deadline = MOST_STEPS, MOST_CHARACTERS, time.monotonic() + MOST_SECONDS

    def spend(self, characters: int = 0) -> None:
        self.steps -= 1
        self.characters -= characters
        if self.steps < 0 or self.characters < 0 or (self.steps & 255 == 0 and time.monotonic() > self.deadline):
            what = "takes too many steps" if self.steps < 0 else "makes too much text" if self.characters < 0 else ""
            raise SecurityError(what or f"takes longer than {MOST_SECONDS:g} seconds")


_BUDGET: ContextVar[_Budget] = ContextVar("budget")


def _charged(made: Any) -> Any:
    """`made`, once its size is taken from the budget."""
    _BUDGET.get().spend(len(made) if isinstance(made, str | list | tuple | dict) else 0)
    return made


def _counted(values: Iterable[Any], static: int) -> Iterator[Any]:
    """`values`, each turn of the loop at the cost of the text that stands in it."""
    budget = _BUDGET.get()
    for value in values:
        budget.spend(static)
        yield value


def _modest(name: str, subject: Any, given: tuple[Any, ...]) -> None:
    """Refuse what would make one call do the work of a million: large numbers, and long texts put in many places."""
    for value in given:
        if isinstance(value, int) and not -BIG <= value <= BIG:
            raise SecurityError(f"asks for {value:,} of something")
    if name in _GROWING and _growth(name, subject, given) > MOST_CHARACTERS:
        raise SecurityError("makes too much text")


_GROWING = frozenset({"expandtabs", "indent", "join", "replace", "tojson"})


def _growth(name: str, subject: Any, given: tuple[Any, ...]) -> int:
    """About how many characters a call of one of _GROWING adds to its subject."""
    size, *sizes = (len(each) if isinstance(each, str | list | tuple) else 0 for each in (subject, *given))
    if name == "join":
        return size * max(sizes, default=0)
    if name == "replace":
        return (size // max(sizes[0], 1) + 1) * sizes[1] if len(sizes) > 1 else 0
    widest = max((abs(each) for each in given if isinstance(each, int)), default=0)
    return widest * (BIG if name == "tojson" else size)


def _plain_format(pattern: str) -> None:
    if re.search(r"\d{4,}", pattern):
        raise SecurityError("formats to a width of thousands")


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose numbers are modest and whose result is charged."""
    first = 1 if isinstance(function, FunctionType) and "jinja_pass_arg" in vars(function) else 0

    @functools.wraps(function)  # keeps the mark that says what jinja2 is to pass first
    def guarded(*args: Any, **kwargs: Any) -> Any:
        _modest(name, args[first], (*args[first + 1 :], *kwargs.values()))
        return _charged(function(*args, **kwargs))

    return guarded


class Generation(Extension):
    """The block `{% generation %}`, by which a template says what of a conversation is the model's."""

    tags = {"generation"}  # noqa: RUF012  # as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node:
        """The block as a call that puts marks around what it holds."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

    def _marked(self, caller: Macro) -> str:
        return f"{SPAN[0]}{caller()}{SPAN[1]}"


class Sandbox(ImmutableSandboxedEnvironment):
    """jinja2's immutable sandbox with an end to everything; constants are not folded, which would escape the counts."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[Generation, loopcontrols])
        del self.globals["lipsum"]
        self.globals |= {"raise_exception": _raise, "strftime_now": _day, "dict": _dict}
        self.filters = {name: _guarded(name, each) for name, each in {**self.filters, "tojson": _json}.items()}
        self.filters |= {"format": _guarded("format", _format), "_charged": _charged, "_counted": _counted}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """The template's tree, in which loops count their turns and what is joined or put out is charged."""
        if len(source) > MOST_SOURCE:
            raise SecurityError(f"has {len(source):,} characters")
        tree = super()._parse(source, name, filename)
        for loop in list(tree.find_all(nodes.For)):
            static = sum(len(each.data) for each in loop.find_all(nodes.TemplateData))
            loop.iter = _filtered(loop.iter, "_counted", nodes.Const(static))
        for output in list(tree.find_all(nodes.Output)):
            output.nodes = [
                each if isinstance(each, nodes.TemplateData) else _filtered(each, "_charged") for each in output.nodes
            ]
        for parent in [tree, *tree.find_all(nodes.Node)]:
            for field, value in list(parent.iter_fields()):
                if isinstance(value, nodes.Concat):
                    setattr(parent, field, _filtered(value, "_charged"))
        return tree

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """What the template calls, counted."""
        _BUDGET.get().spend()
        method = isinstance(__obj, BuiltinMethodType)
        _modest(__obj.__name__ if method else "", __obj.__self__ if method else None, (*args, *kwargs.values()))
        return _charged(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The result of `+`, `*`, `**` and `%`, where it is no monster."""
        if operator == "**" and not (abs(left) <= BIG and abs(right) <= 8):
            raise SecurityError("raises to a high power")
        if operator == "*":
            sizes = [len(each) if isinstance(each, str | list | tuple) else 0 for each in (left, right)]
            if any(sizes):
                _BUDGET.get().spend(max(sizes) * max(int(right if sizes[0] else left), 0))
            else:
                _modest("", left, (left, right))
        if operator == "%" and isinstance(left, str):
            _plain_format(left)
        return _charged(super().call_binop(context, operator, left, right))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """str.format of the sandbox, without widths of thousands."""
        found = super().wrap_str_format(value)
        if found is not None:
            _plain_format(value.__self__)
        return found


def _filtered(node: nodes.Node, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _day(pattern: str) -> str:
    _plain_format(pattern)
    return DAY.strftime(pattern)


def _dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    return dict(*args, **kwargs)


def _format(pattern: str, *args: Any, **kwargs: Any) -> str:
    _plain_format(pattern)
    return str(pattern) % (kwargs or args)


def _json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """JSON without the escapes for HTML of jinja2's own; the arguments are those that transformers offers."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


@functools.lru_cache(maxsize=16)
def compiled(source: str) -> Callable[[dict[str, Any]], str]:
    """A template as a function of its variables.

    Raises:
        TemplateError: it is no template of jinja2, or too long.
    """
    try:
        template = Sandbox().from_string(source)
    except RecursionError as error:
        raise SecurityError("is nested too deeply") from error

    def render(variables: dict[str, Any]) -> str:
        token = _BUDGET.set(_Budget())
        try:
            return "".join(template.root_render_func(template.new_context(variables)))
        finally:
            _BUDGET.reset(token)

    return render

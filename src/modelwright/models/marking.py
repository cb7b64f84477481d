"""Where the answers of a conversation stand among its tokens.

Letters: T tokens of one conversation.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from modelwright.models.written import Written

NEAR = 100
"""Characters from a control token to an answer that are tokenized by themselves: a control token parts what stands
before it from what follows, so these few must come out as they do in the whole. Chosen: a template's header is
shorter."""


class Encoder:
    """A fast tokenizer without the wrapping that makes lists of everything; finds answers among the tokens."""

    def __init__(self, tokenizer: Any, stop: str) -> None:
        self.fast = copy.deepcopy(tokenizer.backend_tokenizer)
        self.fast.no_truncation()
        self.fast.no_padding()
        self.stop = int(tokenizer.convert_tokens_to_ids(stop))
        special = [i for i, each in tokenizer.added_tokens_decoder.items() if each.special]
        self.special = {*special, *tokenizer.all_special_ids}
        self.headers: dict[str, list[int]] = {}

    def ids(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, without start and end tokens of the tokenizer's own."""
        return [each.ids for each in self.fast.encode_batch_fast(texts, add_special_tokens=False)]

    def marked(self, written: list[Written]) -> Iterator[tuple[np.ndarray, list[tuple[int, int]] | None]]:
        """The ids of each text and where its answers stand among them; None where a prompt has other ids alone."""
        found = self.fast.encode_batch([each.text for each in written], add_special_tokens=False)
        rows = [np.asarray(each.ids, dtype=np.int32) for each in found]
        placed = [self._places(*each) for each in zip(written, found, rows, strict=True)]
        doubtful = [
            (row, begin, written[row].text[: written[row].answers[number][0]])
            for row, places in enumerate(placed)
            for number, (begin, _) in enumerate(places or ())
            if not self._led_up_to(written[row].text, written[row].answers[number][0], found[row], rows[row], begin)
        ]
        prompts = self.ids([prompt for _, _, prompt in doubtful])
        for (row, begin, _), prompt in zip(doubtful, prompts, strict=True):
            if prompt != rows[row][:begin].tolist():
                placed[row] = None
        for each, encoding, ids, places in zip(written, found, rows, placed, strict=True):
            yield ids, _within(places, each.spans, encoding, ids, self.stop) if places and each.spans else places

    def _places(self, written: Written, encoding: Any, ids: np.ndarray) -> list[tuple[int, int]] | None:
        """For each answer the index of its first token and of the one after its end token."""
        places = []
        for begin, end in written.answers:
            last = encoding.char_to_token(end - 1)
            first = _token_from(encoding, begin, end)
            if last is None or first is None or ids[last] != self.stop:
                return None
            places.append((first, last + 1))
        return places

    def _led_up_to(self, text: str, begin: int, encoding: Any, ids: np.ndarray, first: int) -> bool:
        """Whether the tokens between the last control token and an answer are those of their text alone."""
        before = range(first - 1, max(first - NEAR, 0) - 1, -1)
        last = next((place for place in before if int(ids[place]) in self.special), None)
        if last is None:
            return False
        header = text[encoding.token_to_chars(last)[1] : begin]
        if len(header) > NEAR:
            return False
        if header not in self.headers:
            self.headers[header] = self.fast.encode(header, add_special_tokens=False).ids
        return bool(self.headers[header] == ids[last + 1 : first].tolist())


def _token_from(encoding: Any, begin: int, end: int) -> int | None:
    """The first token at or after a character: some tokenizers count spaces to none."""
    for place in range(begin, end):
        found = encoding.char_to_token(place)
        if found is not None:
            return int(found)
    return None


def _within(
    places: list[tuple[int, int]], spans: tuple[tuple[int, int], ...], encoding: Any, ids: np.ndarray, stop: int
) -> list[tuple[int, int]]:
    """The parts of the answers that the template marks as the model's, each with the end token that follows it."""
    inside = []
    for begin, end in spans:
        first, last = _token_from(encoding, begin, end), encoding.char_to_token(end - 1)
        if first is None or last is None:
            continue
        last += 1
        last += bool(last < len(ids) and ids[last - 1] != stop and ids[last] == stop)
        inside += [(max(first, a), min(last, b)) for a, b in places if max(first, a) < min(last, b)]
    return inside

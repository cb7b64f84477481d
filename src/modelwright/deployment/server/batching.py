"""Requests that wait at the same time share one call of the model.

A model answers 32 inputs in little more time than one. While a call runs, requests gather; the next call
takes them all. So a lone request waits for nobody, and a busy server fills its batches by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import polars as pl

from modelwright.deployment.server.limits import Limits
from modelwright.deployment.server.replies import Refusal

Answers = list[dict[str, Any]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Waiting:
    frame: pl.DataFrame
    future: asyncio.Future[Answers]


class Batcher:
    """One thread that answers frames, several at once, in the order in which they came.

    Args:
        answer: The answers to a frame; runs in the thread.
        limits: How many inputs share a call, how long to wait for others, how long an answer may take.
        observe: Is told how many inputs each call had.
    """

    def __init__(
        self, answer: Callable[[pl.DataFrame], Answers], limits: Limits, observe: Callable[[float], None]
    ) -> None:
        self.under_way = 0
        self._answer = answer
        self._limits = limits
        self._observe = observe
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "modelwright-predict")

    def close(self) -> None:
        """Let the thread end; what waits is not answered."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request as under way for as long as the block runs.

        Raises:
            Refusal: as many as may be are under way.
        """
        if self.under_way >= self._limits.under_way:
            sentence = f"{self.under_way} requests are under way, and no more may be: try again in a second."
            raise Refusal(429, "busy", sentence, headers={"retry-after": "1"})
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    async def ask(self, frame: pl.DataFrame) -> Answers:
        """The answers to `frame`.

        Raises:
            Refusal: they took too long.
        """
        future: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(frame, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            return await asyncio.wait_for(future, self._limits.answer_seconds)
        except TimeoutError:
            raise self._too_long() from None

    async def alone(self, call: Callable[[], T]) -> T:
        """What `call` gives, made in the thread when what runs there is done.

        Raises:
            Refusal: it took too long.
        """
        made = asyncio.get_running_loop().run_in_executor(self._thread, call)
        try:
            return await asyncio.wait_for(made, self._limits.answer_seconds)
        except TimeoutError:
            raise self._too_long() from None

    def _too_long(self) -> Refusal:
        sentence = f"The model did not answer within {self._limits.answer_seconds:g} seconds."
        return Refusal(503, "timeout", sentence, headers={"retry-after": "5"})

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            if len(self._waiting) < self.under_way:
                await asyncio.sleep(self._limits.wait_ms / 1000)
            batch = self._take()
            if not batch:  # everybody gave up waiting
                continue
            self._observe(sum(len(each.frame) for each in batch))
            try:
                answers = await loop.run_in_executor(self._thread, self._together, batch)
            except Exception as error:  # anybody's model may raise anything; its askers must hear of it
                await self._answer_alone(batch, error)
                continue
            start = 0
            for each in batch:
                _settle(each.future, answers[start : start + len(each.frame)])
                start += len(each.frame)

    def _together(self, batch: list[_Waiting]) -> Answers:
        return self._answer(pl.concat([each.frame for each in batch]))

    def _take(self) -> list[_Waiting]:
        """As many of those that wait as one call may hold, oldest first; at least one."""
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0].frame) <= self._limits.inputs):
            each = self._waiting.popleft()
            if not each.future.done():
                batch.append(each)
                size += len(each.frame)
        return batch

    async def _answer_alone(self, batch: list[_Waiting], error: Exception) -> None:
        """After a call failed, ask for each request by itself: one bad input must not fail its neighbours."""
        loop = asyncio.get_running_loop()
        for each in batch:
            if len(batch) == 1:
                _settle(each.future, error)
                return
            try:
                _settle(each.future, await loop.run_in_executor(self._thread, self._answer, each.frame))
            except Exception as own:  # as above
                _settle(each.future, own)


def _settle(future: asyncio.Future[Answers], outcome: Answers | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)

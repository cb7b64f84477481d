import datetime
import time

import polars as pl
import pytest

from modelwright.evaluation.latency import cost_per_1000, measure_latency, price
from modelwright.models.predictors.fake import Fake
from modelwright.records import Latency, Schema


def test_a_batch_of_one_is_timed_after_a_warm_up(two: Schema) -> None:
    fake = Fake(two, seconds=0.002)
    found = measure_latency(fake, pl.DataFrame({"x": [1.0, 2.0]}), count=10)
    assert set(fake.calls) == {1}
    assert len(fake.calls) == 3 + 10
    assert 2 <= found.p50 <= found.p95


def test_a_slow_predictor_is_timed_a_few_times_only(two: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelwright.evaluation.latency.SECONDS", 0.02)
    fake, started = Fake(two, seconds=0.01), time.perf_counter()
    measure_latency(fake, pl.DataFrame({"x": [1.0]}), count=10_000)
    assert 6 <= len(fake.calls) <= 10
    assert time.perf_counter() - started < 5


def test_the_cost_by_hand() -> None:
    """36 ms each are 36 s for a thousand: a hundredth of an hour."""
    assert cost_per_1000(Latency(36.0, 50.0)) == pytest.approx(float(price()["price_per_hour"]) / 100)


def test_the_price_has_a_date_and_a_source() -> None:
    found = price()
    assert isinstance(found["as_of"], datetime.date)
    assert str(found["source"]).startswith("https://")

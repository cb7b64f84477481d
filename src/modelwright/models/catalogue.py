"""The catalogue of models as data, and where a model named by the user lies on this machine."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from modelwright.errors import Fault, InputError
from modelwright.models.merging import base_named, is_adapter, merged_folder
from modelwright.problem import WORK
from modelwright.registry import nearest, suggestion

FRESH_TEXT = "masked"
"""The kind of entry that reads texts in both directions from fresh weights: to guess hidden words, or to answer."""
_READ = ["*.json", "*.jinja", "*.safetensors", "*.txt", "*.model"]
_TWICE = ["consolidated*", "*/*.safetensors"]
"""Of a hub repository, the files that are downloaded, and what of these is not: weights in a layout that nothing here
reads (Mistral's own), and those in folders inside, such as earlier checkpoints."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the catalogue; `config` is set for those trained from scratch, `hub` for the others.

    Where `gpu_examples` is not 0, the model is chosen by itself only with a GPU and so many examples; a model
    of texts from scratch only where these have `least_bytes`.
    """

    name: str
    kind: str
    about: str
    hub: str | None = None
    package: str | None = None
    parameters: int | None = None
    licence: str | None = None
    family: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    gpu_examples: int = 0
    least_bytes: int = 0


@cache
def catalogue() -> dict[str, Entry]:
    """Every model of catalogue.yaml by name, the pre-trained ones first."""
    text = Path(__file__).with_name("catalogue.yaml").read_text(encoding="utf-8")
    sections = yaml.safe_load(text)
    return {name: Entry(name=name, **about) for section in sections.values() for name, about in section.items()}


def on_this_machine(entry: Entry) -> Path | None:
    """The folder of a pre-trained model if it can be had without a network: from a package or the hub's cache."""
    if entry.package:
        module, _, inside = entry.package.partition("/")
        found = importlib.util.find_spec(module)  # finds the folder without importing the package
        if found and found.origin:
            return Path(found.origin).parent / inside
    return _from_hub(entry.hub, offline=True) if entry.hub else None


def locate(base: str, *, folder: Path, offline: bool = False) -> Path | str:
    """Where the model called `base` is: a folder with a pre-trained model, or the name of a scratch entry.

    Of adapters as PEFT writes them it is the folder of the model that they are merged into.

    Args:
        base: A folder (relative ones are relative to `folder`), a catalogue name, or a hub id `owner/name`,
            which is downloaded unless it is in the cache or HF_HUB_OFFLINE is set.
        folder: The project's. Merged models are kept in it.
        offline: Download nothing.

    Raises:
        InputError: there is no such model here, or none that can be trained.
        ResourceError: memory or disk do not hold the model that adapters are to be merged into.
    """
    path = folder / Path(base).expanduser()
    if (path / "config.json").is_file() or is_adapter(path):
        return _whole(path, folder=folder, name=path.resolve().name, offline=offline)
    entry = catalogue().get(base)
    if entry and entry.config:
        return base
    if found := _named(base, offline=offline):
        return _whole(found, folder=folder, name=base.rpartition("/")[2], offline=offline)
    near = suggestion(base, list(catalogue())) if nearest(base, list(catalogue())) or not _hub_id(base) else ""
    todo = near or "name a folder that holds config.json and model.safetensors, or connect to the hub"
    raise InputError(Fault("model.base", f"{base!r} is not a model on this machine", "a folder or a hub id", todo))


def _whole(found: Path, *, folder: Path, name: str, offline: bool) -> Path:
    """The same folder, or where it holds adapters that of the model called `name` that they are merged into."""
    if not is_adapter(found):
        return _full_precision(found)
    base = _base_of(found, folder=folder, offline=offline)
    return merged_folder(found, base, cache=folder / WORK / "models", name=name)


def _base_of(adapter: Path, *, folder: Path, offline: bool) -> Path:
    """The folder of the model that adapters were trained beside.

    Raises:
        InputError: it is not to be had, or is no whole model.
    """
    name = base_named(adapter)
    written = Path(name).expanduser()
    for path in (folder / written, adapter / written, adapter.resolve().parent / written.name):
        if (path / "config.json").is_file() and not is_adapter(path):
            return _full_precision(path)
    found = _named(name, offline=offline)
    if found and not is_adapter(found):
        return _full_precision(found)
    what = f"{adapter} holds adapters of {name!r}, and that is not a whole model on this machine"
    todo = "put its folder beside theirs, or write where it is into their adapter_config.json, or connect to the hub"
    raise InputError(Fault("model.base", what, "the model that they were trained beside", todo))


def _full_precision(folder: Path) -> Path:
    """The same folder.

    Raises:
        InputError: what it holds was quantised: such weights do not train, and rounding them again adds to the error.
    """
    try:
        how = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("quantization_config")
    except (OSError, ValueError):
        return folder  # loading says what is wrong with it
    if not how:
        return folder
    found = f"{folder} holds weights that were quantised already ({how.get('quant_method', 'quantization_config')})"
    todo = "name that one, for adapters in their adapter_config.json; model.method: qlora holds it in four bits"
    raise InputError(Fault("model.base", found, "the model that they were made from", todo))


def _named(base: str, *, offline: bool) -> Path | None:
    """The folder of what the catalogue or the hub calls `base`; None where it cannot be had."""
    entry, hub = catalogue().get(base), _hub_id(base)
    here = on_this_machine(entry) if entry else None
    return here or (_from_hub(hub, offline=offline) if hub else None)


def _hub_id(base: str) -> str | None:
    entry = catalogue().get(base)
    if entry:
        return entry.hub
    return base if base.count("/") == 1 and not base.startswith((".", "/")) else None


def _from_hub(hub: str, *, offline: bool) -> Path | None:
    """The folder of a hub model from the local cache, or downloaded; None where it cannot be had.

    Raises:
        InputError: the hub does not give it to this user.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    offline = offline or os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes")
    try:
        found = snapshot_download(hub, local_files_only=offline, allow_patterns=_READ, ignore_patterns=_TWICE)
    except GatedRepoError as error:  # first: it is a RepositoryNotFoundError too
        todo = f"accept its licence at https://huggingface.co/{hub}, and log in: hf auth login"
        raise InputError(Fault("model.base", f"the hub gives {hub} only to who was let in", todo=todo)) from error
    except RepositoryNotFoundError as error:
        todo = "check the spelling; where it is private, log in: hf auth login"
        raise InputError(Fault("model.base", f"the hub has no model {hub} for this user", todo=todo)) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError):
        return None
    return Path(found)

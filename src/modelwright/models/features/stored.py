"""Fitted state on disk: nested dicts and lists whose arrays go to safetensors and the rest to JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from modelwright.errors import IntegrityError

_ARRAY = "$array"
_SPARSE = "$sparse"
State = dict[str, Any]


def save_state(folder: Path, stem: str, state: State) -> None:
    """Write `state` as `stem.json` and, for its arrays and sparse matrices, `stem.safetensors`."""
    from safetensors.numpy import save_file

    arrays: dict[str, np.ndarray] = {}
    skeleton = _without_arrays(state, arrays)
    text = json.dumps(skeleton, indent=None, ensure_ascii=True)  # ASCII: lone surrogates survive
    (folder / f"{stem}.json").write_text(text, encoding="utf-8")
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / f"{stem}.safetensors")


def load_state(folder: Path, stem: str) -> State:
    """What `save_state` wrote.

    Raises:
        IntegrityError: a file is missing or is not what was written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        skeleton = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / f"{stem}.safetensors")
        found: State = _with_arrays(skeleton, arrays)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise IntegrityError(f"{folder / stem} cannot be read back: {error}") from error
    return found


def _without_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """`value` with each array replaced by its name in `arrays`, which it is put into."""
    if isinstance(value, np.ndarray):
        arrays[str(len(arrays))] = value
        return {_ARRAY: str(len(arrays) - 1)}
    if isinstance(value, dict):
        return {key: _without_arrays(each, arrays) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(each, arrays) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    sparse = value.tocsr()  # all that is left: a scipy matrix
    parts = [sparse.data, sparse.indices, sparse.indptr]
    return {_SPARSE: [_without_arrays(part, arrays) for part in parts], "shape": list(sparse.shape)}


def _with_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_with_arrays(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        return arrays[value[_ARRAY]]
    if _SPARSE in value:
        from scipy.sparse import csr_matrix

        return csr_matrix(tuple(_with_arrays(value[_SPARSE], arrays)), shape=tuple(value["shape"]))
    return {key: _with_arrays(each, arrays) for key, each in value.items()}

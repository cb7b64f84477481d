"""A Hugging Face dataset, by hub id or as a local folder in hub layout: hf://owner/name[@revision][?config=&split=]."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import polars as pl

from modelwright.data.sources.chunks import CHUNK_BYTES, Chunk, Place, with_positions
from modelwright.data.sources.columnar import chunk_examples, readable
from modelwright.data.sources.unite import canonical, united
from modelwright.errors import Fault, SourceError

_PARTS = ("train", "validation", "valid", "val", "dev", "test")
"""Splits that are read, in this order; others ("unsupervised") hold no labels or doubles and are said."""


def read(place: Place) -> Iterator[Chunk]:
    """The examples of a dataset; those of several splits one after another with a column `split`.

    Raises:
        SourceError: there is no such dataset, configuration or split, or `datasets` is not installed.
    """
    with ExitStack() as stack:
        yield from united(_chunks(_loaded(place, stack), place.name))


def _parsed(place: Place) -> tuple[str, str | None, dict[str, str], bool]:
    """Name or absolute path, revision, options, and whether it is a local folder."""
    address, _, query = place.name.removeprefix("hf://").partition("?")
    options = {key: values[-1] for key, values in parse_qs(query).items()}
    unknown = options.keys() - {"config", "split"}
    if unknown or not address:
        found = f"has the option {', '.join(sorted(unknown))}" if unknown else "names no dataset"
        raise SourceError(Fault(place.name, found, "hf://owner/name@revision?config=...&split=..."))
    if address.startswith(("/", "./", "../", "~")):
        folder = place.home / Path(address).expanduser()
        if not folder.is_dir():
            raise SourceError(Fault(place.name, f"there is no folder {folder}", "a folder in hub layout"))
        return str(folder.resolve()), None, options, True
    name, _, revision = address.partition("@")
    return name, revision or None, options, False


def _loaded(place: Place, stack: ExitStack) -> dict[str, Any]:
    """The splits of the dataset by name."""
    try:
        import datasets
    except ModuleNotFoundError as error:
        todo = "pip install 'modelwright[hub]'"
        raise SourceError(Fault(place.name, "needs the library `datasets`", "an installed library", todo)) from error
    name, revision, options, local = _parsed(place)
    # A folder may change between two calls, so its cache must not outlive the reading of it.
    cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="modelwright-")) if local else None
    datasets.disable_progress_bars()
    try:
        found = datasets.load_dataset(
            name, options.get("config"), split=options.get("split"), revision=revision, cache_dir=cache
        )
    except Exception as error:  # the loaders of `datasets` raise what their formats and their network raise
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        expected = "a dataset id with a configuration and splits that exist, and a network where it is not local"
        raise SourceError(Fault(place.name, f"cannot be loaded: {said}", expected)) from error
    return dict(found) if isinstance(found, dict) else {options.get("split", "train"): found}


def _chunks(splits: dict[str, Any], name: str) -> Iterator[Chunk]:
    """The chunks of all splits, with a column `split` where there are several."""
    known = [split for part in _PARTS for split in splits if split == part] or list(splits)
    left_out = [split for split in splits if split not in known]
    notes = tuple(f"the split {split} was not read" for split in left_out)
    start = 0
    for split in known:
        dataset = splits[split]
        size = dataset.data.nbytes
        labels = {key: feature.names for key, feature in dataset.features.items() if _is_label(feature)}
        for table in dataset.with_format("arrow").iter(chunk_examples(size, dataset.num_rows)):
            frame = pl.from_arrow(table)
            assert isinstance(frame, pl.DataFrame)
            frame = _named(_embedded(frame), labels)
            if len(known) > 1 and "split" not in frame.columns:
                frame = frame.with_columns(split=pl.lit(split))
            chunk = readable(with_positions(canonical(frame), start), name)
            yield Chunk(chunk.frame, chunk.dropped, notes)
            notes = ()
            start += frame.height


def _is_label(feature: Any) -> bool:
    import datasets

    return isinstance(feature, datasets.ClassLabel)


def _named(frame: pl.DataFrame, labels: dict[str, list[str]]) -> pl.DataFrame:
    """`frame` with the numbers of classes replaced by their names; -1, which the hub writes for none, is null."""
    names = {key: dict(enumerate(values)) for key, values in labels.items()}
    return frame.with_columns(
        pl.col(key).replace_strict(mapping, default=None, return_dtype=pl.String) for key, mapping in names.items()
    )


def _embedded(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with images that are given by a path read into their bytes."""
    for name, dtype in frame.schema.items():
        if not isinstance(dtype, pl.Struct) or {field.name for field in dtype.fields} != {"bytes", "path"}:
            continue
        cells = [cell and _cell(cell) for cell in frame[name].to_list()]
        frame = frame.with_columns(pl.Series(name, cells, pl.Binary))
    return frame


def _cell(cell: dict[str, Any]) -> bytes | None:
    if cell["bytes"] is not None or not cell["path"]:
        return cell["bytes"]  # type: ignore[no-any-return]
    path = Path(cell["path"])
    return path.read_bytes() if path.is_file() and path.stat().st_size <= CHUNK_BYTES * 4 else None

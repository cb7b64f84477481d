"""Images: by folders, by a label file, by paths in a table; what cannot be decoded is dropped."""

import io
import zipfile
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from modelwright.data.sources import Chunk, Dropped, read
from modelwright.data.sources.pictures import fault_of
from modelwright.errors import SourceError


def encoded(kind: str = "PNG", size: tuple[int, int] = (6, 6), shade: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (shade, 9, 9)).save(stream, kind)
    return stream.getvalue()


def put(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(shade=number))


def of(locator: str, folder: Path) -> tuple[pl.DataFrame, tuple[Dropped, ...], tuple[str, ...]]:
    chunks: list[Chunk] = list(read(locator, folder=folder))
    dropped = tuple(each for chunk in chunks for each in chunk.dropped)
    return pl.concat([chunk.frame for chunk in chunks]), dropped, chunks[0].notes


def test_folders_are_classes_and_what_is_no_image_is_said(tmp_path: Path) -> None:
    put(tmp_path / "pets", "cat/1.png", "cat/2.png", "dog/1.png")
    (tmp_path / "pets" / "readme.txt").write_text("hello")
    (tmp_path / "pets" / ".DS_Store").write_text("x")
    frame, _, notes = of("pets", tmp_path)
    assert frame["label"].to_list() == ["cat", "cat", "dog"]
    assert frame["file"].to_list() == ["cat/1.png", "cat/2.png", "dog/1.png"]
    assert frame["image"][2] == (tmp_path / "pets" / "dog" / "1.png").read_bytes()
    assert "split" not in frame.columns
    assert notes == ("1 files that are no images were passed over",)


def test_split_folders_become_a_column(tmp_path: Path) -> None:
    put(tmp_path / "pets", "train/cat/1.png", "train/dog/1.png", "test/cat/2.png", "validation/dog/3.png")
    frame, _, _ = of("pets", tmp_path)
    assert sorted(frame.select("split", "label").rows()) == [
        ("test", "cat"), ("train", "cat"), ("train", "dog"), ("validation", "dog")
    ]  # fmt: skip


def test_folders_within_folders_and_one_that_holds_all(tmp_path: Path) -> None:
    names = [f"all/{script}/{letter}/{n}.png" for script in ("greek", "latin") for letter in "ab" for n in range(3)]
    put(tmp_path / "set", *names)
    frame, _, notes = of("set", tmp_path)
    assert frame["label"].unique().sort().to_list() == ["greek/a", "greek/b", "latin/a", "latin/b"]
    assert notes
    put(tmp_path / "people", *[f"{state}/p{n}/1.png" for state in ("ill", "well") for n in range(4)])
    assert of("people", tmp_path)[0]["label"].unique().sort().to_list() == ["ill", "well"]


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "flat", "1.png", "2.png")
    with pytest.raises(SourceError, match="nothing that labels them"):
        of("flat", tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(SourceError, match="no images"):
        of("none", tmp_path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("named", ["pictures/1.png", "1.png", "1"])
def test_a_label_file_names_images(named: str, packed: bool, tmp_path: Path) -> None:
    """A folder knows whole paths only; a zip knows also the ends of them."""
    if not packed and named != "pictures/1.png":
        pytest.skip("a folder's tables name whole paths")
    put(tmp_path / "set", "pictures/1.png", "pictures/2.png")
    labels = "".join(f"{named.replace('1', str(n))},{'ab'[n % 2]}\n" for n in (1, 2, 1))
    (tmp_path / "set" / "labels.csv").write_text(f"file,label\n{labels}")
    if packed:
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as out:
            for path in sorted((tmp_path / "set").rglob("*.*")):
                out.write(path, path.relative_to(tmp_path / "set"))
    frame, dropped, _ = of("set.zip" if packed else "set", tmp_path)
    assert frame["label"].to_list() == ["b", "a", "b"]
    assert frame["file"][1] == (tmp_path / "set" / "pictures" / "2.png").read_bytes()
    assert dropped == ()


def test_paths_in_a_table_become_images_and_missing_ones_are_dropped(tmp_path: Path) -> None:
    put(tmp_path / "data", "img/1.png", "img/2.png")
    (tmp_path / "data" / "img" / "torn.jpg").write_bytes(encoded("JPEG", (60, 60))[:300])
    rows = ["img/1.png,a", "img/none.png,a", "img/torn.jpg,b", "img/2.png,b", ",b"]
    (tmp_path / "data" / "t.csv").write_text("picture,label\n" + "\n".join(rows) + "\n")
    frame, dropped, notes = of("data/t.csv", tmp_path)
    assert frame.schema["picture"] == pl.Binary
    assert frame["label"].to_list() == ["a", "b"]
    assert [each.position for each in dropped] == [1, 2, 4]
    assert "picture" in notes[0]


def test_a_column_that_only_looks_like_paths_stays_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("picture,label\n" + "none.png,a\n" * 20)
    assert of("t.csv", tmp_path)[0].schema["picture"] == pl.String


def test_a_zip_with_one_table_is_that_table(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.writestr("deep/data.csv", "a,b\n1,x\n")
    assert of("a.zip", tmp_path)[0]["b"].to_list() == ["x"]
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as out:
        out.writestr("train.csv", "a,b\n1,x\n")
        out.writestr("test.csv", "a,b\n1,x\n")
    with pytest.raises(SourceError, match="2 tables"):
        of("two.zip", tmp_path)
    (tmp_path / "torn.zip").write_bytes((tmp_path / "two.zip").read_bytes()[:60])
    with pytest.raises(SourceError, match="no zip"):
        of("torn.zip", tmp_path)


def test_a_damaged_member_of_a_zip_is_dropped(tmp_path: Path) -> None:
    """One byte of the second image is flipped, so that its checksum no longer agrees."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        for number in range(4):
            out.writestr(f"{'ab'[number % 2]}/{number}.png", encoded(shade=number))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.index(encoded(shade=1)) + 40] ^= 1
    (tmp_path / "a.zip").write_bytes(content)
    frame, dropped, _ = of("a.zip", tmp_path)
    assert frame.height == 3
    assert "CRC" in dropped[0].where


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_images_of_all_formats_are_decoded_whole(kind: str) -> None:
    whole = encoded(kind, (64, 64), 200)
    assert fault_of(whole) is None
    assert fault_of(whole[: len(whole) // 2]) is not None


def test_a_decompression_bomb_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert "limit" in (fault_of(encoded(size=(11, 10))) or "")
    assert fault_of(encoded(size=(10, 10))) is None

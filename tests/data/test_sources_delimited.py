"""Delimited text in all its dialects: nothing is lost without being said."""

import csv
import io
import os
import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.data.sources import read
from modelwright.data.sources.encoding import BLOCK_BYTES, encoding_of
from modelwright.errors import SourceError
from modelwright.records import POSITION

GOOD = "".join(f"{n},text number {n} here,{'ab'[n % 2]}\n" for n in range(30))
HEADER = "id,text,label\n"
SHARED = Path(os.environ.get("MODELWRIGHT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def of(content: str | bytes, folder: Path, name: str = "a.csv") -> tuple[pl.DataFrame, list[str], tuple[str, ...]]:
    """The examples in a file of that content, where the dropped ones stood, and the notes."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    chunks = list(read(name, folder=folder))
    frame = pl.concat([chunk.frame for chunk in chunks])
    dropped = [each for chunk in chunks for each in chunk.dropped]
    positions = sorted([*frame[POSITION].to_list(), *(each.position for each in dropped)])
    assert positions == list(range(len(positions)))
    return frame.drop(POSITION), [each.where for each in dropped], chunks[0].notes


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_are_told(separator: str, tmp_path: Path) -> None:
    text = (HEADER + GOOD).replace(",", separator)
    frame, dropped, _ = of(text, tmp_path)
    assert frame.columns == ["id", "text", "label"]
    assert (frame.height, dropped) == (30, [])


def test_decimal_commas_do_not_hide_semicolons(tmp_path: Path) -> None:
    """Commas split every record but the header into three, semicolons the header too."""
    frame, _, _ = of("a;b;c\n" + "1,5;2,25;x\n" * 100, tmp_path)
    assert frame.row(0) == ("1,5", "2,25", "x")


def test_commas_in_the_text_of_one_column_separate_nothing(tmp_path: Path) -> None:
    frame, _, _ = of("label\tone\n" + "a\tred, green, blue\nb\tnothing\n" * 20, tmp_path, "a.tsv")
    assert frame.row(0) == ("a", "red, green, blue")


@pytest.mark.parametrize(
    ("first", "header"),
    [("label\ttext", True), ("ham\tgo home now.", False), ("message\tclass", True), ("kind\twords", True)],
)
def test_a_header_is_told_from_data(first: str, header: bool, tmp_path: Path) -> None:
    body = "".join(f"{'ham' if n % 3 else 'spam'}\tmessage {n} is about this and that\n" for n in range(40))
    frame, _, notes = of(f"{first}\n{body}", tmp_path, "a.tsv")
    assert frame.height == 40 + (not header)
    assert frame.columns == (first.split("\t") if header else ["column_1", "column_2"])
    assert bool(notes) == (not header)


def test_names_are_made_unique_and_it_is_said(tmp_path: Path) -> None:
    frame, _, notes = of("a,a,,b\n" + "1,2,3,x\n" * 20, tmp_path)
    assert frame.columns == ["a", "a_2", "column_3", "b"]
    assert any("stands twice" in note for note in notes)


def test_row_names_of_r_and_separators_at_the_end_of_lines(tmp_path: Path) -> None:
    named, _, _ = of("a,b\n" + "".join(f"r{n},{n},{'xy'[n % 2]}\n" for n in range(20)), tmp_path)
    assert named.columns == ["column_1", "a", "b"]
    trailing, _, _ = of("a,b\n" + "".join(f"{n},{'xy'[n % 2]},\n" for n in range(20)), tmp_path)
    assert trailing.columns == ["a", "b", "column_3"]


def test_ragged_and_nul_examples_are_dropped_with_their_line(tmp_path: Path) -> None:
    """GOOD has 30 lines below the header, so the torn ones are lines 32, 33 and 34."""
    frame, dropped, _ = of(HEADER + GOOD + "1,2\n1,2,3,4\n5,a\0b,a\n" + GOOD, tmp_path)
    assert frame.height == 60
    assert [each.partition(", ")[2].partition(":")[0] for each in dropped] == ["line 32", "line 33", "line 34"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('7,5" pipe,b', '5" pipe'),
        ('7,"he said "hi" to me",a', 'he said "hi" to me'),
        ('7,"a ""b"" c",b', 'a "b" c'),
        ('7,"two\nlines, one text",a', "two\nlines, one text"),
        ('7,"never closed,b', '"never closed'),
        ('7, "spaced, but quoted" ,b', "spaced, but quoted"),
    ],
)
def test_quotes_of_all_kinds(line: str, text: str, tmp_path: Path) -> None:
    frame, dropped, _ = of(HEADER + GOOD + line + "\n" + GOOD, tmp_path)
    assert (frame.height, dropped) == (61, [])
    assert frame["text"][30] == text


def test_two_stray_quotes_swallow_nothing(tmp_path: Path) -> None:
    """Between the two, a usual reader sees one long quoted field: 30 lines gone."""
    text = 'label\ttext\nham\t"so he said\n' + "ham\tplain words\n" * 30 + 'ham\tand left"\n'
    frame, _, _ = of(text, tmp_path, "a.tsv")
    assert frame.height == 32


@pytest.mark.parametrize("stray", ["", 'a "stray quote"" here,b\n'])
def test_prose_over_two_lines_is_one_text_although_each_line_has_a_comma(stray: str, tmp_path: Path) -> None:
    """With the stray quote the block is read line by line, without it at once."""
    text = "text,label\n" + "plain words,a\n" * 20 + stray + '"I saw some, I think it was so.\n",a\n'
    frame, dropped, _ = of(text, tmp_path)
    assert (frame.row(-1), dropped) == (("I saw some, I think it was so.", "a"), [])


def test_backslashes_before_quotes(tmp_path: Path) -> None:
    frame, dropped, _ = of("text,label\n" + '"he said \\"hi\\", then left",a\n' * 20, tmp_path)
    assert (frame.row(0), dropped) == (('he said "hi", then left', "a"), [])


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "utf-32"])
def test_encodings_and_line_ends(ends: str, encoding: str, tmp_path: Path) -> None:
    text = HEADER + GOOD + "7,café crème à la carte,b\n"
    frame, dropped, _ = of(text.replace("\n", ends).encode(encoding), tmp_path)
    assert frame.columns == ["id", "text", "label"]
    assert (frame["text"][30], dropped) == ("café crème à la carte", [])


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Съешь ещё этих мягких французских булок, да выпей же чаю. " * 20, "cp1251"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 20, "cp932"),
        ("Zażółć gęślą jaźń, proszę państwa, już późno. " * 20, "cp1250"),
        ("Les élèves français étaient déjà arrivés à l'école; où êtes-vous? " * 20, "cp1252"),
    ],
)
def test_encodings_are_told_by_their_letters(text: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert text.encode(encoding).decode(encoding_of(tmp_path / "a.txt")) == text


def test_lines_of_another_encoding_are_read_by_themselves(tmp_path: Path) -> None:
    mixed = (HEADER + GOOD + "7,señor ünter,b\n" * 3).encode() + "8,café olé,a\n".encode("latin-1")
    frame, dropped, _ = of(mixed, tmp_path)
    assert (frame["text"][-1], frame["text"][-2], dropped) == ("café olé", "señor ünter", [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n \n", "blank space"),
        (HEADER.encode(), "holds no examples"),
        (b"\x7fELF" + bytes(500), "a program"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "a PNG image"),
        (b"PK\x03\x04" + bytes(500), "a zip archive"),
        (random.Random(0).randbytes(5000), "binary"),
        ((",".join(f"c{n}" for n in range(100_000)) + "\n").encode() * 20, "100,000 columns"),
        ((",".join("1" * 100_000) + "\n").encode() * 20, "100,000 columns"),
    ],
)
def test_what_is_no_table_is_refused_in_plain_words(content: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=said):
        of(content, tmp_path)


def test_a_cell_of_ten_megabytes_and_records_across_blocks(tmp_path: Path) -> None:
    """The large cell ends beyond the first block; the quoted line end before it lies within."""
    big = "x y " * (BLOCK_BYTES * 5 // 16)
    frame, dropped, _ = of(f'{HEADER}{GOOD}7,"{big}\nend",b\n{GOOD}', tmp_path)
    assert (frame.height, dropped) == (61, [])
    assert frame["text"][30] == f"{big}\nend"


def test_many_blocks_keep_positions_and_types(tmp_path: Path) -> None:
    line = "%d,some words that fill a line to a length that is ordinary,a\n"
    text = "id,text,label\n" + "".join(line % n for n in range(200_000))
    frame, dropped, _ = of(text, tmp_path)
    assert dropped == []
    assert frame["id"].to_list() == [str(n) for n in range(200_000)]


_CELLS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")) | st.sampled_from('\n",;\t'), max_size=8)


@settings(max_examples=60, deadline=None)
@given(cells=st.lists(st.tuples(_CELLS, _CELLS), min_size=1, max_size=12))
def test_what_the_csv_module_writes_is_read_back(
    cells: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The oracle is Python's csv writer with every field quoted; blank space round a value is not part of it."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("id", "text", "label"), *((str(n), *pair) for n, pair in enumerate(cells))])
    frame, dropped, _ = of(out.getvalue(), tmp_path_factory.mktemp("csv"))
    assert dropped == []
    expected = [tuple(cell.strip() or None for cell in pair) for pair in cells]
    assert frame.select("text", "label").rows() == expected


def test_a_valid_file_is_not_repaired(tmp_path: Path) -> None:
    """Both lines of the text look like records of two fields: 5 + 1 + 30 examples, not 37."""
    text = 'Valid are "slider",\n"t1" and "t2".'
    out = io.StringIO()
    csv.writer(out).writerows([["a", "b"], *[["x", "k"]] * 5, [text, "k"], *[["y", "k"]] * 30])
    frame, dropped, _ = of(out.getvalue(), tmp_path)
    assert (frame.height, frame["a"][5], dropped) == (36, text, [])


def test_a_header_over_two_lines(tmp_path: Path) -> None:
    frame, dropped, _ = of('"text, ""raw"",\nas found",label\n' + "some plain words,a\n" * 20, tmp_path)
    assert (frame.columns, frame.height, dropped) == (['text, "raw",\nas found', "label"], 20, [])


_PIECES = ['"', '""', '"x",', ",", ";", "\t", "|", "\n", "\r\n", "\n\n", " ", "\\", "a", "word", "é", "1"]
_TEXTS = st.lists(st.sampled_from(_PIECES), max_size=10).map("".join)
_TABLES = st.integers(2, 4).flatmap(lambda width: st.lists(st.tuples(*[_TEXTS] * width), min_size=1, max_size=25))


@settings(max_examples=300, deadline=None)
@given(
    table=_TABLES,
    separator=st.sampled_from(",;\t"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    torn=st.booleans(),
    block_bytes=st.sampled_from([40, 300, BLOCK_BYTES]),
)
def test_a_valid_file_is_read_as_the_csv_module_reads_it(
    table: list[tuple[str, ...]],
    separator: str,
    quoting: int,
    end: str,
    torn: bool,
    block_bytes: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The oracle is Python's strict csv reader; blank space round a value is not part of it.

    `torn` files lack the last line end; small blocks put their ends into the middle of quoted fields.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=quoting, delimiter=separator, lineterminator=end)
    names = ["id", "text", "label", "title"][: len(table[0])]
    writer.writerows([names, *table])
    text = out.getvalue().removesuffix(end) if torn else out.getvalue()
    expected = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modelwright.data.sources.encoding.BLOCK_BYTES", block_bytes)
        frame, dropped, _ = of(text, tmp_path_factory.mktemp("csv"))
    assert (frame.columns, dropped) == (expected[0], [])
    assert frame.rows() == [tuple(field.strip() or None for field in fields) for fields in expected[1:]]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not here")
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("text/sms_spam.tsv", 5574),  # the usual quoting loses two
        ("text/banking77_train.csv", 10003),
        ("text/newsgroups20.csv.gz", 4572),
        ("dirty/early_childhood_true_ids.csv", 3337),
        ("tabular/adult_train.csv.gz", 32561),
        ("dirty/febrl3.csv", 5000),
    ],
)
def test_real_files_are_read_whole(name: str, count: int) -> None:
    """The counts are those of the data set's own README."""
    chunks = list(read(str(SHARED / name), folder=SHARED))
    assert sum(chunk.frame.height for chunk in chunks) == count
    assert not any(chunk.dropped for chunk in chunks)

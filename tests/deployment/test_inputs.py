"""What callers send is read as the data room reads it, and every fault is named at once."""

from __future__ import annotations

import base64
import datetime
import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from modelwright.deployment.inputs import read, unwrap
from modelwright.deployment.load import Loaded
from modelwright.deployment.signature import Field, Signature
from modelwright.errors import InputError


def one(type_: str, kind: str = "category", **options: Any) -> Signature:
    field = Field("x", kind, type_, nullable=True, **options)  # type: ignore[arg-type]
    other = Field("y", "number", "Float64", nullable=True)
    return Signature("classification", "table", (field, other), "z", ("a", "b"), {"z": "it is predicted"})


def faults(signature: Signature, *inputs: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(list(inputs), signature)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("type_", "sent", "held"),
    [
        ("Float64", 3, 3.0),
        ("Float64", " 3.5e2 ", 350.0),
        ("Float64", "-.5", -0.5),
        ("Float64", "", None),
        ("Float64", "N/A", None),
        ("Float64", 2**63 - 1, float(2**63 - 1)),
        ("Int64", "7", 7),
        ("Int64", 7.0, 7),
        ("Boolean", True, True),
        ("Boolean", "No", False),
        ("Boolean", 1, True),
        ("String", " Bern ", "Bern"),
        ("String", 12, "12"),
        ("String", 1.5, "1.5"),
        ("String", "NaN", None),
        ("String", "unknown", "unknown"),
        ("Date", "2024-02-29", datetime.date(2024, 2, 29)),
        ("Date", "2024-02-29T10:00:00Z", datetime.date(2024, 2, 29)),
        ("Datetime(us)", "2024-02-29", datetime.datetime(2024, 2, 29)),
        ("Datetime(us)", "2024-02-29T10:00:00+02:00", datetime.datetime(2024, 2, 29, 8)),
        ("Datetime(us, UTC)", "2024-02-29T10:00", datetime.datetime(2024, 2, 29, 10, tzinfo=datetime.UTC)),
    ],
)
def test_values_are_read(type_: str, sent: Any, held: Any) -> None:
    found = read([{"x": sent, "y": 1}], one(type_)).frame
    assert found["x"].to_list() == [held]
    assert found["x"].dtype == one(type_).fields[0].dtype


@pytest.mark.parametrize(
    ("type_", "sent"),
    [
        ("Float64", float("nan")),
        ("Float64", float("inf")),
        ("Float64", 2**70),
        ("Float64", -(10**4000)),
        ("Float64", "1e400"),
        ("Float64", "1_000"),
        ("Float64", "１２"),
        ("Float64", "0x10"),
        ("Float64", True),
        ("Float64", [1]),
        ("Float64", {"a": 1}),
        ("Int64", 7.5),
        ("Int64", 2**62),
        ("Boolean", "perhaps"),
        ("Boolean", 2),
        ("String", ["Bern"]),
        ("String", "\ud800"),
        ("String", "a" * 11),
        ("Date", "yesterday"),
        ("Date", "2024-02-30"),
        ("Date", 20240229),
        ("Datetime(us)", "2024-02-29T25:00"),
    ],
)
def test_values_that_do_not_fit_are_faults_that_can_be_printed(type_: str, sent: Any) -> None:
    found = faults(one(type_, max_characters=10), {"x": sent, "y": 1})
    assert len(found) == 1 and found[0].startswith("inputs[0].x: ")
    assert "expected" in found[0] and len(found[0]) < 200
    found[0].encode()


def test_all_faults_come_at_once_with_the_nearest_name() -> None:
    found = faults(one("Float64"), {"x": "one", "yy": 2}, 5, {"y": None}, {"X": 1})
    assert found == [
        "inputs[0].'yy': is not a column of the model; did you mean y?",
        "inputs[0].x: 'one'; expected a number",
        "inputs[1]: 5; expected an object of columns",
        "inputs[2]: has a value in no column; expected at least one of: x, y",
        "inputs[3].'X': is not a column of the model; did you mean x?",
    ]


def test_many_faults_are_counted() -> None:
    found = faults(one("Float64"), *[{"x": "one", f"column {i}": 1} for i in range(100)])
    assert len(found) == 51 and found[-1] == "inputs: 150 more faults"


def test_known_columns_that_are_not_used_and_missing_ones_are_warned_of() -> None:
    found = read([{"x": 1, "z": "a"}, {"x": 2, "y": 3}, {"x": None, "y": 1}], one("Float64"))
    assert found.warnings == (
        "'z' is not used: it is predicted (in 1 of 3 inputs)",
        "'x' is missing: answered as the model does without it (in 1 of 3 inputs)",
        "'y' is missing: answered as the model does without it (in 1 of 3 inputs)",
    )


@pytest.mark.parametrize(
    ("sent", "held"),
    [(True, "True"), ("True", "True"), (1, "1"), (2.0, "2")],
)
def test_a_category_is_spelt_as_the_data_spells_it(sent: Any, held: str) -> None:
    signature = one("String", examples=("True", "False", "1", "2"))
    assert read([{"x": sent}], signature).frame["x"].to_list() == [held]


def test_the_type_of_a_column_does_not_depend_on_who_else_asks() -> None:
    whole, broken = read([{"x": 1}], one("Float64")), read([{"x": 1.5}, {"x": None, "y": 1}], one("Float64"))
    assert whole.frame.schema == broken.frame.schema
    assert pl.concat([whole.frame, broken.frame])["x"].to_list() == [1.0, 1.5, None]


TEXT = Signature("classification", "text", (Field("message", "text", "String", False),), "z", ("a",), {})


@pytest.mark.parametrize(
    "body", [{"inputs": ["hi"]}, {"inputs": "hi"}, ["hi"], "hi", {"message": "hi"}, {"text": "hi"}, [{"text": " hi"}]]
)
def test_a_text_may_come_in_many_wrappings(body: Any) -> None:
    assert read(unwrap(body, TEXT, 9), TEXT).frame["message"].to_list() == ["hi"]


@pytest.mark.parametrize("body", [[], {"inputs": []}, {"inputs": ["a"] * 10}, ["a"] * 10, {"inputs": ["a"], "id": 1}])
def test_nothing_and_too_much_and_a_mixture_are_refused(body: Any) -> None:
    with pytest.raises(InputError):
        unwrap(body, TEXT, 9)


@pytest.mark.parametrize(
    "body", [None, [None], [["hi"]], {}, {"message": None}, {"massage": "hi"}, [3], {"inputs": [{}]}]
)
def test_what_is_no_text_is_a_fault(body: Any) -> None:
    assert faults(TEXT, *unwrap(body, TEXT, 9))


def test_a_column_may_be_called_inputs() -> None:
    wide = Signature(
        "classification",
        "table",
        (Field("inputs", "number", "Float64", True), Field("b", "number", "Float64", True)),
        "z",
        ("a",),
        {},
    )
    assert unwrap({"inputs": 3, "b": 4}, wide, 9) == [{"inputs": 3, "b": 4}]
    assert unwrap({"inputs": [{"inputs": 3}]}, wide, 9) == [{"inputs": 3}]
    assert unwrap({"inputs": 3}, wide, 9) == [{"inputs": 3}]


def test_images_are_proven_before_the_model_sees_them(loaded: Callable[[str], Loaded], image: Any) -> None:
    signature = loaded("image").signature
    good = image.examples["photo"][0]
    sent = base64.b64encode(good).decode()
    assert read([sent], signature).frame["photo"].to_list() == [good]
    assert read(["data:image/png;base64," + sent], signature).frame["photo"].to_list() == [good]
    file = io.BytesIO()
    shades = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(shades).save(file, "PNG")
    whole = file.getvalue()  # its header is sound, so that only decoding finds the cut
    assert read([base64.b64encode(whole).decode()], signature)
    assert "image" in faults(signature, base64.b64encode(whole[: len(whole) // 2]).decode())[0]
    cut, noise = base64.b64encode(good[: len(good) // 2]).decode(), base64.b64encode(b"GIF89a" + bytes(40)).decode()
    for bad in ("not base64!", cut, noise, "", 7, sent[:-3], base64.b64encode(b"<svg/>").decode()):
        assert "image" in faults(signature, bad)[0]


def test_a_small_file_with_many_pixels_is_refused_unread(loaded: Callable[[str], Loaded]) -> None:
    """30,000 x 30,000 grey pixels are 900 million, in a header of 13 bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (found,) = faults(loaded("image").signature, base64.b64encode(bomb).decode())
    assert "pixels" in found or "image file" in found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["age", "city", "inputs"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["age", "city", "since", "member", "income", "inputs", "stays"]) | st.text(), inner
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=JSON)
def test_any_json_is_read_or_refused_with_faults(loaded: Callable[[str], Loaded], body: Any) -> None:
    found = loaded("table")
    try:
        inputs = unwrap(body, found.signature, 256)
        answers = found.predict(inputs)
    except InputError as error:
        assert error.faults
        json.dumps([str(fault) for fault in error.faults], ensure_ascii=False).encode("utf-8", "backslashreplace")
    else:
        assert len(answers) == len(inputs)

"""Examples that are nearly the same: found, told apart from others, left out or kept together."""

from __future__ import annotations

import io
import random
from collections import Counter

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageEnhance

from modelwright.data.clean import Cleaned, dropped_frame
from modelwright.data.splits import FREE, TRAIN, VALIDATION
from modelwright.data.twins.images import image_twins
from modelwright.data.twins.lsh import CROWD, likely_pairs, signatures
from modelwright.data.twins.pairs import Pairs, chained
from modelwright.data.twins.settle import settle
from modelwright.data.twins.slips import slipped
from modelwright.data.twins.texts import _pieces_in_common, plain_texts, text_twins, word_pairs, word_pieces
from modelwright.problem import Duplicates
from modelwright.records import POSITION, Column, Schema

TEXT = Schema("classification", "text", (Column("text", "text"),), "label")
COMMON = Counter({word: 300 for word in ("the", "a", "can", "cant", "card", "my", "lost", "i", "is", "in", "account")})


def pairs(*found: tuple[int, int, float]) -> Pairs:
    first, second, alike = zip(*found, strict=True)
    return Pairs(np.array(first), np.array(second), np.array(alike), np.ones(len(found), bool))


def placed(found: Pairs) -> list[tuple[int, int]]:
    return list(zip(found.first_K.tolist(), found.second_K.tolist(), strict=True))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("i lost my card", "i lost my crad"),
        ("i lost my card", "i lostmy card"),
        ("i lost my card", "i lo st my card"),
        ("i lost my card", "my card i lost"),
        ("i lost my card in the station", "i lost my card in the st"),
        ("please activate my account now", "plese activte my account now"),
    ],
)
def test_slips_of_the_pen_are_seen_through(one: str, other: str) -> None:
    assert slipped(one, other, COMMON) and slipped(other, one, COMMON)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("i can use my card", "i cant use my card"),
        ("is the card active", "is the card inactive"),
        ("i lost my card", "i lost my phone"),
        ("i lost my card", "i lost the card"),
        ("where is my card", "where is my new card"),
        ("open my account", "open my accounts"),
        ("i lost my card", "i lost my card when i was in paris"),
    ],
)
def test_other_words_are_no_slips(one: str, other: str) -> None:
    counts = COMMON + Counter((one + " " + other).split() * 300)
    assert not slipped(one, other, counts) and not slipped(other, one, counts)


def test_a_text_is_the_pieces_of_its_words_in_any_order() -> None:
    """ "a card" has the pieces " car", "card", "ard "; a word of one letter has none, one of two letters one."""
    elements, starts = word_pieces(["a card", "card a", "to", "", "x"])
    assert np.diff(starts).tolist() == [3, 3, 1, 0, 0]
    assert sorted(elements[:3].tolist()) == sorted(elements[3:6].tolist())
    assert len(set(elements.tolist())) == 4


def test_long_texts_are_pairs_of_words() -> None:
    elements, starts = word_pairs(["a b c", "b c", "alone"])
    assert np.diff(starts).tolist() == [2, 1, 0]
    assert elements[1] == elements[2] != elements[0]


def test_plain_texts_have_words_alone() -> None:
    assert plain_texts(pl.Series(["  Ｆull—width, OK?", "£5 now!", "Ähre  \n x"])).to_list() == [
        "full width ok",
        "£5 now",
        "ähre x",
    ]


def test_sets_in_common_are_found_among_many() -> None:
    """Sets of 40 with 30 in common: J = 30 / 50 = .6, found with probability 1 - (1 - .216)^42 > .9999."""
    rng = np.random.default_rng(0)
    sets = rng.integers(0, 2**63, (3000, 40), dtype=np.uint64)
    sets[2000:, :30] = sets[:1000, :30]
    found = likely_pairs(signatures(sets.ravel(), np.arange(0, 120_001, 40)))
    assert list(zip(*(side.tolist() for side in found), strict=True)) == [(i, 2000 + i) for i in range(1000)]


def test_a_crowd_of_equal_sets_is_not_compared_with_all() -> None:
    signature = np.arange(126, dtype=np.uint32)
    first, second = likely_pairs(np.tile(signature, (5000, 1)))
    assert len(first) <= 5000 * CROWD
    assert set(second.tolist()) == set(range(1, 5000))


WORDS = ["".join(random.Random(seed).choices("abcdefghijklmnopqrstuvwxyz", k=3 + seed % 8)) for seed in range(3000)]


def typed_wrong(text: str, chance: random.Random, share: float) -> str:
    letters = list(text)
    for place in chance.sample(range(len(letters)), max(1, round(share * len(letters)))):
        letters[place] = chance.choice(["", letters[place] * 2, chance.choice("abcdefghijklmnopqrstuvwxyz")])
    return "".join(letters)


def test_planted_twins_are_found_and_no_others() -> None:
    """4,000 texts of 6 to 14 words, 400 of them altered once more: all of one kind are found, and none besides."""
    chance = random.Random(0)
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(6, 14))) for _ in range(4000)]
    alter = {
        "case and spaces": lambda text: "  " + text.title().replace(" ", "   ") + "!",
        "slips": lambda text: typed_wrong(text, chance, 0.04),
        "order": lambda text: " ".join(chance.sample(text.split(), len(text.split()))),
        "cut": lambda text: text[: int(0.75 * len(text))],
    }
    kinds = [kind for kind in alter for _ in range(100)]
    planted = texts + [alter[kind](texts[place]) for place, kind in enumerate(kinds)]
    found = text_twins(pl.Series(planted))
    wanted = {(place, 4000 + place): kind for place, kind in enumerate(kinds)}
    hits = Counter(wanted.get(pair, "none") for pair in placed(found))
    assert hits["none"] == 0
    assert hits["case and spaces"] == hits["order"] == hits["cut"] == 100
    assert hits["slips"] >= 95


def test_long_texts_with_slips_are_found() -> None:
    chance = random.Random(1)
    common = WORDS[:300]
    texts = [" ".join(chance.choices(common, k=chance.randint(150, 400))) for _ in range(300)]
    planted = texts + [typed_wrong(text, chance, 0.03) for text in texts[:50]] + [text[:-100] for text in texts[50:80]]
    found = text_twins(pl.Series(planted))
    assert placed(found) == [(place, 300 + place) for place in range(80)]
    assert found.similarity_K.min() >= 0.65 and found.similarity_K.max() <= 1


def test_pieces_in_common_are_counted_as_often_as_they_stand() -> None:
    """ "card card" has twice the three pieces of "card", which has each once: 3 of 6 in common."""
    assert _pieces_in_common(["card", "card card", "phone"], np.array([0, 0]), np.array([1, 2])).tolist() == [0.5, 0.0]


def test_names_and_short_codes_have_no_twins() -> None:
    assert not len(text_twins(pl.Series(["anna", "hanna", "anne", "a b", "AB-1", None, ""])))


def test_another_number_is_another_text_though_alike() -> None:
    found = text_twins(pl.Series(["transfer 500 dollars to my mother", "transfer 600 dollars to my mother"]))
    assert placed(found) == [(0, 1)] and found.same_K.tolist() == [False]


def test_what_is_known_is_not_compared_with_itself() -> None:
    texts = pl.Series(["i lost my card today"] * 2 + ["i lost my card todya"])
    assert placed(text_twins(texts, known=2)) == [(0, 2), (1, 2)]


def test_the_first_of_several_twins_stays() -> None:
    """0-1 and 1-2 are twins, 0-2 are not: 1 goes for 0, and 2 stays, as nobody stands for it. 4 goes for 3."""
    out = pairs((0, 1, 0.9), (1, 2, 0.9), (3, 4, 0.7)).left_out()
    assert placed(out) == [(0, 1), (3, 4)]


def test_chains_join_two_kinds_of_groups() -> None:
    codes = chained(np.array([0, 0, 1, 2, 3]), np.array([5, 6, 6, 7, 8]))
    assert codes[0] == codes[1] == codes[2] and len(set(codes.tolist())) == 3


def cleaned(*rows: tuple[str, str]) -> Cleaned:
    texts, labels = zip(*rows, strict=True)
    frame = pl.DataFrame({POSITION: range(len(rows)), "text": texts, "label": labels})
    return Cleaned(frame, dropped_frame([(99, "exact_duplicate", 1, None)]), ())


ROWS = (
    ("how do i order a new card", "order"),
    ("How do I oder a new card?", "order"),
    ("how do i order a newcard", "cancel"),
    ("please close the account of my late father", "close"),
)


def test_the_later_twin_goes_and_names_the_one_that_stays() -> None:
    found, official_N = settle(cleaned(*ROWS), np.full(4, FREE, np.int8), None, TEXT, "drop")
    assert found.examples[POSITION].to_list() == [0, 2, 3] and len(official_N) == 3
    assert found.dropped.select("position", "reason", "twin").rows() == [
        (99, "exact_duplicate", 0),  # the twin that it named has gone for example 0
        (1, "near_duplicate", 0),
    ]
    assert found.twins_N is not None and found.twins_N[0] == found.twins_N[1] != found.twins_N[2]
    assert [finding.kind for finding in found.findings] == ["leakage_twin", "conflicting_label", "leakage_twin"]
    assert "How do I oder a new card?" in found.findings[0].examples[0]
    assert "order and cancel" in found.findings[1].examples[0]


def test_twins_share_a_part_where_asked() -> None:
    found, _ = settle(cleaned(*ROWS), np.full(4, FREE, np.int8), None, TEXT, "group")
    assert len(found.examples) == 4
    assert (
        found.twins_N is not None and len(set(found.twins_N[:3].tolist())) == 1 and found.twins_N[3] != found.twins_N[0]
    )


def test_twins_are_only_said_where_asked() -> None:
    found, _ = settle(cleaned(*ROWS), np.full(4, FREE, np.int8), None, TEXT, "report")
    assert len(found.examples) == 4 and found.twins_N is None
    assert {finding.severity for finding in found.findings} == {"warning"}


@pytest.mark.parametrize("policy", ["drop", "group"])
def test_twins_of_an_official_test_part_go_from_train(policy: Duplicates) -> None:
    test = pl.DataFrame({POSITION: [7], "text": ["How do I order a nev card"], "label": ["order"]})
    found, _ = settle(cleaned(*ROWS), np.full(4, FREE, np.int8), test, TEXT, policy)
    assert found.examples[POSITION].to_list() == [3]
    assert found.dropped["twin"].to_list() == [7, 7, 7, 7]
    assert "in the official test part" in found.dropped["where"][1]


def test_of_official_parts_validation_stays_and_train_goes() -> None:
    official = np.array([TRAIN, VALIDATION, TRAIN, TRAIN], np.int8)
    found, official_N = settle(cleaned(*ROWS), official, None, TEXT, "drop")
    assert found.examples[POSITION].to_list() == [1, 2, 3]
    assert official_N.tolist() == [VALIDATION, TRAIN, TRAIN]


def test_a_template_is_not_put_into_one_part() -> None:
    """60 texts that differ by a number are one chain; in one part they would be it."""
    rows = [(f"your code for the bank is {number}", "code") for number in range(10, 70)]
    found, _ = settle(cleaned(*rows, *ROWS), np.full(64, FREE, np.int8), None, TEXT, "drop")
    assert found.twins_N is None or np.bincount(found.twins_N).max() <= 3
    assert any("too many for one part" in finding.examples[0] for finding in found.findings)


def picture(seed: int) -> Image.Image:
    """Blots on a ground, as photographs have."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    fine = np.asarray(Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray(np.clip(fine + rng.normal(0, 12, fine.shape), 0, 255).astype(np.uint8))


def encoded(image: Image.Image, form: str = "PNG", **more: int) -> bytes:
    held = io.BytesIO()
    image.save(held, form, **more)
    return held.getvalue()


def test_images_that_were_written_anew_are_found_and_no_others() -> None:
    images = [picture(seed) for seed in range(300)]
    alter = [
        lambda image: encoded(image, "JPEG", quality=40),
        lambda image: encoded(image.resize((97, 71))),
        lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.15)),
        lambda image: encoded(ImageEnhance.Contrast(image).enhance(0.8)),
    ]
    files = [encoded(image) for image in images] + [alter[place % 4](images[place]) for place in range(100)]
    files += [b"no image", encoded(Image.new("RGB", (20, 20), "red")), encoded(Image.new("RGB", (30, 30), "red"))]
    found = image_twins(pl.Series(files, dtype=pl.Binary))
    assert placed(found) == [(place, 300 + place) for place in range(100)]
    assert found.similarity_K.min() >= 0.97

"""Evaluation items in training data are found, copied, quoted or slightly changed."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.harness.evaluation.contamination.containment import ItemIndex

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdgklmnrst"]


def sentence(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(WORDS, k=words))


def changed(text: str, draw: random.Random) -> str:
    parts = text.split()
    for place in draw.sample(range(len(parts)), 2):
        parts[place] = "zzz"
    return " ".join(parts)


PLANTED = {
    "copied": lambda text, draw: text,
    "in other letters": lambda text, draw: text.upper().replace(" ", ",  "),
    "inside": lambda text, draw: f"{sentence(draw, 80)} {text} {sentence(draw, 80)}",
    "two words changed": changed,
}


@pytest.mark.parametrize("way", PLANTED)
def test_five_per_cent_of_planted_items_are_found_and_nothing_else(way: str) -> None:
    draw = random.Random(way)
    items = [sentence(draw, draw.randint(8, 40)) for _ in range(1000)]
    planted = set(draw.sample(range(1000), 50))
    rows = [PLANTED[way](items[i], draw) for i in planted]
    rows += [sentence(draw, draw.randint(5, 120)) for _ in range(3000)]
    draw.shuffle(rows)
    result = ItemIndex(items).search(rows)
    found = set(np.flatnonzero(result.contaminated).tolist())
    assert len(found & planted) >= 0.95 * len(planted)
    assert len(found & planted) >= 0.95 * len(found)
    for item in found & planted:
        shared = set(items[item].split()) & set(
            rows[result.documents[item]].lower().replace(",", " ").split()
        )
        assert len(shared) >= len(set(items[item].split())) - 2


@pytest.mark.parametrize("size", [12, 50])
def test_other_questions_of_one_template_are_not_the_items(size: int) -> None:
    draw = random.Random(size)
    pairs = draw.sample([(a, b) for a in range(1, 100) for b in range(1, 100)], 2 * size)
    asked = [f"What is {a} plus {b}? Answer: {a + b}" for a, b in pairs]
    index = ItemIndex(asked[:size])
    assert index.search(asked[size:]).contaminated.sum() <= 1
    assert index.search(asked[:size]).contaminated.all()


def test_a_templates_words_are_no_evidence() -> None:
    names = [f"{w}a {w}o" for w in WORDS[:400]]
    items = [f"Question : which town does {name} live in ? Answer :" for name in names]
    rows = [f"Question : which town does {w}u {w}i live in ? Answer :" for w in WORDS[400:560]]
    assert not ItemIndex(items).search(rows).contaminated.any()
    assert ItemIndex(items).search([items[7]]).contaminated.nonzero()[0].tolist() == [7]


def test_items_and_data_without_words_are_no_contamination() -> None:
    result = ItemIndex(["", "?!", "a b c d e f"]).search(["", "...", "x y z"])
    assert not result.contaminated.any()
    assert result.items_without_words == 2
    assert not ItemIndex([]).search(["a b c"]).contaminated.any()
    assert not ItemIndex(["a b c d"]).search([]).contaminated.any()


@settings(deadline=None)  # tables of letters are made at the first text that is not ASCII
@given(st.lists(st.text(max_size=60), max_size=12), st.lists(st.text(max_size=90), max_size=12))
def test_shares_lie_between_0_and_1_and_name_a_document(items: list[str], rows: list[str]) -> None:
    found = ItemIndex(items).search(rows)
    assert ((found.shares >= 0) & (found.shares <= 1)).all()
    assert ((found.documents == -1) == (found.shares == 0)).all()
    assert (found.documents < max(len(rows), 1)).all()


@given(st.lists(st.text(alphabet="abc ", min_size=1, max_size=60), min_size=1, max_size=12))
def test_what_is_trained_on_itself_is_contaminated(items: list[str]) -> None:
    found = ItemIndex(items).search(items)
    assert found.contaminated.sum() == sum(bool(item.strip()) for item in items)

"""Short answers compare as SQuAD compares them, in any script."""

from __future__ import annotations

import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.harness.texts import answer_key, normalised_answer, token_f1
from steelyard.tasks.probes.texts import matches


def squad_normalised(text: str) -> str:
    """As SQuAD's evaluation script 1.1, after hyphens became spaces."""
    text = "".join(c for c in text.lower().replace("-", " ") if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def squad_f1(prediction: str, truth: str) -> float:
    """As SQuAD's evaluation script 1.1."""
    prediction_tokens = squad_normalised(prediction).split()
    truth_tokens = squad_normalised(truth).split()
    same = sum((Counter(prediction_tokens) & Counter(truth_tokens)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(prediction_tokens), same / len(truth_tokens)
    return 2 * precision * recall / (precision + recall)


ASCII = st.text(alphabet=st.characters(min_codepoint=9, max_codepoint=126), max_size=40)


@given(ASCII)
def test_ascii_answers_are_normalised_as_squad_does(text: str) -> None:
    assert normalised_answer(text) == squad_normalised(text)


@given(ASCII, ASCII)
def test_f1_of_ascii_answers_is_squads_where_both_say_something(answer: str, right: str) -> None:
    if squad_normalised(answer) and squad_normalised(right):
        assert token_f1(answer, right) == pytest.approx(squad_f1(answer, right), abs=1e-12)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("Cafe\u0301 Müller.", "café müller"),
        ("４２", "42"),
        ("٤٢", "42"),
        ("Tōkyō—Eki", "tōkyō eki"),
        ("面包店。", "面包店"),
        ("«Война и мир»", "война и мир"),
        ("¿Qué?", "qué"),
        ("बेकरी।", "बेकरी"),
        ("\u200fירושלים\u200f", "ירושלים"),
        ("STRASSE", "Straße"),
        ("A", "a"),
        ("東京\u3000駅", "東京 駅"),
    ],
)
def test_an_answer_that_is_spelt_otherwise_is_right(answer: str, right: str) -> None:
    assert matches(answer, [right])


@pytest.mark.parametrize(
    ("answer", "right"),
    [("10²", "102"), ("resume", "résumé"), ("कि", "की"), ("", "の"), ("the", "A"), ("。", "、")],
)
def test_an_answer_that_is_another_is_wrong(answer: str, right: str) -> None:
    assert not matches(answer, [right])


def test_f1_counts_characters_where_no_space_parts_words() -> None:
    # 北京 of 北京市: precision 1, recall 2/3.
    assert token_f1("北京", "北京市") == pytest.approx(0.8)
    assert token_f1("", "Paris") == 0.0
    assert token_f1("Paris", "...") is None
    assert answer_key("The") == "the"

"""Words in any script, and whether a text is written without spaces."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.harness.texts import is_unspaced, split_unspaced, words, written_without_spaces

WORDS = {
    "नाव सुबह निकलती है।": ["नाव", "सुबह", "निकलती", "है"],
    "Žluťoučký kůň": ["žluťoučký", "kůň"],
    "المكتبة تفتح": ["المكتبة", "تفتح"],
    "한국어 텍스트": ["한국어", "텍스트"],
    "面包店2024年关门": ["面", "包", "店", "2024", "年", "关", "门"],
    "コーヒーを飲む": ["コ", "ー", "ヒ", "ー", "を", "飲", "む"],
    "ร้านปิด": ["ร้", "า", "น", "ปิ", "ด"],
    "GPT-4はＡＩ": ["gpt", "4", "は", "ai"],
    "it’s l'été": ["it", "s", "l", "été"],
}


@pytest.mark.parametrize("text", WORDS)
def test_a_word_keeps_its_marks_and_characters_stand_alone_where_no_space_parts_them(
    text: str,
) -> None:
    assert words(text) == WORDS[text]


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_words_of_ascii_text_are_runs_of_letters_and_digits(text: str) -> None:
    assert words(text) == re.findall(r"[a-z0-9]+", text.lower())


@settings(deadline=None)  # tables are made at the first text that is not ASCII
@given(st.text(max_size=60))
def test_every_letter_and_digit_is_in_a_word(text: str) -> None:
    joined = "".join(words(text))
    assert all(letter in joined for word in words(text) for letter in word)
    if any(letter.isalnum() for letter in text if letter.isascii()):
        assert joined


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("渡船早上八点离开码头。图书馆", True),
        ("渡船 早上 八点 离开 码头", False),
        ("湖は冬に凍ります", True),
        ("ร้านเบเกอรี่ปิดวันจันทร์ และเปิดวันอังคาร", True),
        ("ប្រទេសកម្ពុជាស្ថិតនៅអាស៊ី", True),
        ("The ferry leaves at eight", False),
        ("Der Markt öffnet um sieben", False),
        ("नाव सुबह आठ बजे निकलती है", False),
        ("배는 아침 여덟 시에 떠난다", False),
        ("The word 面包店 means bakery", False),
        ("", False),
    ],
)
def test_text_without_spaces_is_told_from_text_that_was_cut_into_words(
    text: str, without: bool
) -> None:
    assert written_without_spaces([text]) is without


def test_a_word_between_spaces_is_cut_only_where_its_script_has_none() -> None:
    assert split_unspaced("don't") == ["don't"]
    assert split_unspaced("北京abc") == ["北", "京", "abc"]
    assert is_unspaced("北京") and not is_unspaced("Peking 北") and not is_unspaced("?!")

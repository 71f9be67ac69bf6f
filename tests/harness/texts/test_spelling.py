"""One spelling of a text: what Unicode calls the same is the same, and nothing else."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.harness.texts import caseless, in_the_form_of, plain, without_punctuation

SAME = {
    "an accent as a mark": ("cafe\u0301", "café"),
    "jamo and syllables": ("\u1112\u1161\u11ab", "한"),
    "a Hindi nukta letter": ("\u0958", "\u0915\u093c"),
    "full width": ("ＡＢＣ－１２３！", "ABC-123!"),
    "half width katakana with its mark": ("ﾊﾟﾝ", "パン"),
    "an ideographic and a no-break space": ("東京\u3000駅\u00a01", "東京 駅 1"),
    "a ligature": ("ﬁne", "fine"),
    "Arabic presentation forms": ("\ufe8d\ufedf", "\u0627\u0644"),
    "Arabic-Indic, Devanagari and mathematical digits": ("٤٢ ४२ 𝟒𝟐", "42 42 42"),
    "a stretched Arabic word": ("مـــرحبا", "مرحبا"),
    "marks of direction": ("\u200fשלום\u200e \u202b1\u202c", "שלום 1"),
    "zero width spaces and a byte order mark": ("\ufeffកម្ពុជា\u200bថ្មី", "កម្ពុជាថ្មី"),
    "a soft hyphen": ("Donau\u00addampf", "Donaudampf"),
    "an emoji with and without its selector": ("❤\ufe0f", "❤"),
    "the minus sign": ("\u22125", "-5"),
    "curly and straight quotes": ("It’s ‘so’ “here”", "It's 'so' \"here\""),
    "German quotes": ("„ja“", '"ja"'),
    "Ukrainian's apostrophe, a letter to Unicode": ("мʼята", "м'ята"),
    "Hebrew's gershayim": ("צה״ל", 'צה"ל'),
    "a hyphen that does not break": ("co\u2011op", "co-op"),
    "a wave dash and a full-width tilde": ("3〜4", "3～4"),
}
OTHER = {
    "a power": ("10²", "102"),
    "a fraction": ("1½", "11/2"),
    "a circled number": ("①", "1"),
    "an accent": ("résumé", "resume"),
    "case": ("Polish", "polish"),
    "a vowel sign": ("कि", "की"),
    "an Arabic word with its vowels": ("كِتَاب", "كتاب"),
    "a dash between numbers": ("1–2", "1-2"),
}


@pytest.mark.parametrize("kind", SAME)
def test_two_spellings_of_one_text_are_one(kind: str) -> None:
    ours, theirs = SAME[kind]
    assert plain(ours) == plain(theirs)


@pytest.mark.parametrize("kind", OTHER)
def test_texts_that_mean_something_else_stay_apart(kind: str) -> None:
    ours, theirs = OTHER[kind]
    assert plain(ours) != plain(theirs)


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_text_is_left_as_it_is(text: str) -> None:
    assert plain(text) == text
    assert caseless(text) == text.lower()


@settings(deadline=None)  # tables are made at the first text that is not ASCII
@given(st.text(max_size=40))
def test_canonically_equivalent_texts_have_one_spelling_and_it_is_stable(text: str) -> None:
    assert plain(unicodedata.normalize("NFD", text)) == plain(unicodedata.normalize("NFC", text))
    assert plain(plain(text)) == plain(text)


def test_case_is_folded_as_unicode_says() -> None:
    assert caseless("STRASSE") == caseless("Straße")
    assert caseless("İSTANBUL") == caseless("istanbul")
    assert caseless("ΟΔΟΣ") == caseless("οδος")


@pytest.mark.parametrize(
    ("with_vowels", "without"),
    [("كِتَابٌ", "كتاب"), ("هٰذَا", "هذا"), ("شَدَّة", "شدة"), ("שָׁלוֹם עוֹלָם", "שלום עולם")],
)
def test_vowels_that_arabic_and_hebrew_may_leave_out_make_no_other_word(
    with_vowels: str, without: str
) -> None:
    assert caseless(with_vowels) == caseless(without) == without
    assert caseless("أحمد") != caseless("احمد")  # a hamza makes another letter
    assert caseless("की") != caseless("कि")
    assert caseless("Việt") != caseless("Viet")


def test_punctuation_of_any_script_goes_and_symbols_of_others_stay() -> None:
    assert without_punctuation("「面包店。」، नमस्ते। don't! 5€ +3$") == "面包店 नमस्ते dont 5€ 3"


def test_an_answer_takes_the_form_of_its_references_and_these_are_never_touched() -> None:
    composed, apart = "é", "e\u0301"
    assert in_the_form_of([composed], apart) == composed
    assert in_the_form_of([apart], composed) == apart
    assert in_the_form_of([composed, apart], apart) == apart

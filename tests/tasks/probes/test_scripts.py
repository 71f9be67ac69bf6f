"""Probes of answers in other scripts: right is right, and what cannot be told is unscored."""

from __future__ import annotations

import pytest

from steelyard.harness.plugins import Sample, TaskTexts
from steelyard.tasks.metrics.answers import Correct
from steelyard.tasks.probes import closed_book, consistency, faithfulness, truth


def test_a_closed_book_answer_in_another_spelling_is_right_and_its_rules_have_a_name() -> None:
    values = closed_book.graded(
        {"answers": ["Björk Guðmundsdóttir"]}, "BJO\u0308RK GUÐMUNDSDO\u0301TTIR."
    )
    assert values["correct"] == 1.0
    sample = Sample("toy", "0", {}, "", "", values)
    metric = Correct().for_task(TaskTexts(("Björk Guðmundsdóttir",)))
    assert metric.measure(sample, ()) == (1.0,)
    assert metric.signature([sample]) == "answers:unicode-2"
    # On ASCII the rules are SQuAD's, as they always were, and a baseline without a name compares.
    assert Correct().for_task(TaskTexts(("Bob Scott",))).signature([sample]) is None


def test_vitamin_a_is_an_answer() -> None:
    assert closed_book.graded({"answers": ["A"]}, "a")["correct"] == 1.0
    assert closed_book.graded({"answers": ["A"]}, "the")["correct"] == 0.0


@pytest.mark.parametrize(
    ("true", "false", "answer"),
    [
        ("西瓜子会通过消化系统排出", "西瓜在胃里生长", "西瓜子会通过消化系统"),
        ("Арбузные семечки проходят через желудок", "Арбуз вырастет в животе", "семечки проходят"),
        ("बीज पेट से निकल जाते हैं", "तरबूज पेट में उगता है", "बीज निकल जाते हैं"),
    ],
)
def test_an_answer_near_the_truth_is_nearer_to_it_in_any_script(
    true: str, false: str, answer: str
) -> None:
    doc = {"correct_answers": [true], "incorrect_answers": [false]}
    values = truth.truthful_text(doc, [answer])
    assert values["rouge1_acc"] == values["rougeL_acc"] == 1.0
    assert values["rouge1_max"] > 50 and values["rouge1_diff"] > 0


def test_chinese_samples_that_say_the_same_are_less_surprising_than_others() -> None:
    same = consistency.selfcheck_ngram("北京的图书馆", ["北京的图书馆"] * 3)
    near = consistency.selfcheck_ngram("北京的图书馆", ["北京图书馆", "北京的馆", "北京的图书"])
    other = consistency.selfcheck_ngram("北京的图书馆", ["上海", "天津", "重庆"])
    assert same is not None and near is not None and other is not None
    assert same < near < other


def test_a_hindi_word_keeps_its_marks_and_no_names_are_told_in_chinese() -> None:
    hindi = faithfulness.precision("नाव निकलती है", "सुबह नाव निकलती है")
    assert hindi["entity_precision"] == (2.0, 2.0)  # है is shorter than a word of content
    chinese = faithfulness.precision("张三买了３本书", "张三昨天买了3本书")
    assert chinese == {"number_precision": (1.0, 1.0)}

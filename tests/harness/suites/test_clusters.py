"""Samples that ask the same thing belong together, whatever their documents are called."""

from __future__ import annotations

from steelyard.harness.suites import asked_content, joined_by_content


def test_samples_that_ask_the_same_are_one_cluster():
    joined = joined_by_content([("a", "1"), ("b", "2"), ("a", "1"), ("a", "2")], [None] * 4)
    assert joined[0] == joined[2] is not None
    assert joined[1] is None
    assert joined[3] is None


def test_what_says_nothing_of_itself_stands_alone():
    assert joined_by_content([None, None], [None, None]) == (None, None)
    assert asked_content("", "yes", {}) is None
    assert asked_content("  ", "yes", {"choices": ["yes", "no"]}) is None


def test_one_prompt_with_other_choices_asks_something_else():
    first = asked_content("Which?", "a", {"choices": ["a", "b"]})
    second = asked_content("Which?", "a", {"choices": ["a", "c"]})
    assert first != second
    assert first == asked_content("Which?", "a", {"choices": ["a", "b"], "id": 7})


def test_declared_clusters_that_share_a_question_become_one():
    contents = [("a",), ("b",), ("a",), ("c",), ("d",), ("b",)]
    declared = ["x", "y", "z", "z", "w", None]
    # a joins x and z; b joins y and the sample that declares nothing; w stays as it is.
    assert joined_by_content(contents, declared) == ("x", "y", "x", "x", "w", "y")


def test_without_copies_nothing_changes():
    assert joined_by_content([("a",), ("b",)], ["x", None]) == ("x", None)


def test_chains_of_clusters_become_one_under_the_first_name():
    contents = [("a",), ("a",), ("b",), ("b",), ("c",), ("c",)]
    declared = ["d", "c", "c", "b", "b", "a"]
    assert joined_by_content(contents, declared) == ("a",) * 6

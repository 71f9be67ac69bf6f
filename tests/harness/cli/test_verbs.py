"""The command's verbs: the help page knows each without importing it."""

from __future__ import annotations

import inspect

import pytest

from steelyard.harness.cli.main import VERBS, verb_command


@pytest.mark.parametrize("name", VERBS)
def test_the_help_page_says_of_a_verb_what_its_own_page_begins_with(name: str) -> None:
    _, summary = VERBS[name]
    page = inspect.cleandoc(verb_command(name).help)
    assert " ".join(page.split("\n\n")[0].split()) == summary

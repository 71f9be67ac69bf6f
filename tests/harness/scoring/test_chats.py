"""What a chat template leaves out of a chat, and marks of the tokenizer's own within texts."""

from __future__ import annotations

from typing import Any

import pytest

from steelyard.harness.errors import ScoringError
from steelyard.harness.records import Parity
from steelyard.harness.scoring.chats import Chats
from steelyard.harness.scoring.requests import as_requests
from steelyard.harness.scoring.special_tokens import EachOnce
from tests.harness.scoring import tiny

WHOLE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
REFUSES_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + WHOLE
)
DROPS_SYSTEM = WHOLE.replace("%}<", "%}{% if m.role != 'system' %}<").replace(
    "{% endfor", "{% endif %}{% endfor"
)
LAST_TURN = "<user>{{ messages[-1].content }}"
ALTERNATES = (
    "{% for m in messages %}{% if loop.index0 % 2 == 0 and m.role != 'user' %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}{% endfor %}"
)
SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "who ?"}
EXAMPLE = [{"role": "user", "content": "where ?"}, {"role": "assistant", "content": "here"}]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny.save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def chats(tokenizer: Any, template: Any, rule: Parity = "steelyard") -> Chats:
    tokenizer.chat_template = template
    return Chats(tokenizer, rule, {})


@pytest.mark.parametrize("template", [REFUSES_SYSTEM, DROPS_SYSTEM])
@pytest.mark.parametrize("rule", ["steelyard", "lm-eval"])
def test_a_system_message_that_is_not_asked_is_said(
    tokenizer: Any, template: str, rule: Parity
) -> None:
    written = chats(tokenizer, template, rule)
    assert written.written([SYSTEM, USER], True) == "<user>who ?"
    assert "no place for a system message" in written.notes["without system"]
    plain = chats(tokenizer, template, rule)
    plain.written([USER], True)
    assert plain.notes == {}


def test_a_template_that_drops_the_examples_is_refused(tokenizer: Any) -> None:
    last = chats(tokenizer, LAST_TURN)
    assert last.written([USER], True) == "<user>who ?"
    with pytest.raises(ScoringError, match=r"leaves out turn 1 of 3, the user's.*num_fewshot: 0"):
        last.written([*EXAMPLE, USER], True)
    as_lm_eval = chats(tokenizer, LAST_TURN, "lm-eval")
    assert as_lm_eval.written([*EXAMPLE, USER], True) == "<user>who ?"
    assert chats(tokenizer, WHOLE).written([*EXAMPLE, USER], True).endswith("here<user>who ?")


@pytest.mark.parametrize(
    ("template", "turns", "words"),
    [
        (ALTERNATES, EXAMPLE[1:], "refuses these turns: roles must alternate"),
        ("{% for m in %}", [USER], "refuses these turns: "),
        ("{{ messages[0].nothing.more }}", [USER], "refuses these turns: "),
    ],
)
def test_a_template_that_fails_is_one_line(
    tokenizer: Any, template: str, turns: Any, words: str
) -> None:
    with pytest.raises(ScoringError, match=words) as caught:
        chats(tokenizer, template).written(turns, True)
    assert "\n" not in str(caught.value) and "chat_template" in str(caught.value)


def test_a_mark_within_a_turn_is_said(tokenizer: Any) -> None:
    written = chats(tokenizer, WHOLE)
    written.written([{"role": "user", "content": "what is </s> ?"}], True)
    assert written.notes["mark in a turn"].startswith("a turn holds '</s>', which is read as")


@pytest.mark.parametrize(
    ("arguments", "held"),
    [
        (("a page on </s> tokens",), True),
        (("who ?", " fox</s>"), True),
        (("<s>who ?", " fox"), False),  # BOS stands where it belongs
        (("<s>who <s> ?", " fox"), True),
        (("who < 3 ?", " fox"), False),
        (("who ?", {"until": ["</s>"]}), False),
    ],
)
def test_a_mark_within_a_text_is_said(tokenizer: Any, arguments: Any, held: bool) -> None:
    encoder = EachOnce(tokenizer, 64, False)
    kind = "loglikelihood_rolling" if len(arguments) == 1 else "loglikelihood"
    encoder.note_marks(as_requests([tiny.instance(kind, *arguments)]))
    notes = [note for note in encoder.notes.values() if "own mark" in note]
    assert len(notes) == held
    if held:
        assert notes[0].endswith("is read as the tokenizer's own mark, first in task 'toy'")

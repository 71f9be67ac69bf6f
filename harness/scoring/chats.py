"""Chats as a model's template writes them, and what it leaves out of them.

A template prints what it was written for. One that prints the last turn alone asks a task with its
examples as one without them: refused. One that has no place for a system message asks without the
task's description: noted, since many have none, and lm-eval asks them in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jinja2

from steelyard.harness.checkpoints import draws_at_random, own_marks_pattern
from steelyard.harness.errors import ScoringError
from steelyard.harness.records import Parity
from steelyard.harness.scoring.requests import ChatText

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Chat = Sequence[dict[str, str]]

#: What stands in a turn's place to see whether it is printed at all.
_OTHER_WORDS = "another text in its place"
_WITHOUT_SYSTEM = (
    "the chat template has no place for a system message: descriptions and instructions that stand "
    "in one are not asked"
)
_WITHOUT = "score without chat_template"


class Chats:
    """Writes chats by one tokenizer's template.

    Args:
        tokenizer: whose template it is.
        rule: ``lm-eval`` leaves out what the template leaves out, as lm-eval's ``hf`` does.
        notes: where it is noted what the template leaves out.

    Raises:
        ScoringError: the template draws at random.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, rule: Parity, notes: dict[str, str]
    ) -> None:
        self.tokenizer = tokenizer
        self.notes = notes
        self._checks = rule == "steelyard"
        self._marks = own_marks_pattern(tokenizer)
        self._shapes: set[tuple[object, ...]] = set()
        if draws_at_random(tokenizer.chat_template):
            raise self._error(
                "draws at random, so no two runs would be asked the same",
                "take the random filter or lipsum() out of it",
            )

    def written(self, chat: Chat, add_generation_prompt: bool) -> ChatText:
        """The chat as one string; ``add_generation_prompt`` False leaves its last turn open.

        Raises:
            ScoringError: the template fails, or leaves out a turn of the user or the assistant.
        """
        try:
            text = self._printed(chat, add_generation_prompt)
        except jinja2.exceptions.TemplateError as error:
            text = self._without_system(chat, add_generation_prompt, error)
        for message in chat:
            mark = self._marks.search(message["content"]) if self._marks else None
            if mark is not None:
                rule = f"a turn holds '{mark[0]}', which is read as the tokenizer's own mark"
                self.notes.setdefault("mark in a turn", rule)
        shape = (add_generation_prompt, *(message["role"] for message in chat))
        if shape not in self._shapes:  # a template goes by roles: one chat of each shape tells
            self._check_turns(chat, add_generation_prompt, text)
            self._shapes.add(shape)
        return ChatText(text)

    def _printed(self, chat: Chat, add_generation_prompt: bool) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(
                list(chat),
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        except ValueError as error:  # an answer's beginning does not stand at the chat's end
            raise self._error(f"fails: {_first_line(error)}", _WITHOUT) from error
        return text

    def _without_system(
        self, chat: Chat, add_generation_prompt: bool, error: jinja2.exceptions.TemplateError
    ) -> str:
        """The chat without its system message, which the template may refuse."""
        others = [message for message in chat if message["role"] != "system"]
        try:
            if len(others) < len(chat):
                text = self._printed(others, add_generation_prompt)
                self.notes["without system"] = _WITHOUT_SYSTEM
                return text
        except jinja2.exceptions.TemplateError:
            pass  # it was not the system message
        raise self._error(f"refuses these turns: {_first_line(error)}", _WITHOUT) from error

    def _check_turns(self, chat: Chat, add_generation_prompt: bool, text: str) -> None:
        """Change each turn in turn, and see whether the text changes."""
        for at, message in enumerate(chat):
            other = [*chat[:at], {**message, "content": _OTHER_WORDS}, *chat[at + 1 :]]
            try:
                changed = self._printed(other, add_generation_prompt) != text
            except jinja2.exceptions.TemplateError:
                continue  # it is looked at, and refused: noted already
            if changed or message["content"] == _OTHER_WORDS:
                continue
            if message["role"] == "system":
                self.notes["without system"] = _WITHOUT_SYSTEM
            elif self._checks:
                raise self._error(
                    f"leaves out turn {at + 1} of {len(chat)}, the {message['role']}'s",
                    "score without chat_template, or without examples (num_fewshot: 0)",
                )

    def _error(self, problem: str, fix: str) -> ScoringError:
        place = self.tokenizer.name_or_path or None
        return ScoringError(
            f"the chat template {problem}", file=place, key="chat_template", fix=fix
        )


def several_templates(tokenizer: PreTrainedTokenizerBase, error: ValueError) -> ScoringError:
    """What is said where a tokenizer has several templates and none is the default one."""
    return ScoringError(
        f"which chat template is meant: {_first_line(error)}",
        file=tokenizer.name_or_path or None,
        key="chat_template",
        fix="put the template that is meant into chat_template.jinja",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

"""Chats held against the chat template that will print them, row by row.

A template prints what it was written for and drops the rest without a word: calls of tools, the
reasoning before an answer, a role that it does not know. What it drops is not learnt, or is missing
from what the model is asked. So every answer must stand in what is printed, and every turn before
it must change what is printed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from steelyard.harness.checkpoints import open_tokenizer, own_marks, tokenizer_folder
from steelyard.harness.environment import quiet
from steelyard.harness.errors import DataError, located
from steelyard.harness.experiment import Message, Row
from steelyard.harness.plugins import TrainJob
from steelyard.trainers.loops.libraries import transformers

_ANSWERS = ("completion", "chosen", "rejected")
#: What stands in a turn's place to see whether it is printed at all.
_OTHER_WORDS = "another text in its place"
#: Texts of a message beside its content that a model is to learn.
_REASONING = ("reasoning_content", "thinking")


def fitted(rows: Sequence[Row], job: TrainJob) -> Sequence[Row]:
    """The rows as the start's chat template takes them: arguments of calls as objects, or as JSON.

    Raises ``DataError`` for the first row of which the template leaves something out, or that holds
    a mark of the tokenizer's own in a turn. Rows of plain texts are passed over; without chats
    nothing is loaded.
    """
    chats = [row for row in rows if isinstance(row.get("prompt"), list)]
    if not chats:
        return rows
    folder = tokenizer_folder(job.start.folder, job.start.weights_folder)
    with quiet():
        tokenizer = open_tokenizer(folder, job.start.weights_folder)
    if not tokenizer.chat_template:
        raise DataError(
            "chats need a chat template, and the tokenizer has none",
            file=job.data[0].path,
            fix="write them as prompt and completion, or take a base that has one",
        )
    if _wants_written_arguments(chats, tokenizer):
        rows = chats = [_with_written_arguments(row) for row in chats]
    marks = own_marks(tokenizer)
    shapes: set[tuple[object, ...]] = set()
    for row in chats:
        with located(file=getattr(row, "path", None) or job.data[0].path):
            printed = Printed(tokenizer, row)
            printed.check_marks(marks)
            # A template goes by roles and keys: one row of each shape shows what it drops.
            shape = _shape(row)
            printed.check(prompt=shape not in shapes)
            shapes.add(shape)
    return rows


def _wants_written_arguments(
    chats: Sequence[Row], tokenizer: transformers.PreTrainedTokenizerBase
) -> bool:
    """Whether the template takes a call's arguments as JSON text alone (DeepSeek's)."""
    calling = next((row for row in chats if any("tool_calls" in m for m in _turns(row))), None)
    if calling is None:
        return False
    for row in (calling, _with_written_arguments(calling)):
        try:
            tokenizer.apply_chat_template(_turns(row), tokenize=False)
        except Exception:  # noqa: S112  whatever a template raises: the other way is tried
            continue
        return row is not calling
    return False


def _turns(row: Row) -> list[Message]:
    answers = [row[role] for role in _ANSWERS if role in row]
    return [*row["prompt"], *(answers[0] if answers else [])]


def _with_written_arguments(row: Row) -> Row:
    def written(message: Message) -> Message:
        calls = [
            {
                **c,
                "function": {**c["function"], "arguments": json.dumps(c["function"]["arguments"])},
            }
            for c in message.get("tool_calls", ())
        ]
        return {**message, "tool_calls": calls} if calls else message

    chats = {role: [written(m) for m in row[role]] for role in ("prompt", *_ANSWERS) if role in row}
    return row.like({**row, **chats})


def _shape(row: Row) -> tuple[object, ...]:
    return ("tools" in row, *((m["role"], bool(m["content"]), *sorted(m)) for m in row["prompt"]))


@dataclass(frozen=True)
class Printed:
    """One row as the template prints it."""

    tokenizer: transformers.PreTrainedTokenizerBase
    row: Row

    @property
    def place(self) -> str:
        """Where the row stands, to begin an error with."""
        return getattr(self.row, "place", "") or "a chat"

    def check(self, *, prompt: bool = True) -> None:
        """``DataError`` where the template leaves out a part of an answer, or of the prompt."""
        for role in _ANSWERS:
            if role in self.row:
                self.check_answer(role)
        if prompt:
            self.check_prompt()

    def check_marks(self, marks: Sequence[str]) -> None:
        """``DataError`` where a turn holds a mark: what a user wrote would end the user's turn."""
        for role in ("prompt", *_ANSWERS):
            for message in self.row.get(role, ()):
                mark = next((mark for mark in marks if mark in message["content"]), None)
                if mark is not None:
                    what = f"{self.place}: a turn of the {message['role']} holds '{mark}', which "
                    what += "the tokenizer takes for its own mark"
                    fix = "a chat is written without its template: take the mark out"
                    raise DataError(what, fix=fix)

    def check_answer(self, role: str) -> None:
        """``DataError`` where something of an answer is not printed after its prompt."""
        prompt, answer = self.row["prompt"], self.row[role]
        asked, whole = self._asked(prompt), self._whole([*prompt, *answer])
        begins = _common_length(asked, whole)
        if not whole[begins:].strip():
            self._refuse(f"prints nothing of the {role}", "take a base whose template has it")
        for message in answer:
            texts = [message["content"], *(message.get(key, "") for key in _REASONING)]
            for text in filter(None, map(_without_spaces, texts)):
                # What is asked may end with an answer's beginning, such as <think>.
                if text not in _without_spaces(whole[max(0, begins - 2 * len(text)) :]):
                    self._refuse(f"leaves out a part of the {role}", _fix(message))
            if message.get("tool_calls"):
                self._check_calls(message, prompt, whole, begins, role)

    def _check_calls(
        self, message: Message, prompt: list[Message], whole: str, begins: int, role: str
    ) -> None:
        calls = message["tool_calls"]
        functions = [call["function"] for call in calls]
        names = [function["name"] for function in functions]
        bare = [
            {**call, "function": {**own, "arguments": type(own["arguments"])()}}
            for call, own in zip(calls, functions, strict=True)
        ]
        has_arguments = any(function["arguments"] for function in functions)
        is_dropped = any(name not in whole[begins:] for name in names)
        if not is_dropped and has_arguments:
            is_dropped = self._whole([*prompt, {**message, "tool_calls": bare}]) == whole
        if is_dropped:
            what = f"leaves out the {role}'s call of {', '.join(names)}"
            self._refuse(what, "take a base whose template prints tool calls, or leave the row out")

    def check_prompt(self) -> None:
        """``DataError`` where a turn of the prompt, or its tools, changes nothing of the text."""
        prompt = self.row["prompt"]
        asked = self._asked(prompt)
        for at, message in enumerate(prompt):
            other = _changed(message)
            if self._asked(_with(prompt, at, other)) == asked:
                what = f"leaves out turn {at + 1}, the {message['role']}'s"
                self._refuse(what, "take a base whose template prints it, or leave the turn out")
        named = {m["role"] for m in prompt if len(_names(prompt, m["role"])) > 1}
        for at, message in enumerate(prompt):
            other = {**message, "name": "another"}
            if message["role"] in named and self._asked(_with(prompt, at, other)) == asked:
                what = f"leaves out who speaks in turn {at + 1}, its name"
                self._refuse(what, "write the name into the turn's text")
        if "tools" in self.row and self._print(prompt, None, add_generation_prompt=True) == asked:
            what = "has no place for the column 'tools'"
            self._refuse(what, "take a base whose template prints tools, or leave the column out")

    def _asked(self, messages: list[Message]) -> str:
        return self._print(messages, self.row.get("tools"), add_generation_prompt=True)

    def _whole(self, messages: list[Message]) -> str:
        return self._print(messages, self.row.get("tools"))

    def _print(self, messages: list[Message], tools: str | None, **options: Any) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages, tools=json.loads(tools) if tools else None, tokenize=False, **options
            )
        except Exception as error:  # a template raises what its author, or Jinja, thought of
            problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
            what = f"{self.place}: the chat template refuses these turns: {problem}"
            raise DataError(what, fix="mend or drop the row, or take another base") from error
        return text

    def _refuse(self, what: str, fix: str) -> None:
        raise DataError(f"{self.place}: the base's chat template {what}", fix=fix)


def _common_length(one: str, other: str) -> int:
    """How many characters both begin with."""
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length


def _changed(message: Message) -> Message:
    if message["content"].strip() or not message.get("tool_calls"):
        return {**message, "content": _OTHER_WORDS}
    calls = [{**c, "function": {**c["function"], "name": "other"}} for c in message["tool_calls"]]
    return {**message, "tool_calls": calls}


def _with(messages: list[Message], at: int, message: Message) -> list[Message]:
    return [*messages[:at], message, *messages[at + 1 :]]


def _names(messages: Sequence[Message], role: str) -> set[str]:
    """Who speaks in the turns of one role, where that is told."""
    return {m["name"] for m in messages if m["role"] == role != "tool" and "name" in m}


def _without_spaces(text: object) -> str:
    """Templates trim, and lay reasoning and answer out anew."""
    return "".join(str(text or "").split())


def _fix(message: Message) -> str:
    if "</think>" in message["content"] or any(message.get(key) for key in _REASONING):
        return "it drops reasoning: take a base whose template keeps it, or leave the reasoning out"
    return "take a base whose template prints it, or leave the row out"

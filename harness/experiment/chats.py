"""Chats as public files hold them, made one shape: ``[{role, content}, ...]``.

Read are OpenAI's messages, ShareGPT's ``from`` and ``value``, contents in parts, tool calls, chats
written as JSON in a cell, and answers that repeat their prompt (whole chats in ``chosen`` and
``rejected``, as UltraFeedback has them). What has no such shape is refused by its row: a template
would write Python's own spelling of it into what is learnt, or nothing at all.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from steelyard.harness.errors import DataError
from steelyard.harness.experiment.messages import Message, message_of
from steelyard.harness.files import cell_text
from steelyard.harness.texts import plain

#: A chat that stands in a cell as text, as JSON or as Python prints a list.
_WRITTEN_CHAT = re.compile(r"""\s*\[\s*\{\s*['"](?:role|from|content|value)['"]\s*:""")
_EXAMPLE = "write [{role: user, content: ...}, {role: assistant, content: ...}]"


def is_chat(value: object) -> bool:
    """Whether a value is meant as a chat: a list of objects that say who speaks, or such a text."""
    if isinstance(value, str):
        return _WRITTEN_CHAT.match(value) is not None
    turns = value if isinstance(value, list) else [value]  # or one turn: LLaMA-Factory's pairs
    return bool(turns) and all(
        isinstance(turn, Mapping) and ("role" in turn or "from" in turn) for turn in turns
    )


def messages_of(value: object, column: str, place: str) -> list[Message]:
    """A chat in the one shape. Raises ``DataError`` with the place and the turn that has another.

    A turn that is not to be learnt (``weight: 0``) keeps the key ``weight``.
    """
    written = isinstance(value, str) and is_chat(value)
    turns = _read_out(str(value), column, place) if written else value
    turns = [turns] if isinstance(turns, Mapping) else turns
    if not isinstance(turns, list) or not is_chat(turns):
        raise DataError(f"{place}: '{column}' is no chat", value=value, fix=_EXAMPLE)
    return [
        message_of(turn, f"{place}: turn {at} of '{column}'") for at, turn in enumerate(turns, 1)
    ]


def with_system(messages: list[Message], system: object, place: str) -> list[Message]:
    """The chat with a system message that stands in a column of its own."""
    text = cell_text(system, "system", place)
    if not text.strip():
        return messages
    if messages and messages[0]["role"] == "system":
        if messages[0]["content"] == text:
            return messages
        fix = "keep the one that is meant"
        raise DataError(f"{place}: a column 'system', and another system message", fix=fix)
    return [{"role": "system", "content": text}, *messages]


def is_silent(message: Message) -> bool:
    """Whether a message holds nothing: no text and no call of a tool."""
    return not plain(message["content"]).strip() and not message.get("tool_calls")


def check_learnt(messages: Sequence[Message], column: str, place: str) -> None:
    """``DataError`` where a chat has nothing to learn, or a turn that teaches silence."""
    spoken = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    if not spoken:
        raise DataError(f"{place}: the chat has no turn of the assistant to learn", fix=_EXAMPLE)
    learnt = [at for at in spoken if messages[at].get("weight") != 0]
    if not learnt:
        what = f"{place}: every turn of the assistant has weight 0: there is nothing to learn"
        raise DataError(what, fix="leave the row out")
    if not any(message["role"] != "assistant" for message in messages[: learnt[0]]):
        what = f"{place}: the chat begins with the assistant: there is no question to its answer"
        raise DataError(what, fix="begin with what was asked, or give that turn weight: 0")
    late = [at for at in range(learnt[-1], len(messages)) if messages[at]["role"] == "system"]
    if late:
        what = f"{place}: turn {late[0] + 1} of '{column}', the system's, stands behind all answers"
        raise DataError(what, fix="put it where it is to be read: at the beginning")
    for at, message in enumerate(messages):
        matters = at in learnt or message["role"] == "user"
        if matters and is_silent(message):
            fix = "leave the row out, or give the turn weight: 0" if at in learnt else None
            what = f"{place}: turn {at + 1} of '{column}', the {message['role']}'s, is empty"
            raise DataError(what, fix=fix or "leave the row out")


def answers_apart(row: Mapping[str, Any], answers: Sequence[str], place: str) -> dict[str, Any]:
    """The row with a prompt that no answer repeats, and answers of the assistant alone.

    ``prompt`` may be a text or a chat, and so may each of ``answers`` (roles); where one is a chat
    all become chats. An answer may be a whole chat that begins with the prompt. Raises
    ``DataError`` where it begins otherwise, or is not the assistant's alone.
    """
    chats = [row[role] for role in answers if isinstance(row[role], list)]
    if not chats and not isinstance(row.get("prompt"), list):
        return dict(row)
    as_chats = {
        role: value if isinstance(value, list) else [{"role": "assistant", "content": value}]
        for role, value in ((role, row[role]) for role in answers)
    }
    own_prompt = _prompt(row, list(as_chats.values()), place)
    prompt = own_prompt
    if prompt is None:  # chosen and rejected begin with it
        prompt = _common_start([chat[:-1] for chat in as_chats.values()])
    answers_alone = {
        role: chat[len(prompt) :] if chat[: len(prompt)] == prompt else chat
        for role, chat in as_chats.items()
    }
    for role, chat in answers_alone.items():
        _require_answer(chat, role, place)
    if prompt and prompt[-1]["role"] == "assistant":
        # Libraries differ in whether an answer then goes on with that turn or begins a new one.
        what = f"{place}: the prompt ends with a turn of the assistant, and an answer follows it"
        raise DataError(what, fix="write what the assistant says as one turn")
    if own_prompt is None:
        return {**row, **as_chats}
    return {**row, "prompt": prompt, **answers_alone}


def _prompt(
    row: Mapping[str, Any], chats: Sequence[list[Message]], place: str
) -> list[Message] | None:
    """The prompt as a chat; None where the row has none of its own."""
    if "prompt" not in row:
        return None
    prompt = row["prompt"]
    if isinstance(prompt, list):
        return prompt
    whole = [chat for chat in chats if any(m["role"] != "assistant" for m in chat)]
    if not whole:
        return [{"role": "user", "content": prompt}]
    # The prompt is the last question before the answers part, or the chat's first.
    asked = _common_start([chat[:-1] for chat in whole])
    texts = [message["content"].strip() for message in asked if message["role"] == "user"]
    if str(prompt).strip() not in texts:
        what = f"{place}: 'prompt' is not what was asked in the chats beside it"
        raise DataError(what, fix="leave the column out: the prompt is what the chats begin with")
    return asked


def _common_start(chats: Sequence[list[Message]]) -> list[Message]:
    length = 0
    for messages in zip(*chats, strict=False):
        if any(message != messages[0] for message in messages):
            break
        length += 1
    return chats[0][:length]


def _require_answer(chat: Sequence[Message], role: str, place: str) -> None:
    others = [message["role"] for message in chat if message["role"] != "assistant"]
    if others:
        what = f"{place}: '{role}' holds a turn of the {others[0]} that the prompt does not have"
        raise DataError(
            what, fix="an answer is the assistant's turn alone, or begins as the prompt"
        )
    if any(message.get("weight") == 0 for message in chat):
        what = f"{place}: a turn of '{role}' has weight 0, and an answer is learnt whole"
        raise DataError(what, fix="write it into the prompt, or use messages")


def _read_out(text: str, column: str, place: str) -> object:
    """The list in a cell's text: JSON, or as Python prints one (pandas' ``to_csv`` does)."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        fix = "write it as JSON, or keep the data as JSONL or Parquet"
        raise DataError(f"{place}: '{column}' is a chat written as text", fix=fix) from error

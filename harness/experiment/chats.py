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

from steelyard.harness.errors import DataError, did_you_mean
from steelyard.harness.files import cell_text

Message = dict[str, Any]
#: What formats call the four who speak -> what chat templates call them.
ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot", "ai"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython"), "tool"),
}
#: LLaMA-Factory's turn of a model that calls a function, written out as JSON.
_CALL = "function_call"
#: Keys of a message that templates print; others say something about it.
_PRINTED = ("name", "tool_call_id", "reasoning_content", "thinking")
#: Where a message's text stands: OpenAI's, ShareGPT's, Gemini's.
_CONTENTS = ("content", "value", "parts")
#: Keys that say whether a turn is learnt: OpenAI's, and axolotl's.
_LEARNT = ("weight", "train")
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
    return [_message(turn, f"{place}: turn {at} of '{column}'") for at, turn in enumerate(turns, 1)]


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
    return not message["content"].strip() and not message.get("tool_calls")


def check_learnt(messages: Sequence[Message], column: str, place: str) -> None:
    """``DataError`` where a chat has nothing to learn, or a turn that teaches silence."""
    spoken = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    if not spoken:
        raise DataError(f"{place}: the chat has no turn of the assistant to learn", fix=_EXAMPLE)
    if not any(message["role"] != "assistant" for message in messages[: spoken[0]]):
        what = f"{place}: the chat begins with the assistant: there is no question to its answer"
        raise DataError(what, fix="begin with what was asked, or leave that turn out")
    learnt = [at for at in spoken if messages[at].get("weight") != 0]
    if not learnt:
        what = f"{place}: every turn of the assistant has weight 0: there is nothing to learn"
        raise DataError(what, fix="leave the row out")
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


# --- one message ----------------------------------------------------------------------------------


def _message(turn: Mapping[str, Any], place: str) -> Message:
    role = _role(turn.get("role", turn.get("from")), place)
    content = next((turn[key] for key in _CONTENTS if key in turn), None)
    if role == _CALL:
        call = _arguments(cell_text(content, "value", place), place)
        return {"role": "assistant", "content": "", "tool_calls": [_tool_call(call, place)]}
    message: Message = {"role": role, "content": _content(content, place)}
    message |= {key: turn[key] for key in _PRINTED if turn.get(key) is not None}
    calls = turn.get("tool_calls")
    if not calls and turn.get("function_call"):  # OpenAI's, before tools
        calls = [{"type": "function", "function": turn["function_call"]}]
    if calls:
        if not isinstance(calls, list):
            raise DataError(f"{place}: 'tool_calls' is no list", value=calls)
        message["tool_calls"] = [_tool_call(call, place) for call in calls]
    weights = [turn[key] for key in _LEARNT if turn.get(key) is not None]
    if any(weight not in (0, 1) for weight in weights):
        raise DataError(f"{place}: a turn's weight is 0 or 1", value=weights[0])
    if 0 in weights:
        message["weight"] = 0
    return message


def _role(name: object, place: str) -> str:
    plain = str(name).strip().lower()
    if plain == _CALL:
        return _CALL
    if plain not in ROLES:
        what = f"{place}: the role '{name}' is none of system, user, assistant, tool"
        raise DataError(what, fix=did_you_mean(plain, ROLES))
    return ROLES[plain]


def _content(value: object, place: str) -> str:
    """A message's text: of parts, that of all of them. Raises ``DataError`` for an image."""
    if not isinstance(value, list):
        return cell_text(value, "content", place)
    texts: list[str] = []
    for part in value:
        kind = part.get("type", "text") if isinstance(part, Mapping) else "text"
        if kind not in ("text", "input_text", "output_text"):
            fix = "only texts are learnt: leave the row out"
            raise DataError(f"{place}: a part of its content is '{kind}'", fix=fix)
        text = part.get("text", part.get("content")) if isinstance(part, Mapping) else part
        texts.append(cell_text(text, "text", place))
    return "".join(texts)


def _tool_call(call: object, place: str) -> dict[str, Any]:
    """A call as templates take it: its arguments as an object, not as JSON within JSON."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        fix = 'write {"type": "function", "function": {"name": ..., "arguments": {...}}}'
        raise DataError(f"{place}: a tool call without a function's name", value=call, fix=fix)
    assert isinstance(call, Mapping)
    arguments = function.get("arguments")
    if isinstance(arguments, str) and arguments.strip():
        arguments = _arguments(arguments, place)
    own = {"name": function["name"], "arguments": arguments or {}}
    beside = {"id": call["id"]} if call.get("id") is not None else {}
    return {**beside, "type": "function", "function": own}


def _arguments(text: str, place: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        fix = 'write a JSON object, such as {"day": "Monday"}'
        raise DataError(f"{place}: a call's arguments are no JSON object", value=text, fix=fix)
    return value


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

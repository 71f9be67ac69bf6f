"""One message of a chat, as public files write it, made one shape: ``{role, content, ...}``.

Whatever says something that cannot be kept (an image, a share of a turn, a second text) is refused
by its turn; keys that say nothing of what is learnt, such as a time, are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
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
#: Where a message's text stands: OpenAI's, ShareGPT's, Gemini's, others'.
_CONTENTS = ("content", "value", "parts", "text")
#: Keys that say whether a turn is learnt: OpenAI's, axolotl's, ms-swift's.
_LEARNT = ("weight", "train", "training", "trainable", "loss", "loss_weight")
#: Keys that say which part of a turn is learnt, or the opposite of it.
_NOT_FOLLOWED = ("train_detail", "training_detail", "mask", "masked", "loss_mask")
#: What a turn or a row may hold besides text, under the names that formats have for it.
PICTURES = ("images", "image", "videos", "video", "audios", "audio")
#: Keys of a part of a content that say something about its text.
_ABOUT_A_PART = ("type", "annotations", "cache_control", "index", "id")
_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")


def message_of(turn: Mapping[str, Any], place: str) -> Message:
    """A turn in the one shape. Raises ``DataError`` with its place for what it cannot hold."""
    role = _role(turn, place)
    content = _written(turn, place)
    if role == _CALL:
        call = _json_object(cell_text(content, "value", place), place)
        return {"role": "assistant", "content": "", "tool_calls": [_tool_call(call, place)]}
    picture = next((key for key in PICTURES if turn.get(key) not in (None, "", [])), None)
    if picture is not None:
        what = f"{place}: it holds '{picture}', and only texts are learnt"
        raise DataError(what, fix="leave the row out")
    message: Message = {"role": role, "content": _content(content, place)}
    message |= {key: turn[key] for key in _PRINTED if turn.get(key) is not None}
    if turn.get("reasoning") is not None:  # vLLM's and OpenRouter's name for it
        message.setdefault("reasoning_content", turn["reasoning"])
    calls = _calls(turn, place)
    if calls and role != "assistant":
        raise DataError(f"{place}: a call of a tool that is not the assistant's")
    if calls:
        message["tool_calls"] = calls
    if not _is_learnt(turn, place):
        message["weight"] = 0
    return message


def _role(turn: Mapping[str, Any], place: str) -> str:
    names = [turn[key] for key in ("role", "from") if turn.get(key) is not None] or [None]
    roles = [str(name).strip().lower() for name in names]
    for name, plain in zip(names, roles, strict=True):
        if plain not in ROLES and plain != _CALL:
            what = f"{place}: the role '{name}' is none of system, user, assistant, tool"
            raise DataError(what, fix=did_you_mean(plain, ROLES))
    if len({ROLES.get(plain, plain) for plain in roles}) > 1:
        what = f"{place}: 'role' says {names[0]} and 'from' says {names[1]}"
        raise DataError(what, fix="keep the one that is meant")
    return ROLES.get(roles[0], roles[0])


def _written(turn: Mapping[str, Any], place: str) -> object:
    """What a turn says, under whichever key; of a refusal in OpenAI's form its text."""
    there = [key for key in _CONTENTS if turn.get(key) is not None]
    if any(turn[key] != turn[there[0]] for key in there):
        what = f"{place}: two texts, '{there[0]}' and '{there[1]}'"
        raise DataError(what, fix="keep the one that is meant")
    return turn[there[0]] if there else turn.get("refusal")


def _is_learnt(turn: Mapping[str, Any], place: str) -> bool:
    for key in _NOT_FOLLOWED:
        if turn.get(key) not in (None, []):
            fix = "write weight: 0 on each turn that is not learnt"
            raise DataError(f"{place}: '{key}' is not followed", value=turn[key], fix=fix)
    weights = [turn[key] for key in _LEARNT if turn.get(key) is not None]
    odd = [weight for weight in weights if weight not in (0, 1)]
    if odd:
        raise DataError(f"{place}: a turn's weight is 0 or 1", value=odd[0])
    return 0 not in weights


def _content(value: object, place: str) -> str:
    """A message's text: of parts, that of all of them. Raises ``DataError`` for an image."""
    if not isinstance(value, list):
        return cell_text(value, "content", place)
    return "".join(_part(part, place) for part in value)


def _part(part: object, place: str) -> str:
    if not isinstance(part, Mapping):
        return cell_text(part, "text", place)
    texts = [key for key in ("text", "content", "refusal") if part.get(key) is not None]
    kind = part.get("type")
    if kind is None:  # what it is stands in the name of its key: {"image": ...}
        kinds = [k for k in part if part[k] is not None and k not in (*texts, *_ABOUT_A_PART)]
        kind = next(iter(kinds), "text")
    if kind not in _TEXT_PARTS:
        fix = "only texts are learnt: leave the row out"
        raise DataError(f"{place}: a part of its content is '{kind}'", fix=fix)
    return cell_text(part[texts[0]] if texts else None, "text", place)


def _calls(turn: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    calls = turn.get("tool_calls")
    if not calls and turn.get("function_call"):  # OpenAI's, before tools
        calls = [{"type": "function", "function": turn["function_call"]}]
    if isinstance(calls, str) and calls.strip():
        with suppress(ValueError):  # refused below, as it stands
            calls = json.loads(calls)
    if not calls or calls == "null":
        return []
    if not isinstance(calls, list):
        raise DataError(f"{place}: 'tool_calls' is no list", value=calls)
    return [_tool_call(call, place) for call in calls]


def _tool_call(call: object, place: str) -> dict[str, Any]:
    """A call as templates take it: its arguments as an object, not as JSON within JSON."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        fix = 'write {"type": "function", "function": {"name": ..., "arguments": {...}}}'
        raise DataError(f"{place}: a tool call without a function's name", value=call, fix=fix)
    assert isinstance(call, Mapping)
    arguments = function.get("arguments")
    if isinstance(arguments, str) and arguments.strip():
        arguments = _json_object(arguments, place)
    if arguments and not isinstance(arguments, Mapping):
        arguments = _json_object(json.dumps(arguments), place)  # refuses it
    own = {"name": function["name"], "arguments": arguments or {}}
    beside = {"id": call["id"]} if call.get("id") is not None else {}
    return {**beside, "type": "function", "function": own}


def _json_object(text: str, place: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        fix = 'write a JSON object, such as {"day": "Monday"}'
        raise DataError(f"{place}: a call's arguments are no JSON object", value=text, fix=fix)
    return value

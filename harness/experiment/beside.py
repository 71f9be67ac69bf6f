"""Columns beside a row's roles that say what it is read with: a system message, tools, images.

A chat takes them in. Where a row has no place for what stands there it is refused by name: left
out, the model would learn to answer a question that was never asked so.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from steelyard.harness.errors import DataError
from steelyard.harness.experiment import chats
from steelyard.harness.experiment.messages import PICTURES
from steelyard.harness.files import cell_text, template_columns

_SYSTEM = ("system", "system_prompt")
_TOOLS = ("tools", "functions")
#: Columns of formats for chats (LLaMA-Factory's, OpenOrca's) that a plain prompt has no place for.
_OF_CHATS = (*_SYSTEM, *_TOOLS, "history")
#: Which tokens or turns are learnt, in a column of its own.
_MASKS = ("loss_mask", "train_mask")
_TOOL = '[{"type": "function", "function": {"name": ..., "parameters": {...}}}]'


def with_columns_beside(
    row: Mapping[str, Any], record: Mapping[str, Any], begins: Sequence[str], place: str
) -> dict[str, Any]:
    """The row with what stands beside its chat; ``begins`` are the roles that begin with it.

    Raises ``DataError`` for images, masks, and tools that are none.
    """
    mask = next((name for name in _MASKS if _says_something(record.get(name))), None)
    if mask is not None:
        fix = "write weight: 0 on each turn that is not learnt"
        raise DataError(f"{place}: the column '{mask}' is not followed", fix=fix)
    picture = next((name for name in PICTURES if _says_something(record.get(name))), None)
    if picture is not None:
        what = f"{place}: the column '{picture}' belongs to the chat, and only texts are learnt"
        raise DataError(what, fix="leave the row out, or take the column out")
    complete = dict(row)
    for name in _SYSTEM:
        if _says_something(record.get(name)):
            text = cell_text(record[name], name, place)
            complete |= {role: chats.with_system(complete[role], text, place) for role in begins}
    tools = _tools(record, place)
    return complete | ({"tools": json.dumps(tools)} if tools else {})


def require_nothing_beside(
    record: Mapping[str, Any], templates: Mapping[str, str], place: str
) -> None:
    """``DataError`` for a column that belongs to a plain prompt and that no role takes."""
    used = {name for template in templates.values() for name in template_columns(template)}
    used |= set(templates.values())
    for name in _OF_CHATS:
        if name not in used and _says_something(record.get(name)):
            what = f"{place}: the column '{name}' stands beside a plain prompt without it"
            fix = f'put it into the prompt, `prompt: "{{{name}}}\\n\\n{{...}}"`, or take it out'
            raise DataError(what, fix=fix)


def _says_something(value: object) -> bool:
    if isinstance(value, str):
        return bool(value.strip()) and value.strip() not in ("[]", "null")
    return value is not None and value != [] and value != {}


def _tools(record: Mapping[str, Any], place: str) -> list[Mapping[str, Any]]:
    """The functions that may be called, in the one form that templates take."""
    name = next((name for name in _TOOLS if _says_something(record.get(name))), None)
    if name is None:
        return []
    value = _read_out(record[name])
    tools = [_read_out(each) for each in value] if isinstance(value, list) else [value]
    for tool in tools:
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            what = f"{place}: '{name}' holds something else than functions that may be called"
            raise DataError(what, value=tool, fix=f"write {_TOOL}")
    if name == "functions":
        return [{"type": "function", "function": tool} for tool in tools]
    return tools


def _read_out(value: object) -> Any:
    """A value in a cell's text, as JSON or as Python prints it; other text as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        pass
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value

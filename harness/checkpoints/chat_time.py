"""The time that a chat template is told, where it asks for one, and what it may take.

Llama 3.1's template and its kin write today's date into every prompt (``strftime_now``), so the
same model would be asked another question tomorrow. Training and scoring alike tell every template
one fixed time; a signature says which.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from string import ascii_letters
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import CheckpointError
from steelyard.harness.files import memory_limit, time_limit

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: What a template is told that asks for the time. Another value asks every such model otherwise,
#: so it may change only with a new meaning of the signature's ``chat_time``.
CHAT_TIME = datetime(2026, 1, 1, 12)
#: A chat of a thousand turns takes milliseconds.
MOST_SECONDS = 20.0
#: ... and of memory.
MOST_MEGABYTES = 1024
#: What a template may add to what a chat says: the longest windows hold half of it.
MOST_CHARACTERS = 10_000_000
_ASKS = re.compile(r"\bstrftime_now\b")
_DRAWS = re.compile(r"\|\s*random\b|\blipsum\s*\(")


def asks_for_time(template: object) -> bool:
    """Whether a chat template (a text, or several by name) may write the time into a prompt."""
    return _ASKS.search(str(template)) is not None


def draws_at_random(template: object) -> bool:
    """Whether a chat template may write another prompt every time."""
    return _DRAWS.search(str(template)) is not None


def tell_fixed_time(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let the tokenizer's chat template be told ``CHAT_TIME``, whoever applies it."""
    if asks_for_time(tokenizer.chat_template):
        tokenizer.apply_chat_template = functools.partial(_apply, tokenizer)


def limit_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let the tokenizer's chat template take ``MOST_SECONDS`` for a chat, whoever applies it.

    Call it after :func:`tell_fixed_time`.
    """
    if tokenizer.chat_template and not is_told_fixed_time(tokenizer):
        tokenizer.apply_chat_template = functools.partial(_limited, tokenizer)


#: Templates that took longer: whoever asks them again is told at once.
_too_slow: set[str] = set()


def _limited(tokenizer: PreTrainedTokenizerBase, *chat: Any, **options: Any) -> object:
    apply = functools.partial(type(tokenizer).apply_chat_template, tokenizer, *chat)
    named = dict(zip(_PLACES, chat, strict=False)) | options
    with _patience(tokenizer, str(named.get("chat_template") or tokenizer.chat_template)):
        if not options.get("tokenize", True):
            return _written(tokenizer, apply, chat, options)
        # What cannot be written must not be handed to a tokenizer, which a failed allocation ends
        # together with its process.
        _written(tokenizer, apply, chat, {**options, **_AS_TEXT})
        return apply(**options)


#: The arguments of ``apply_chat_template`` that are given by their place.
_PLACES = ("conversation", "tools", "documents", "chat_template")
_AS_TEXT = {"tokenize": False, "return_dict": False, "return_assistant_tokens_mask": False}


def _written(
    tokenizer: PreTrainedTokenizerBase,
    apply: Callable[..., object],
    chat: tuple[Any, ...],
    options: Mapping[str, Any],
) -> object:
    """One chat, or a list of them, as text. Raises ``CheckpointError`` for one without measure."""
    error = _too_much(tokenizer, f"takes more than {MOST_MEGABYTES:,} MB of memory for one chat")
    with memory_limit(MOST_MEGABYTES, error):
        text = apply(**options)
    longest = max(map(len, [text] if isinstance(text, str) else text), default=0)  # type: ignore[call-overload]
    if longest > MOST_CHARACTERS and longest > MOST_CHARACTERS + len(str(chat)):
        raise _too_much(tokenizer, f"writes {longest:,} characters for one chat")
    return text


def _too_much(tokenizer: PreTrainedTokenizerBase, problem: str) -> CheckpointError:
    return CheckpointError(
        f"the chat template {problem}",
        file=tokenizer.name_or_path,
        key="chat_template",
        fix="take out of it what repeats a text ever so often",
    )


@contextmanager
def _patience(tokenizer: PreTrainedTokenizerBase, template: str) -> Iterator[None]:
    error = CheckpointError(
        f"the chat template takes more than {MOST_SECONDS:g} seconds for one chat",
        file=tokenizer.name_or_path,
        key="chat_template",
        fix="take the loops out of it that turn ever so often",
    )
    if template in _too_slow:
        raise error
    try:
        with time_limit(MOST_SECONDS, error):
            yield
    except CheckpointError as raised:
        if raised is error:
            _too_slow.add(template)
        raise


def is_told_fixed_time(tokenizer: object) -> bool:
    """Whether :func:`tell_fixed_time` was here."""
    applied = getattr(tokenizer, "apply_chat_template", None)
    return isinstance(applied, functools.partial) and applied.func is _apply


def _apply(
    tokenizer: PreTrainedTokenizerBase,
    conversation: object,
    tools: list[object] | None = None,
    documents: list[object] | None = None,
    chat_template: str | None = None,
    **options: object,
) -> object:
    """transformers' ``apply_chat_template`` with a clock that stands still."""
    template = tokenizer.get_chat_template(chat_template, tools)
    return _limited(tokenizer, conversation, tools, documents, _clock() + template, **options)


@functools.lru_cache
def _clock() -> str:
    """A macro that stands in for transformers' ``strftime_now``, which no argument may replace.

    The line break after it is trimmed, as after any block, so the template itself is unchanged.
    """
    codes = [f"%{dash}{letter}" for dash in ("-", "") for letter in ascii_letters]
    texts = {code: CHAT_TIME.strftime(code) for code in codes}
    known = {code: text for code, text in texts.items() if text not in (code, "")}
    steps = [("%%", "\0"), *known.items(), ("\0", "%")]
    replaced = "".join(f"|replace({code!r},{text!r})" for code, text in steps)
    return "{% macro strftime_now(format) %}{{ format" + replaced + " }}{% endmacro %}\n"

"""Requests as values: their digests, and how they are cut into packs.

A pack is what is scored together and stands in the journal as one record. Packs are cut by the
content of the requests alone, never by what is already done, so that a resumed run, a shard or a
retry computes the same batches.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steelyard.harness.scoring.journal import digest

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance


class ChatText(str):
    """A prompt that a chat template wrote, special tokens and all."""

    __slots__ = ()


@dataclass(frozen=True)
class Request:
    """One request of lm-eval.

    ``repeat`` counts equal requests before this one: sampled answers to the same prompt differ.
    """

    kind: str
    arguments: tuple[object, ...]
    task: str
    repeat: int
    digest: str

    @property
    def text(self) -> str:
        """The first argument, a :class:`ChatText` where it came as one."""
        text = self.arguments[0]
        return text if isinstance(text, str) else str(text)


def as_requests(instances: Iterable[Instance]) -> list[Request]:
    """lm-eval's instances as requests, in their order."""
    seen: Counter[str] = Counter()
    requests = []
    for instance in instances:
        arguments = tuple(instance.args)
        content = digest(instance.request_type, arguments)
        if isinstance(arguments[0], ChatText):  # the same words without a template are other tokens
            content = digest(content, "chat")
        # A greedy answer is the same whenever it is asked for; a drawn one is another draw.
        repeat = seen[content] if _sampled(arguments) else 0
        seen[content] += 1
        key = content if repeat == 0 else digest(content, repeat)
        task = instance.task_name or ""
        requests.append(Request(instance.request_type, arguments, task, repeat, key))
    return requests


def packs_by_text(requests: Sequence[Request], size: int) -> list[list[int]]:
    """Cut requests into packs of at most ``size``, without knowing tokens.

    Packs never span tasks (a task added to a suite leaves the others' packs alone) or generation
    settings; within, the longest texts come first and equal contexts are neighbours.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for index, request in enumerate(requests):
        settings = request.arguments[1] if request.kind == "generate_until" else None
        groups[digest(request.task, request.kind, settings)].append(index)
    packs = []
    for key in sorted(groups):
        members = sorted(groups[key], key=lambda index: _by_text(requests[index]))
        packs += [members[start : start + size] for start in range(0, len(members), size)]
    return packs


def _by_text(request: Request) -> tuple[int, str, str]:
    context = str(request.arguments[0])
    return -len(context), context, request.digest


def _sampled(arguments: tuple[object, ...]) -> bool:
    settings = arguments[1] if len(arguments) > 1 else None
    return isinstance(settings, dict) and bool(
        settings.get("do_sample") or settings.get("temperature")
    )

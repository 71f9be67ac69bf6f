"""Requests cut into packs, and how the answers of packs become responses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steelyard.harness.environment import quiet
from steelyard.harness.scoring.journal import Answer
from steelyard.harness.scoring.requests import Request, packs_by_text

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM

#: ``(request, part)``: a long text is asked for in several windows.
Ask = tuple[int, int]

REQUESTS_PER_PACK = 32


@dataclass(frozen=True)
class Plan:
    """What is scored together, in which order.

    Attributes:
        packs: for each pack who asks, by the index of the request.
        run: the answers of a pack, one for each ask in order, as JSON; and the number of tokens
            that ran through the model.
        finish: a request's response from the answers to its parts, in the order of the parts.
    """

    packs: list[list[Ask]]
    run: Callable[[int], tuple[Sequence[Answer], int]]
    finish: Callable[[Sequence[Answer]], Answer]


def share_of(packs: Sequence[Sequence[Ask]], share: tuple[int, int]) -> list[int]:
    """The numbers of the packs that one of several shards runs.

    Shards are runs of neighbours, so that what packs share (anchors) is computed once; a pack
    belongs to the shard that its middle ask falls in, so that shards ask for about as much.
    """
    number, count = share
    total = sum(map(len, packs))
    mine, before = [], 0
    for index, pack in enumerate(packs):
        if (2 * before + len(pack)) * count // (2 * total) == number:
            mine.append(index)
        before += len(pack)
    return mine


def by_text(lm: LM, requests: Sequence[Request], instances: Sequence[Instance]) -> Plan:
    """A plan for any lm-eval model, whose tokens we do not know."""
    packs = packs_by_text(requests, REQUESTS_PER_PACK)

    def run(number: int) -> tuple[Sequence[Answer], int]:
        members = [instances[index] for index in packs[number]]
        method = getattr(lm, members[0].request_type)
        silent = "disable_tqdm" in inspect.signature(method).parameters
        with quiet():
            answers = method(members, **({"disable_tqdm": True} if silent else {}))
        # Pairs are lists, as the journal gives them back.
        return [list(a) if isinstance(a, tuple) else a for a in answers], 0

    return Plan([[(index, 0) for index in pack] for pack in packs], run, only_part)


def only_part(parts: Sequence[Answer]) -> Answer:
    """The response to a request that was asked as one."""
    return parts[0]


def pair_or_certain(parts: Sequence[Answer]) -> Answer:
    """``[log-likelihood, greedy]`` of a pair; an empty continuation asks for nothing: certain."""
    return parts[0] if parts else [0.0, True]


def sum_of_windows(parts: Sequence[Answer]) -> Answer:
    """The log-likelihood in nats of a text from its windows in order; an empty text has none.

    Every token is predicted in one window alone, so by the chain rule the sum is the text's.
    """
    return float(sum(_log_likelihood(part) for part in parts))


def _log_likelihood(part: Answer) -> float:
    assert isinstance(part, list)
    return part[0]

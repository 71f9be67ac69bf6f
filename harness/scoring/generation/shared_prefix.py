"""Generation with a shared prefix and rows that come and go.

The rows of a pack are one flat sequence: the prefix that all prompts share is computed once and
looked at by every row, each row's own keys and values lie in slots of the same buffer, and the
mask says which are whose. A finished row gives its slots back and the next one enters. Greedy
tokens are those of lm-eval's ``hf`` model at batch size 1; sampled ones are drawn with a seed of
their own request, so they do not depend on what else is in the batch. Prompts that share little are
continued side by side instead (:mod:`steelyard.harness.scoring.generation.side_by_side`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from steelyard.harness.scoring.generation.stopping import Stopping
from steelyard.harness.scoring.passes.flat import AnchoredCache, FlatPass
from steelyard.harness.scoring.passes.kv_cache import BufferCache
from steelyard.harness.scoring.passes.trie import Tokens

#: Most rows that decode together, and most slots that they may hold, on a CPU and on a GPU. Every
#: row is multiplied with every slot, so beyond this the mask wastes what batching saves.
MOST_ROWS = {"cpu": 32, "cuda": 256}
MOST_SLOTS = {"cpu": 4096, "cuda": 65_536}


@dataclass
class Prompt:
    """One request for a continuation.

    Attributes:
        tokens: the prompt, already cut to what fits.
        most: how many tokens may be generated.
        pick: the next token from logits ``[vocabulary]`` and the tokens so far; None is the
            largest logit.
        stopping: tells when the continuation is done.
    """

    tokens: Tokens
    most: int
    stopping: Stopping
    pick: Callable[[torch.Tensor, list[int]], int] | None = None


@dataclass(eq=False)
class Row:
    """A prompt that is being continued; ``place`` is its index among the prompts of the pack."""

    prompt: Prompt
    place: int
    generated: list[int] = field(default_factory=list, kw_only=True)

    @property
    def position(self) -> int:
        """Of the newest token in the sequence."""
        return len(self.prompt.tokens) + len(self.generated) - 1

    @property
    def finished(self) -> bool:
        """Whether the newest token was the last."""
        prompt = self.prompt
        return len(self.generated) >= prompt.most or prompt.stopping.done(self.generated)


@dataclass(eq=False)
class _SlotRow(Row):
    own: list[int]
    seen: NDArray[np.bool_]


class _Slots:
    """Free places of the buffer, the lowest first, and the position that each one holds."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.positions = np.arange(depth, dtype=np.int64)
        self._free: list[int] = []
        self._next = depth

    @property
    def used(self) -> int:
        return self._next - len(self._free)

    def take(self, count: int) -> list[int]:
        slots = []
        for _ in range(count):
            if self._free:
                slots.append(heapq.heappop(self._free))
            else:
                slots.append(self._next)
                self._next += 1
        if self._next > len(self.positions):
            self.positions = np.resize(self.positions, self._next + 256)
        return slots

    def give_back(self, slots: list[int]) -> None:
        for slot in slots:
            heapq.heappush(self._free, slot)


class FlatGeneration:
    """Generates for packs of prompts on top of one anchored cache."""

    def __init__(self, flat: FlatPass) -> None:
        self.flat = flat
        model = flat.model
        self._device = model.device
        self._anchored = AnchoredCache(self.flat)
        kind = model.device.type
        self._most_rows = MOST_ROWS.get(kind, MOST_ROWS["cuda"])
        self._most_slots = MOST_SLOTS.get(kind, MOST_SLOTS["cuda"])

    def forget(self) -> None:
        """Drop the kept prefix."""
        self._anchored = AnchoredCache(self.flat)

    def run(
        self, prompts: Sequence[Prompt], anchors: tuple[int, ...], budget: int
    ) -> list[list[int]]:
        """The generated tokens of each prompt.

        Args:
            prompts: they share the first ``anchors[-1]`` tokens, and each is longer than that.
            anchors: the steps in which the shared prefix is computed.
            budget: most tokens of one forward pass over prompts.
        """
        depth = anchors[-1] if anchors else 0
        cache = self._anchored.at(prompts[0].tokens, anchors)
        slots = _Slots(depth)
        done: list[list[int]] = [[] for _ in prompts]
        waiting = list(range(len(prompts)))[::-1]
        active: list[_SlotRow] = []
        try:
            while waiting or active:
                entering = self._admit(prompts, waiting, active, slots, budget)
                if entering:
                    logits = self._enter(entering, cache, slots)
                    active += entering
                    extend(entering, logits)
                else:
                    extend(active, self._step(active, cache, slots))
                for row in [row for row in active if row.finished]:
                    done[row.place] = row.generated
                    slots.give_back(row.own)
                    active.remove(row)
        finally:
            cache.slots = None
            cache.keep(depth)
        return done

    def _admit(
        self,
        prompts: Sequence[Prompt],
        waiting: list[int],
        active: list[_SlotRow],
        slots: _Slots,
        budget: int,
    ) -> list[_SlotRow]:
        """Rows that may enter now; a row alone always may."""
        entering: list[_SlotRow] = []
        tokens = 0
        while waiting:
            prompt = prompts[waiting[-1]]
            own = len(prompt.tokens) - slots.depth
            rows = len(active) + len(entering)
            full = rows >= self._most_rows or slots.used + own + 1 > self._most_slots
            if (full or (entering and tokens + own > budget)) and rows:
                break
            tokens += own
            seen = np.zeros(0, dtype=np.bool_)
            entering.append(_SlotRow(prompt, waiting.pop(), slots.take(own), seen))
        return entering

    def _enter(self, rows: list[_SlotRow], cache: BufferCache, slots: _Slots) -> torch.Tensor:
        """Run the prompts' own tokens; logits after the last of each."""
        tokens, positions, new, seen, last = [], [], [], [], []
        for row in rows:
            begin, end = slots.depth, len(row.prompt.tokens)
            slots.positions[row.own] = np.arange(begin, end)
            tokens.append(row.prompt.tokens[begin:])
            positions.append(np.arange(begin, end))
            new += row.own
            last.append(len(new) - 1)
        end = max(max(new) + 1, slots.depth)
        for row in rows:
            # A prompt's token sees the shared prefix and, of all slots, its own row's up to itself:
            # what is attended is what a sequence by itself would hold, wherever its slots lie.
            block = np.zeros((len(row.own), end), dtype=np.bool_)
            block[:, : slots.depth] = True
            for index, slot in enumerate(row.own):
                block[index:, slot] = True
            row.seen = block[-1].copy()
            seen.append(block)
        at = np.array(last, dtype=np.int64)
        return self._pass(
            cache, slots, np.concatenate(tokens), np.concatenate(positions), new, seen, at
        )

    def _step(self, rows: list[_SlotRow], cache: BufferCache, slots: _Slots) -> torch.Tensor:
        """One token of each row."""
        new = slots.take(len(rows))
        end = 1 + max(*new, *(max(row.own) for row in rows))
        seen = np.zeros((len(rows), end), dtype=np.bool_)
        # A slot that was given back holds another row's keys until this pass writes over them; a
        # row sees only slots that it has taken since.
        for index, (row, slot) in enumerate(zip(rows, new, strict=True)):
            if len(row.seen) < slot + 1:
                row.seen = np.concatenate([row.seen, np.zeros(slot + 257, dtype=np.bool_)])
            row.seen[slot] = True
            row.own.append(slot)
            slots.positions[slot] = row.position
            width = min(end, len(row.seen))
            seen[index, :width] = row.seen[:width]
        tokens = np.array([row.generated[-1] for row in rows], dtype=np.int32)
        positions = np.array([row.position for row in rows], dtype=np.int64)
        return self._pass(cache, slots, tokens, positions, new, [seen], np.arange(len(rows)))

    def _pass(
        self,
        cache: BufferCache,
        slots: _Slots,
        tokens: Tokens,
        positions: NDArray[np.int64],
        new: list[int],
        seen: list[NDArray[np.bool_]],
        rows: NDArray[np.int64],
    ) -> torch.Tensor:
        mask = np.concatenate(seen)
        cache.end = mask.shape[1]
        cache.slots = torch.as_tensor(new, device=self._device)
        return self.flat(cache, tokens, positions, mask, slots.positions[: cache.end], rows)


def extend(rows: Sequence[Row], logits: torch.Tensor) -> None:
    """Give each row its next token, from logits ``[rows, vocabulary]``."""
    logits = logits.float()
    greedy = logits.argmax(-1).tolist()
    for index, row in enumerate(rows):
        pick = row.prompt.pick
        token = greedy[index]
        if pick is not None:
            token = pick(logits[index], [*row.prompt.tokens.tolist(), *row.generated])
        row.generated.append(int(token))

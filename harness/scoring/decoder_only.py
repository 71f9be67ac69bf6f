"""An lm-eval model that runs every distinct prefix position once.

    requests -> tokens (encoding) -> a trie cut into packs (trie) -> logits of asked rows (rungs)

What comes out equals lm-eval's ``hf`` model at batch size 1 up to floating-point noise: a few 1e-7
of a log-likelihood in fp32, 6e-6 at most on the benchmark's models, 3.4e-5 on SmolLM2. A score may
depend on what else is scored as much.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from steelyard.harness.environment import quiet
from steelyard.harness.records import Parity
from steelyard.harness.scoring import canary, memory
from steelyard.harness.scoring.encoding import Pair
from steelyard.harness.scoring.generation.plans import GenerationPlans
from steelyard.harness.scoring.journal import Answer
from steelyard.harness.scoring.opened import OpenedLM
from steelyard.harness.scoring.passes import rope_lengths
from steelyard.harness.scoring.passes.asked_positions import token_scores
from steelyard.harness.scoring.passes.rungs import PaddedRung, Rung
from steelyard.harness.scoring.passes.trie import Forest, Leaf, Pack
from steelyard.harness.scoring.plans import Ask, Plan, pair_or_certain, sum_of_windows
from steelyard.harness.scoring.requests import Request

if TYPE_CHECKING:
    from steelyard.harness.checkpoints import LoadedModel


#: Who asks, and for which continuation of which context.
_Asked = tuple[Ask, Pair]
_Asks = Callable[[list[int], list[Request]], list[_Asked]]


@dataclass(frozen=True)
class _Job:
    """One forest and which request asks for what on which leaf."""

    forest: Forest
    packs: list[Pack]
    askers: list[list[tuple[Ask, list[int]]]]
    """For each sorted leaf: who asks, and the target tokens."""

    def asks(self, pack: Pack) -> list[Ask]:
        """Who asks in a pack, in the order of its answers."""
        return [ask for leaf in range(pack.start, pack.stop) for ask, _ in self.askers[leaf]]


class TrieLM(OpenedLM):
    """Scores decoder models. Open one with :func:`steelyard.harness.scoring.open_model`.

    Args:
        loaded: the model and its tokenizer.
        max_length: the window in tokens; None takes the configuration's, as lm-eval does.
        tokens_per_batch: how many tokens run together; None derives it from the free memory.
        first_rung: where on the ladder to begin (see
        :mod:`steelyard.harness.scoring.passes.rungs`).
        parity: by whose rule special tokens are put in.

    Raises:
        ScoringError: the model gives NaN.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        max_length: int | None = None,
        tokens_per_batch: int | None = None,
        first_rung: str = "tree",
        parity: Parity = "steelyard",
    ) -> None:
        super().__init__(loaded, max_length, tokens_per_batch, parity)
        with quiet():
            self.rung, self.choice = canary.choose(self.model, first_rung)
        self._generation = GenerationPlans(
            self.model,
            self.tokenizer,
            self.encoder,
            self.max_length,
            self.rung.name,
            self.events,
            side_by_side=self.choice.side_by_side,
        )
        self._flat: Rung = (
            self.rung if self.rung.name in ("padded", "single") else PaddedRung(self.model)
        )
        self._alone = PaddedRung(self.model, one_by_one=True)
        self._longest_alike = rope_lengths.longest_alike(self.model)

    def settings(self) -> dict[str, object]:
        """JSON of what changes a response beside the checkpoint."""
        choice = self.choice
        return super().settings() | {
            "rung": self.rung.name,
            "by_segments": choice.by_segments,
            "side_by_side": choice.side_by_side,
        }

    def scoring_record(self) -> dict[str, object]:
        """JSON of the rung and why it was chosen, and of what happened on the way."""
        return super().scoring_record() | {"canary": self.choice.as_record()}

    def plan(self, kind: str, requests: Sequence[Request], budget: int) -> Plan:
        """Cut requests of one kind into packs, by their content and ``budget`` alone."""
        if kind == "loglikelihood":
            return self._plan_jobs(requests, self._pair_asks, self.rung, budget, True)
        if kind == "loglikelihood_rolling":
            return self._plan_jobs(requests, self._window_asks, self._flat, budget, False)
        return self._generation.plan(requests, budget)

    def _plan_jobs(
        self, requests: Sequence[Request], asks: _Asks, rung: Rung, budget: int, greedy: bool
    ) -> Plan:
        by_task: dict[str, list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            by_task[request.task].append(index)
        work: list[tuple[_Job, Pack, Rung]] = []
        for task in sorted(by_task):
            members = by_task[task]
            asked = asks(members, [requests[index] for index in members])
            for alike, way in self._ways(asked, rung):
                job = self._job(alike, way, budget)
                work += [(job, pack, way) for pack in job.packs]

        def run(number: int) -> tuple[list[Answer], int]:
            job, pack, way = work[number]
            before = way.tokens
            if self._longest_alike is not None:
                rope_lengths.forget(self.model)
            with torch.inference_mode():
                answers = self._run_pack(job, pack, way, greedy)
            return answers, way.tokens - before

        packs = [job.asks(pack) for job, pack, _ in work]
        return Plan(packs, run, pair_or_certain if greedy else sum_of_windows)

    def _ways(self, asked: list[_Asked], rung: Rung) -> list[tuple[list[_Asked], Rung]]:
        """Sequences that may share passes, and those that must run alone (``rope_lengths``)."""
        longest = self._longest_alike
        if longest is None:
            return [(asked, rung)]
        alone = [len(pair[0]) + len(pair[1]) - 1 > longest for _, pair in asked]
        long = [ask for ask, is_long in zip(asked, alone, strict=True) if is_long]
        short = [ask for ask, is_long in zip(asked, alone, strict=True) if not is_long]
        return [(part, way) for part, way in ((short, rung), (long, self._alone)) if part]

    def _pair_asks(self, members: list[int], requests: list[Request]) -> list[_Asked]:
        asked = [
            ((index, 0), pair)
            for index, pair in zip(members, self.encoder.pairs(requests), strict=True)
            if pair[1]
        ]
        self.events.notes |= self.encoder.notes
        return asked

    def _window_asks(self, members: list[int], requests: list[Request]) -> list[_Asked]:
        texts = self.encoder.windows([request.text for request in requests])
        return [
            ((index, part), pair)
            for index, windows in zip(members, texts, strict=True)
            for part, pair in enumerate(windows)
        ]

    def _job(self, asked: list[_Asked], rung: Rung, budget: int) -> _Job:
        """Distinct input sequences as a forest; a sequence that several ask for runs once."""
        places: dict[bytes, int] = {}
        leaves: list[Leaf] = []
        askers: list[list[tuple[Ask, list[int]]]] = []
        for ask, (context, continuation) in asked:
            # The last token is only predicted; one more than the window fits, as in lm-eval's hf.
            tokens = np.array(context + continuation, dtype=np.int32)[-(self.max_length + 1) : -1]
            key = tokens.tobytes()
            place = places.setdefault(key, len(leaves))
            if place == len(leaves):
                leaves.append(Leaf(tokens, len(continuation)))
                askers.append([])
            # Runs once with as many asked positions as its longest continuation has.
            elif leaves[place].scored < len(continuation):
                leaves[place] = Leaf(tokens, len(continuation))
            askers[place].append((ask, continuation))
        forest = Forest(leaves, by_length=rung.name in ("padded", "single"))
        packs = forest.packs(lambda *run: rung.fits(forest, budget, *run))
        return _Job(forest, packs, [askers[index] for index in forest.order])

    def _run_pack(self, job: _Job, pack: Pack, rung: Rung, greedy: bool) -> list[Answer]:
        """``[log-likelihood, greedy]`` of every ask of a pack, in order."""
        try:
            return self._scored(job, pack, rung, greedy)
        except (RuntimeError, MemoryError) as error:
            if not memory.is_out_of_memory(error) or pack.stop - pack.start == 1:
                raise
        # Out of the handler, whose traceback would keep what was allocated.
        return self._halved(job, pack, rung, greedy)

    def _scored(self, job: _Job, pack: Pack, rung: Rung, greedy: bool) -> list[Answer]:
        logits = rung.run(job.forest, pack)
        rows, targets = [], []
        for leaf, of_leaf in zip(range(pack.start, pack.stop), logits.of_leaf, strict=True):
            for _, continuation in job.askers[leaf]:
                rows.append(of_leaf[-len(continuation) :])
                targets.append(continuation)
        device = logits.values.device
        scores, flags = token_scores(
            logits.values,
            torch.as_tensor(np.concatenate(rows), device=device),
            torch.as_tensor(np.concatenate(targets), device=device),
            greedy,
        )
        begins = np.cumsum([0, *(len(part) for part in rows)])
        # In double precision: a token in fp32 is good to 1e-7, a sum of hundreds would not be.
        sums = np.add.reduceat(np.array(scores, dtype=np.float64), begins[:-1])
        hits = np.logical_and.reduceat(np.array(flags, dtype=np.bool_), begins[:-1])
        return [[float(total), bool(hit)] for total, hit in zip(sums, hits, strict=True)]

    def _halved(self, job: _Job, pack: Pack, rung: Rung, greedy: bool) -> list[Answer]:
        """After an out-of-memory: both halves of a pack, one after the other."""
        self.events.out_of_memory += 1
        rung.forget()
        memory.release(self.model.device)
        middle = (pack.start + pack.stop) // 2
        first = Pack(pack.start, middle, pack.anchors)
        second = Pack(middle, pack.stop, pack.anchors)
        return self._run_pack(job, first, rung, greedy) + self._run_pack(job, second, rung, greedy)

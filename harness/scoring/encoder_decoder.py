"""Encoder-decoder models: each context is encoded once, whatever is asked about it.

Generated answers stop at ``max_gen_toks``; lm-eval lets them run on by the length of the prompt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutput

from steelyard.harness.records import Parity
from steelyard.harness.scoring import memory
from steelyard.harness.scoring.generation.plans import GenerationPlans
from steelyard.harness.scoring.journal import Answer
from steelyard.harness.scoring.opened import OpenedLM
from steelyard.harness.scoring.passes.asked_positions import only_rows, token_scores
from steelyard.harness.scoring.plans import Ask, Plan, pair_or_certain, sum_of_windows
from steelyard.harness.scoring.requests import Request

if TYPE_CHECKING:
    from steelyard.harness.checkpoints import LoadedModel

#: ``(who asks, the decoder's tokens)`` by the encoder's tokens.
_ByContext = dict[tuple[int, ...], list[tuple[Ask, list[int]]]]
_Pack = list[tuple[tuple[int, ...], list[tuple[Ask, list[int]]]]]


class EncoderDecoderLM(OpenedLM):
    """Scores encoder-decoder models. Open one with :func:`steelyard.harness.scoring.open_model`."""

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        max_length: int | None = None,
        tokens_per_batch: int | None = None,
        parity: Parity = "steelyard",
    ) -> None:
        super().__init__(loaded, max_length, tokens_per_batch, parity)
        self._generation = GenerationPlans(
            self.model,
            self.tokenizer,
            self.encoder,
            self.max_length,
            "encoder-decoder",
            self.events,
        )
        # What the model shifts its labels by; settings of generation change no log-likelihood.
        start = getattr(self.model.config, "decoder_start_token_id", None)
        if start is None:
            start = self.model.generation_config.decoder_start_token_id
        self._start = [int(start)]
        if parity == "steelyard":
            # BART's answers begin with BOS behind the start token, as its labels did.
            self._start += self.encoder.answers_begin_with

    backend = "seq2seq"

    def plan(self, kind: str, requests: Sequence[Request], budget: int) -> Plan:
        """See :class:`steelyard.harness.scoring.opened.OpenedLM`."""
        if kind == "generate_until":
            return self._generation.plan(requests, budget)
        rolling = kind == "loglikelihood_rolling"
        by_task: dict[str, list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            by_task[request.task].append(index)
        packs: list[_Pack] = []
        for task in sorted(by_task):
            asked = (self._windows if rolling else self._pairs)(requests, by_task[task])
            packs += _cut(asked, budget)

        def run(number: int) -> tuple[list[Answer], int]:
            with torch.inference_mode():
                return self._score_or_halve(packs[number])

        asks = [[ask for _, asked in pack for ask, _ in asked] for pack in packs]
        return Plan(asks, run, sum_of_windows if rolling else pair_or_certain)

    def _pairs(self, requests: Sequence[Request], members: list[int]) -> _ByContext:
        asked: _ByContext = defaultdict(list)
        pairs = self.encoder.pairs([requests[index] for index in members])
        for index, (context, continuation) in zip(members, pairs, strict=True):
            if continuation:
                asked[tuple(context)].append(((index, 0), continuation[-self.max_length :]))
        return asked

    def _windows(self, requests: Sequence[Request], members: list[int]) -> _ByContext:
        asked: _ByContext = defaultdict(list)
        texts = self.encoder.windows([requests[index].text for index in members])
        for index, windows in zip(members, texts, strict=True):
            for part, (context, predicted) in enumerate(windows):
                asked[tuple(context)].append(((index, part), predicted))
        return asked

    def _score_or_halve(self, pack: _Pack) -> tuple[list[Answer], int]:
        """A pack; after an out-of-memory both halves of it, one after the other."""
        try:
            return self._score(pack)
        except (RuntimeError, MemoryError) as error:
            if not memory.is_out_of_memory(error) or len(pack) == 1:
                raise
        self.events.out_of_memory += 1
        memory.release(self.model.device)
        half = len(pack) // 2
        first, tokens = self._score_or_halve(pack[:half])
        second, more = self._score_or_halve(pack[half:])
        return first + second, tokens + more

    def _score(self, pack: _Pack) -> tuple[list[Answer], int]:
        contexts, mask = _padded([list(context) for context, _ in pack], self.model.device)
        encoded = self.model.get_encoder()(input_ids=contexts, attention_mask=mask)[0]
        asked = [(row, tokens) for row, (_, group) in enumerate(pack) for _, tokens in group]
        of = torch.tensor([row for row, _ in asked], device=self.model.device)
        # Shifted right by the start token: position i predicts token i from those before it.
        inputs, _ = _padded([[*self._start, *t[:-1]] for _, t in asked], self.model.device)
        longest, first = inputs.shape[1], len(self._start) - 1
        begins = [i * longest + first for i in range(len(asked))]
        rows = [
            np.arange(begin, begin + len(t)) for begin, (_, t) in zip(begins, asked, strict=True)
        ]
        wanted = torch.as_tensor(np.concatenate(rows), device=self.model.device)
        with only_rows(self.model, wanted, longest):
            logits = self.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded[of]),
                attention_mask=mask[of],
                decoder_input_ids=inputs,
                use_cache=False,
            ).logits[0]
        targets = torch.tensor([t for _, tokens in asked for t in tokens], device=logits.device)
        scores, flags = token_scores(
            logits, torch.arange(len(targets), device=logits.device), targets
        )
        answers: list[Answer] = []
        begin = 0
        for _, tokens in asked:
            end = begin + len(tokens)
            # In double precision: tokens in fp32 are good to 1e-7, a sum of hundreds would not be.
            total = float(np.sum(np.array(scores[begin:end], dtype=np.float64)))
            answers.append([total, all(flags[begin:end])])
            begin = end
        return answers, contexts.numel() + inputs.numel()


def _cut(asked: _ByContext, budget: int) -> list[_Pack]:
    """Contexts, the longest first, as many together as the budget allows with their answers."""
    packs: list[_Pack] = []
    used = 0
    for context in sorted(asked, key=lambda tokens: (-len(tokens), tokens)):
        longest = max(len(tokens) for _, tokens in asked[context])
        cost = len(context) + longest * len(asked[context])
        if packs and used + cost <= budget:
            packs[-1].append((context, asked[context]))
            used += cost
        else:
            packs.append([(context, asked[context])])
            used = cost
    return packs


def _padded(rows: list[list[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids, mask.to(device)

"""Generation requests cut into packs, and run by our rows or by ``generate``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from lm_eval.models.utils_hf import stop_sequences_criteria

from steelyard.harness.environment import quiet
from steelyard.harness.errors import located
from steelyard.harness.scoring import memory
from steelyard.harness.scoring.encoding import Encoder
from steelyard.harness.scoring.generation.defaults import (
    generating,
    require_tokens,
    rows_serve,
)
from steelyard.harness.scoring.generation.prompts import (
    Settings,
    as_prompt,
    cut_context,
    end_tokens,
    read_settings,
    same_length,
)
from steelyard.harness.scoring.generation.shared_prefix import FlatGeneration, Prompt
from steelyard.harness.scoring.generation.side_by_side import SideBySide
from steelyard.harness.scoring.generation.stopping import Stopping
from steelyard.harness.scoring.journal import Answer, digest
from steelyard.harness.scoring.notes import Events
from steelyard.harness.scoring.passes import rope_lengths
from steelyard.harness.scoring.passes.flat import FlatPass
from steelyard.harness.scoring.passes.trie import SHORTEST_ANCHOR, Forest, Leaf, Pack, Tokens
from steelyard.harness.scoring.plans import Ask, Plan, only_part
from steelyard.harness.scoring.requests import Request

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: A pack is journalled as a whole, so it should not take long; and while it drains, fewer rows run.
PROMPTS_PER_PACK = 64
TOKENS_PER_PACK = 32_768
_PROMPTS_PER_GENERATE = 8


@dataclass(frozen=True)
class _Work:
    """One pack: requests with equal settings, neighbours by their prompts."""

    settings: Settings
    requests: list[Request]
    tokens: list[Tokens]
    """The prompt of each request, cut to what fits."""
    anchors: tuple[int, ...]

    def part(self, members: slice) -> _Work:
        """Some of the requests."""
        return _Work(self.settings, self.requests[members], self.tokens[members], self.anchors)


class GenerationPlans:
    """Plans for one model. ``rung`` and ``side_by_side`` are what the canary found right."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        encoder: Encoder,
        max_length: int,
        rung: str,
        events: Events,
        *,
        side_by_side: bool = False,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.max_length = max_length
        self.events = events
        self._rows = FlatGeneration(FlatPass(model)) if rung == "tree" else None
        self._beside = SideBySide(self._rows.flat) if self._rows and side_by_side else None
        # Some recurrent models (RWKV) generate wrongly in a batch, so only caches that are copied
        # right are batched.
        self._together = _PROMPTS_PER_GENERATE if rung == "copied" else 1
        self._longest_alike = rope_lengths.longest_alike(model)
        end = tokenizer.eos_token_id
        self._end_text = None if end is None else str(tokenizer.decode(end))

    def plan(self, requests: Sequence[Request], budget: int) -> Plan:
        """Packs of one task and one set of settings, neighbours by their prompts."""
        groups: dict[str, list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            groups[digest(request.task, request.arguments[1])].append(index)
        asks: list[list[Ask]] = []
        packs: list[tuple[_Work, bool]] = []
        for key in sorted(groups):
            settings = read_settings(requests[groups[key][0]], self._end_text)
            by_rows = self._by_rows_or_refused(requests[groups[key][0]], settings)
            for members, work in self._packs(requests, groups[key], settings):
                asks.append([(index, 0) for index in members])
                packs.append((work, by_rows))

        def run(number: int) -> tuple[Sequence[Answer], int]:
            work, by_rows = packs[number]
            with torch.inference_mode(), quiet():
                if by_rows and self._alike(work):
                    return self._by_rows(work, budget)
                return self._by_generate(work)

        return Plan(asks, run, only_part)

    def _by_rows_or_refused(self, request: Request, settings: Settings) -> bool:
        """Whether our rows serve a group of requests; what nothing serves is refused."""
        with located(key=request.task), generating(self.model, request.task):
            require_tokens(self.model, settings.options)
            served = rows_serve(self.model, settings.options)
        return served and self._rows is not None

    def _packs(
        self, requests: Sequence[Request], members: list[int], settings: Settings
    ) -> Iterator[tuple[list[int], _Work]]:
        self.encoder.encode_prompts([requests[index].text for index in members])
        prompts = [
            cut_context(self.encoder, requests[index], settings, self._window(settings))
            for index in members
        ]
        self.events.notes |= self.encoder.notes
        forest = Forest([Leaf(tokens, 1) for tokens in prompts])

        def fits(start: int, stop: int, depth: int) -> bool:
            few = stop - start <= PROMPTS_PER_PACK
            return few and forest.nodes(start, stop, depth) <= TOKENS_PER_PACK

        for pack in forest.packs(fits):
            order = forest.order[pack.start : pack.stop]
            own = [members[place] for place in order]
            tokens = [prompts[place] for place in order]
            asked = [requests[index] for index in own]
            yield own, _Work(settings, asked, tokens, _anchors(forest, pack))

    def _alike(self, work: _Work) -> bool:
        """Whether all prompts and answers are short enough to share rotary frequencies."""
        longest = max(len(own) for own in work.tokens) + work.settings.most
        return self._longest_alike is None or longest <= self._longest_alike

    def _window(self, settings: Settings) -> int:
        # An encoder's window need not hold the answer.
        return self.max_length + (settings.most if self.encoder.is_encoder_decoder else 0)

    def _by_rows(self, work: _Work, budget: int) -> tuple[list[Answer], int]:
        assert self._rows is not None
        before = self._rows.flat.tokens
        with generating(self.model, work.requests[0].task):
            prompts = [
                as_prompt(self.model, self.tokenizer, request, own, work.settings)
                for request, own in zip(work.requests, work.tokens, strict=True)
            ]
        way = self._way(prompts, work.anchors)
        try:
            generated = way.run(prompts, work.anchors, budget)
        except (RuntimeError, MemoryError) as error:
            if not memory.is_out_of_memory(error) or len(prompts) == 1:
                raise
        else:
            pairs = zip(prompts, generated, strict=True)
            return [prompt.stopping.answer(own) for prompt, own in pairs], self._since(before)
        # Out of the handler, whose traceback would keep what was allocated.
        way.forget()
        memory.release(self.model.device)
        self.events.out_of_memory += 1
        texts: list[Answer] = []
        half = len(prompts) // 2
        for members in (slice(half), slice(half, None)):
            answers, _ = self._by_rows(work.part(members), max(1, budget // 2))
            texts += answers
        return texts, self._since(before)

    def _since(self, tokens: int) -> int:
        assert self._rows is not None
        return self._rows.flat.tokens - tokens

    def _way(self, prompts: list[Prompt], anchors: tuple[int, ...]) -> FlatGeneration | SideBySide:
        """Side by side where the prompts' own tokens are more than what they share."""
        assert self._rows is not None
        shared = anchors[-1] if anchors else 0
        longest = max(len(prompt.tokens) for prompt in prompts)
        if self._beside is not None and len(prompts) > 1 and longest > 2 * shared:
            return self._beside
        return self._rows

    def _by_generate(self, work: _Work) -> tuple[Sequence[Answer], int]:
        """transformers' own ``generate`` over prompts of equal length, so that none is padded."""
        asked, tokens, settings = work.requests, work.tokens, work.settings
        texts = [""] * len(asked)
        ends = end_tokens(self.model, settings.options)
        stopping = Stopping(self.tokenizer, settings.stops, ends)
        count = 0
        searched = not rows_serve(self.model, settings.options)
        most = 1 if searched or settings.options.get("do_sample") else self._together
        for batch in same_length([len(own) for own in tokens], most):
            ids = torch.tensor([tokens[place].tolist() for place in batch])
            ids = ids.to(self.model.device)
            begin = 1 if self.encoder.is_encoder_decoder else ids.shape[1]
            criteria = stop_sequences_criteria(
                self.tokenizer, list(settings.stops), begin, len(batch)
            )
            if settings.options.get("do_sample"):
                torch.manual_seed(int(asked[batch[0]].digest[:15], 16))
            if self._longest_alike is not None:
                rope_lengths.forget(self.model)
            output = self._generated(asked[batch[0]], ids, settings, stopping_criteria=criteria)
            count += output.numel()
            for place, row in zip(batch, output.tolist(), strict=True):
                own = row if self.encoder.is_encoder_decoder else row[begin:]
                texts[place] = stopping.answer(own)
        return texts, count

    def _generated(
        self, request: Request, ids: torch.Tensor, settings: Settings, **options: object
    ) -> torch.Tensor:
        """Tokens that ``generate`` gives, one answer a prompt, shape (prompts, tokens)."""
        with generating(self.model, request.task):
            output: torch.Tensor = self.model.generate(
                **{
                    "pad_token_id": self.tokenizer.pad_token_id,
                    **settings.options,
                    "input_ids": ids,
                    "attention_mask": torch.ones_like(ids),
                    "max_new_tokens": settings.most,
                    "use_cache": True,
                    "num_return_sequences": 1,
                    "return_dict_in_generate": False,
                    "tokenizer": self.tokenizer,
                    **options,
                }
            )
        return output


def _anchors(forest: Forest, pack: Pack) -> tuple[int, ...]:
    """The pack's anchors, and what all its prompts share beyond them."""
    if pack.stop - pack.start == 1:
        return pack.anchors
    shared = min(forest.shared[pack.start + 1 : pack.stop])
    shared = min(shared, *(len(leaf.tokens) - 1 for leaf in forest.leaves[pack.start : pack.stop]))
    return (*pack.anchors, shared) if shared - pack.depth >= SHORTEST_ANCHOR else pack.anchors

"""Generation requests cut into packs, and run by our rows or by ``generate``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch

from steelyard.harness.environment import quiet
from steelyard.harness.scoring import memory
from steelyard.harness.scoring.encoding import Encoder
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
from steelyard.harness.scoring.journal import digest
from steelyard.harness.scoring.notes import Events
from steelyard.harness.scoring.passes import rope_lengths
from steelyard.harness.scoring.passes.flat import FlatPass
from steelyard.harness.scoring.passes.trie import SHORTEST_ANCHOR, Forest, Leaf, Pack
from steelyard.harness.scoring.plans import Ask, Plan
from steelyard.harness.scoring.requests import Request

#: A pack is journalled as a whole, so it should not take long; and while it drains, fewer rows run.
PROMPTS_PER_PACK = 64
TOKENS_PER_PACK = 32_768
_PROMPTS_PER_GENERATE = 8


class GenerationPlans:
    """Plans for one model. ``rung`` and ``side_by_side`` are what the canary found right."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
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
        self._end_text = tokenizer.decode(tokenizer.eos_token_id, skip_special_tokens=False)

    def plan(self, requests: Sequence[Request], budget: int) -> Plan:
        """Packs of one task and one set of settings, neighbours by their prompts."""
        groups: dict[str, list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            groups[digest(request.task, request.arguments[1])].append(index)
        asks: list[list[Ask]] = []
        work: list[tuple[Settings, list[int], list[Any], tuple[int, ...]]] = []
        for key in sorted(groups):
            settings = read_settings(requests[groups[key][0]].arguments[1], self._end_text)
            for members, tokens, anchors in self._packs(requests, groups[key], settings):
                asks.append([(index, 0) for index in members])
                work.append((settings, members, tokens, anchors))

        def run(number: int) -> tuple[list[Any], int]:
            settings, members, tokens, anchors = work[number]
            asked = [requests[index] for index in members]
            with torch.inference_mode(), quiet():
                if self._rows is not None and settings.own_path and self._alike(tokens, settings):
                    return self._by_rows(asked, tokens, settings, anchors, budget)
                return self._by_generate(asked, tokens, settings)

        return Plan(asks, run, lambda parts: parts[0])

    def _packs(
        self, requests: Sequence[Request], members: list[int], settings: Settings
    ) -> list[tuple[list[int], list[Any], tuple[int, ...]]]:
        self.encoder.encode_prompts([str(requests[index].arguments[0]) for index in members])
        prompts = [
            cut_context(self.encoder, requests[index], settings, self._window(settings))
            for index in members
        ]
        forest = Forest([Leaf(tokens, 1) for tokens in prompts])
        found = []

        def fits(start: int, stop: int, depth: int) -> bool:
            few = stop - start <= PROMPTS_PER_PACK
            return few and forest.nodes(start, stop, depth) <= TOKENS_PER_PACK

        for pack in forest.packs(fits):
            order = forest.order[pack.start : pack.stop]
            tokens = [prompts[place] for place in order]
            found.append(([members[place] for place in order], tokens, _anchors(forest, pack)))
        return found

    def _alike(self, tokens: list[Any], settings: Settings) -> bool:
        """Whether all prompts and answers are short enough to share rotary frequencies."""
        longest = max(len(own) for own in tokens) + settings.most
        return self._longest_alike is None or longest <= self._longest_alike

    def _window(self, settings: Settings) -> int:
        # An encoder's window need not hold the answer.
        return self.max_length + (settings.most if self.encoder.is_encoder_decoder else 0)

    def _by_rows(
        self,
        asked: list[Request],
        tokens: list[Any],
        settings: Settings,
        anchors: tuple[int, ...],
        budget: int,
    ) -> tuple[list[Any], int]:
        assert self._rows is not None
        before = self._rows.flat.tokens
        prompts = [
            as_prompt(self.model, self.tokenizer, request, own, settings)
            for request, own in zip(asked, tokens, strict=True)
        ]
        way = self._way(prompts, anchors)
        try:
            generated = way.run(prompts, anchors, budget)
        except (RuntimeError, MemoryError) as error:
            if not memory.is_out_of_memory(error) or len(asked) == 1:
                raise
            generated = None
        if generated is None:
            way.forget()
            memory.release(self.model.device)
            self.events.out_of_memory += 1
            texts, half = [], len(asked) // 2
            for part in (slice(half), slice(half, None)):
                found, _ = self._by_rows(
                    asked[part], tokens[part], settings, anchors, max(1, budget // 2)
                )
                texts += found
            return texts, self._rows.flat.tokens - before
        texts = [
            prompt.stopping.answer(own) for prompt, own in zip(prompts, generated, strict=True)
        ]
        return texts, self._rows.flat.tokens - before

    def _way(self, prompts: list[Prompt], anchors: tuple[int, ...]) -> FlatGeneration | SideBySide:
        """Side by side where the prompts' own tokens are more than what they share."""
        assert self._rows is not None
        shared = anchors[-1] if anchors else 0
        longest = max(len(prompt.tokens) for prompt in prompts)
        if self._beside is not None and len(prompts) > 1 and longest > 2 * shared:
            return self._beside
        return self._rows

    def _by_generate(
        self, asked: list[Request], tokens: list[Any], settings: Settings
    ) -> tuple[list[Any], int]:
        """transformers' own ``generate`` over prompts of equal length, so that none is padded."""
        from lm_eval.models.utils_hf import stop_sequences_criteria

        texts: list[Any] = [None] * len(asked)
        stopping = Stopping(self.tokenizer, settings.stops, end_tokens(self.model))
        count = 0
        most = 1 if settings.options.get("do_sample") else self._together
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
            output = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=settings.most,
                stopping_criteria=criteria,
                pad_token_id=self.tokenizer.pad_token_id,
                use_cache=True,
                **settings.options,
            )
            count += output.numel()
            for place, row in zip(batch, output.tolist(), strict=True):
                own = row if self.encoder.is_encoder_decoder else row[begin:]
                texts[place] = stopping.answer(own)
        return texts, count


def _anchors(forest: Forest, pack: Pack) -> tuple[int, ...]:
    """The pack's anchors, and what all its prompts share beyond them."""
    if pack.stop - pack.start == 1:
        return pack.anchors
    shared = min(forest.shared[pack.start + 1 : pack.stop])
    shared = min(shared, *(len(leaf.tokens) - 1 for leaf in forest.leaves[pack.start : pack.stop]))
    return (*pack.anchors, shared) if shared - pack.depth >= SHORTEST_ANCHOR else pack.anchors

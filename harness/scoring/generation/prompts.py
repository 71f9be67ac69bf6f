"""lm-eval's generation requests as prompts: settings, truncation, sampling."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

from steelyard.harness.errors import ScoringError, located
from steelyard.harness.scoring.encoding import Encoder
from steelyard.harness.scoring.generation.shared_prefix import Prompt
from steelyard.harness.scoring.generation.stopping import Stopping
from steelyard.harness.scoring.passes.trie import Tokens
from steelyard.harness.scoring.requests import Request
from steelyard.harness.suites import check_generation_settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MOST_TOKENS = 256


@dataclass(frozen=True)
class Settings:
    """Generation settings of one group of requests, as lm-eval reads them."""

    stops: tuple[str, ...]
    most: int
    options: dict[str, object]


def read_settings(request: Request, end_text: str | None) -> Settings:
    """lm-eval's ``gen_kwargs``: aliases of the length, temperature 0, the end token as a stop."""
    asked = copy.deepcopy(request.arguments[1])
    if isinstance(asked, Mapping):
        with located(file=f"task {request.task}", key="generation_kwargs"):
            check_generation_settings(asked, other_backends=False)
    options = dict(normalize_gen_kwargs(asked, MOST_TOKENS))
    stops = handle_stop_sequences(options.pop("until", None), eos=end_text)
    most = int(options.pop("max_gen_toks"))
    # A seed of its own makes another request, and what is drawn follows the request's digest.
    options.pop("seed", None)
    if not options.get("do_sample"):
        options["do_sample"] = False
        if options.get("temperature") == 0.0:
            options.pop("temperature")
    return Settings(tuple(stops), most, options)


def most_tokens(asked: object) -> int:
    """The most tokens that an answer may have, under any of lm-eval's names for it."""
    return int(normalize_gen_kwargs(copy.deepcopy(asked), MOST_TOKENS)["max_gen_toks"])


def cut_context(encoder: Encoder, request: Request, settings: Settings, max_length: int) -> Tokens:
    """The prompt's tokens; the last ``max_length - most`` where it is longer, as in lm-eval.

    Raises:
        ScoringError: the window has no room beside the answer, or the prompt is empty.
    """
    room = max_length - settings.most
    if room <= 0:
        raise ScoringError(
            f"an answer of {settings.most} tokens leaves no room in the window of {max_length}",
            key=request.task,
            fix="lower max_gen_toks or raise max_length",
        )
    (tokens,) = encoder.encode_prompts([request.text])
    if not tokens:
        raise ScoringError("an empty prompt cannot be continued", key=request.task)
    if len(tokens) > room:
        encoder.note_cut(request)
        tokens = encoder.cut(tokens, room)
    return np.array(tokens, dtype=np.int32)


def end_tokens(model: PreTrainedModel, options: Mapping[str, object]) -> set[int]:
    """The tokens at which ``generate`` stops under these options of a request."""
    ends: Any = options.get("eos_token_id")
    if ends is None:
        ends = model.generation_config.eos_token_id
    if ends is None:
        return set()
    return set(ends) if isinstance(ends, (list, tuple)) else {int(ends)}


def as_prompt(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    request: Request,
    tokens: Tokens,
    settings: Settings,
) -> Prompt:
    """A prompt with the logits processors that ``generate`` would use."""
    ends = end_tokens(model, settings.options)
    stopping = Stopping(tokenizer, settings.stops, ends)
    return Prompt(tokens, settings.most, stopping, _picker(model, request, tokens, settings))


def _picker(
    model: PreTrainedModel, request: Request, tokens: Tokens, settings: Settings
) -> Callable[[torch.Tensor, list[int]], int] | None:
    """None where the largest logit is the answer; else processors and a seed of the request's own.

    The model's generation configuration counts (a repetition penalty, a minimal length), as it
    does in ``generate``.
    """
    config, _ = model._prepare_generation_config(
        None, max_length=len(tokens) + settings.most, **settings.options
    )
    model._prepare_special_tokens(config, True, device=model.device)
    processors = model._get_logits_processor(
        generation_config=config, input_ids_seq_length=len(tokens), device=str(model.device)
    )
    if not config.do_sample and not len(processors):
        return None
    draw = torch.Generator().manual_seed(int(request.digest[:15], 16))

    def pick(logits: torch.Tensor, so_far: list[int]) -> int:
        seen = torch.tensor([so_far], device=logits.device)
        scores = processors(seen, logits[None].clone())[0]
        if not config.do_sample:
            return int(scores.argmax())
        return int(torch.multinomial(scores.softmax(-1).cpu(), 1, generator=draw))

    return pick


def same_length(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Batches of equal length, so that nothing is padded; indices into ``lengths``."""
    ordered = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    batches: list[list[int]] = []
    for index in ordered:
        last = batches[-1] if batches else []
        if last and lengths[last[0]] == lengths[index] and len(last) < most:
            last.append(index)
        else:
            batches.append([index])
    return batches

"""What a model's folder says of generation, where a request says nothing.

``generation_config.json`` may ask for beams, penalties, other end tokens. All of it is honoured:
by our rows where they do the same as ``generate``, else by ``generate`` itself. What no score can
be made under is refused by name.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from steelyard.harness.errors import ScoringError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from transformers import GenerationConfig, PreTrainedModel

#: Settings that our rows serve as ``generate`` does: the request states them, they are logits
#: processors of one row, they name tokens, or they say nothing of which token comes next.
_SERVED_BY_ROWS = frozenset(
    {
        # stated by every request
        "max_length", "max_new_tokens", "do_sample", "num_return_sequences", "use_cache",
        # logits processors over the tokens so far
        "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff",
        "eta_cutoff", "repetition_penalty", "no_repeat_ngram_size", "bad_words_ids",
        "min_length", "min_new_tokens", "forced_bos_token_id", "forced_eos_token_id",
        "remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens",
        "begin_suppress_tokens", "sequence_bias", "renormalize_logits",
        # tokens
        "pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id",
        # of beams, which are not searched
        "early_stopping", "length_penalty", "num_beam_groups", "diversity_penalty",
        # of how it runs
        "disable_compile", "low_memory",
        # of another model's drafts, which are not asked for
        "is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule",
        "assistant_confidence_threshold", "assistant_lookbehind", "target_lookbehind",
        "max_matching_ngram_size",
    }
)  # fmt: skip
#: Of what is given back, which no request asks for, and who wrote the file.
_NOT_OF_TEXT = (
    "output_attentions", "output_hidden_states", "output_scores", "output_logits",
    "return_dict_in_generate", "transformers_version", "_from_model_config",
)  # fmt: skip
#: Under these the same request has another answer on a slower machine.
_BY_THE_CLOCK = ("max_time",)


def stated_defaults(model: PreTrainedModel | None) -> str | None:
    """JSON of the settings that a model's folder states, sorted; None without a model."""
    settings = getattr(model, "generation_config", None)
    return None if settings is None else json.dumps(_stated(settings), sort_keys=True, default=str)


@contextmanager
def generating(model: PreTrainedModel, task: str) -> Iterator[None]:
    """What transformers refuses of a folder's settings and a request's becomes a line of ours.

    Raises ``ScoringError``.
    """
    try:
        yield
    except (ValueError, TypeError, ImportError, OSError, NotImplementedError) as error:
        raise ScoringError(
            f"cannot generate under {stated_defaults(model)} and what the task asks: "
            f"{(str(error).splitlines() or [''])[0]}",
            key=task,
            fix="change generation_config.json beside the weights, or the task's generation_kwargs",
        ) from error


def require_tokens(model: PreTrainedModel, options: Mapping[str, object]) -> None:
    """Raise ``ScoringError`` where a request names a token that the model does not have."""
    rows = int(model.get_input_embeddings().weight.shape[0])
    for name, value in options.items():
        if name.endswith(_NAMES_TOKENS):
            beyond = [token for token in _numbers(value) if token >= rows]
            if beyond:
                what = f"the model has {rows:,} tokens, numbered from 0"
                raise ScoringError(what, key=name, value=beyond[0], fix="name one of them")


_NAMES_TOKENS = ("token_id", "suppress_tokens", "bad_words_ids")


def _numbers(value: object) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _numbers(part)


def rows_serve(model: PreTrainedModel, options: Mapping[str, object]) -> bool:
    """Whether our rows continue a text as ``generate`` does under these options of a request.

    Raises:
        ScoringError: the settings in effect cut answers by the clock.
    """
    settings, _ = model._prepare_generation_config(None, **dict(options))
    stated = _stated(settings)
    for name in _BY_THE_CLOCK:
        if name in stated:
            fix = "remove it from generation_config.json or generation_kwargs"
            raise ScoringError("cuts answers by the clock", key=name, value=stated[name], fix=fix)
    if stated.pop("num_beams", 1) not in (None, 1):
        return False
    return stated.keys() <= _SERVED_BY_ROWS


def _stated(settings: GenerationConfig) -> dict[str, object]:
    """What differs from saying nothing."""
    neutral = _neutral()
    return {
        name: value
        for name, value in settings.to_dict().items()
        if value is not None and name not in _NOT_OF_TEXT and neutral.get(name) != value
    }


@lru_cache
def _neutral() -> dict[str, object]:
    from transformers import GenerationConfig

    empty = GenerationConfig()
    return {**empty.to_dict(), **empty._get_default_generation_params()}

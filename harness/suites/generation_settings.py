"""What a task may say of generation: ``generation_kwargs`` by name, each with a value it can have.

A setting that nothing reads (``stop``, ``temprature``, ``max_gen_tokens``) would leave the default
in its place, and the answers would be another question's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from steelyard.harness.errors import ConfigError, did_you_mean

#: lm-eval's names for the most tokens of an answer, the first of them its own.
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
#: What lm-eval itself reads beside them.
_LM_EVALS = ("until", "do_sample", "temperature", "seed")
#: What the servers behind lm-eval's other backends take besides: OpenAI's, vLLM's and SGLang's.
OF_OTHER_BACKENDS = frozenset(
    {
        "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "n", "best_of",
        "stop_token_ids", "ignore_eos", "min_tokens", "bad_words", "allowed_token_ids",
        "prompt_logprobs", "skip_special_tokens", "spaces_between_special_tokens",
        "include_stop_str_in_output", "truncate_prompt_tokens", "structured_outputs",
        "guided_decoding", "reasoning_effort", "verbosity", "response_format", "extra_body",
        "regex", "json_schema", "ebnf", "no_stop_trim",
    }
)  # fmt: skip
#: What other tools call it, or what generates several answers, and what is written for it here.
_INSTEAD = {
    "stop": "until",
    "stop_sequences": "until",
    "stop_words": "until",
    "stop_tokens": "until",
    "eos_token": "until",
    "max_length": "max_gen_toks",
    "max_tokens_to_sample": "max_gen_toks",
    "num_predict": "max_gen_toks",
    "num_return_sequences": "repeats, beside generation_kwargs,",
}
#: Settings that are a number, and the least that they may be.
_LEAST = {"temperature": 0.0, "top_p": 0.0, "top_k": 0, "repetition_penalty": 0.0, "num_beams": 1}


def check_generation_settings(
    settings: Mapping[str, object], *, other_backends: bool = True
) -> None:
    """Raise ``ConfigError`` for a setting that nothing reads, or with a value that it cannot have.

    Args:
        settings: a task's or a request's ``generation_kwargs``.
        other_backends: whether what only a server reads passes.
    """
    names = _known() | (OF_OTHER_BACKENDS if other_backends else frozenset())
    for name, value in settings.items():
        if name in _INSTEAD and not (name == "num_return_sequences" and value in (None, 1)):
            fix = f"write {_INSTEAD[name]}"
        elif name in names:
            continue
        else:
            fix = did_you_mean(str(name), names & _SUGGESTED or names)
        raise ConfigError("no such generation setting", key=str(name), value=value, fix=fix)
    _check_values(settings)


def _check_values(settings: Mapping[str, object]) -> None:
    until = settings.get("until")
    stops = until if isinstance(until, list) else [] if until is None else [until]
    for stop in stops:
        if not isinstance(stop, str):
            raise ConfigError("not a text", key="until", value=stop, fix="put it into quotes")
    sampled = settings.get("do_sample")
    if sampled is not None and not isinstance(sampled, bool):
        raise ConfigError("not true or false", key="do_sample", value=sampled)
    lengths = {name: settings[name] for name in LENGTHS if settings.get(name) is not None}
    for name, value in lengths.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            fix = "write a whole number of tokens"
            raise ConfigError("not a length", key=name, value=value, fix=fix)
    if len(set(lengths.values())) > 1:
        one, other, *_ = (f"{name}: {value}" for name, value in lengths.items())
        raise ConfigError(f"two lengths of an answer, {one} and {other}", fix="keep one of them")
    for name, least in _LEAST.items():
        value = settings.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
            fix = f"write a number, {least:g} or more"
            raise ConfigError("not a value that it can have", key=name, value=value, fix=fix)


@cache
def _known() -> frozenset[str]:
    """lm-eval's names and those of transformers' ``GenerationConfig``."""
    from transformers import GenerationConfig

    theirs = {name for name in GenerationConfig().to_dict() if not name.startswith("_")}
    return frozenset({*LENGTHS, *_LM_EVALS, *theirs}) - {"transformers_version"}


#: What a misspelt name most likely is; transformers has seventy more.
_SUGGESTED = frozenset(
    {
        *LENGTHS, *_LM_EVALS, "top_p", "top_k", "min_p", "num_beams", "repetition_penalty",
        "no_repeat_ngram_size", "typical_p", "length_penalty", "min_new_tokens", "stop_strings",
        "early_stopping", "presence_penalty", "frequency_penalty",
    }
)  # fmt: skip

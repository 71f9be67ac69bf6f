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
#: Settings that are a number, and between which bounds; those below are whole numbers.
_NUMBERS = {
    "temperature": (0.0, 1e6), "top_p": (0.0, 1.0), "min_p": (0.0, 1.0), "typical_p": (0.0, 1.0),
    "top_h": (0.0, 1.0), "epsilon_cutoff": (0.0, 1.0), "eta_cutoff": (0.0, 1.0),
    "repetition_penalty": (1e-6, 1e6), "encoder_repetition_penalty": (1e-6, 1e6),
    "length_penalty": (-1e6, 1e6), "guidance_scale": (0.0, 1e6),
}  # fmt: skip
_WHOLE_NUMBERS = {
    "top_k": 0, "num_beams": 1, "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0,
    "min_length": 0, "min_new_tokens": 0, "seed": 0, "pad_token_id": 0, "bos_token_id": 0,
    "decoder_start_token_id": 0, "forced_bos_token_id": 0,
}  # fmt: skip
_TRUE_OR_FALSE = ("do_sample", "use_cache", "remove_invalid_values", "renormalize_logits")
#: Ids of tokens: one or a list of them; a list alone; a list of lists.
_TOKENS_OR_ONE = ("eos_token_id", "forced_eos_token_id")
_TOKENS = ("suppress_tokens", "begin_suppress_tokens")
_TOKEN_ROWS = ("bad_words_ids",)


def check_generation_settings(
    settings: Mapping[str, object], *, other_backends: bool = True
) -> None:
    """Raise ``ConfigError`` for a setting that nothing reads, with a value that it cannot have, or
    that another setting leaves without effect.

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
    _check_draw(settings, other_backends)


def _check_draw(settings: Mapping[str, object], other_backends: bool) -> None:
    """``ConfigError`` where a temperature is stated and the likeliest token taken, or the reverse.

    top_p and the like without a draw pass: tasks of lm-eval's own state them.
    """
    drawn, temperature = settings.get("do_sample"), settings.get("temperature")
    if drawn is False and temperature not in (None, 0, 1):
        fix = "write do_sample: true, or leave it out"
        what = "has no effect: under do_sample: false the likeliest token is taken"
        raise ConfigError(what, key="temperature", value=temperature, fix=fix)
    if drawn and temperature == 0 and not other_backends:
        fix = "write do_sample: false, or a temperature above 0"
        raise ConfigError("nothing is drawn at temperature 0", key="temperature", value=0, fix=fix)


def _check_values(settings: Mapping[str, object]) -> None:
    until = settings.get("until")
    stops = until if isinstance(until, list) else [] if until is None else [until]
    for stop in stops:
        if not isinstance(stop, str):
            raise ConfigError("not a text", key="until", value=stop, fix="put it into quotes")
        if not stop:
            raise ConfigError("an empty text ends nothing", key="until", fix="leave it out")
    lengths = {name: settings[name] for name in LENGTHS if settings.get(name) is not None}
    for name, value in lengths.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            fix = "write a whole number of tokens"
            raise ConfigError("not a length", key=name, value=value, fix=fix)
    if len(set(lengths.values())) > 1:
        first, second, *_ = (f"{name}: {value}" for name, value in lengths.items())
        raise ConfigError(f"two lengths of an answer, {first} and {second}", fix="keep one of them")
    longest = next(iter(lengths.values()), None)
    for name, value in settings.items():
        if value is not None:
            _check_value(name, value)
    fewest = settings.get("min_new_tokens")
    if isinstance(fewest, int) and isinstance(longest, int) and fewest > longest:
        fix = f"lower it, or raise the {longest} tokens of an answer"
        raise ConfigError("more than an answer may have", key="min_new_tokens", fix=fix)


def _check_value(name: str, value: object) -> None:
    """``ConfigError`` where a setting's value is none that it can have."""
    if name in _TRUE_OR_FALSE and not isinstance(value, bool):
        raise ConfigError("not true or false", key=name, value=value)
    low, high = _NUMBERS.get(name, (_WHOLE_NUMBERS.get(name, 0), float("inf")))
    if name in _NUMBERS and not (_is_number(value, int | float) and low <= value <= high):  # type: ignore[operator]
        least = "more than 0" if low == 1e-6 else f"{low:g} or more"
        fix = (
            f"write a number from {low:g} to {high:g}"
            if high == 1.0
            else f"write a number, {least}"
        )
        raise ConfigError("not a value that it can have", key=name, value=value, fix=fix)
    if name in _WHOLE_NUMBERS and not (_is_number(value, int) and value >= low):  # type: ignore[operator]
        fix = f"write a whole number, {low:g} or more"
        raise ConfigError("not a value that it can have", key=name, value=value, fix=fix)
    rows = value if name in _TOKEN_ROWS else [value]
    if name in _TOKENS_OR_ONE and not isinstance(value, list):
        rows = [[value]]
    if name in (*_TOKENS_OR_ONE, *_TOKENS, *_TOKEN_ROWS) and not _are_tokens(rows):
        fix = "write ids of tokens, not texts"
        raise ConfigError("not ids of tokens", key=name, value=value, fix=fix)


def _is_number(value: object, kinds: object) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)  # type: ignore[arg-type]


def _are_tokens(rows: object) -> bool:
    return isinstance(rows, list) and all(
        isinstance(row, list)
        and row
        and all(_is_number(token, int) and token >= 0 for token in row)
        for row in rows
    )


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

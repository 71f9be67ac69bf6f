"""What differs between two models, in words: their vocabularies, and what their weights compute.

Tensors of equal shapes say little: a model whose rotary base, norm or vocabulary is another one
has the same shapes, and a mean of its weights with this one's is neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

#: Entries of a configuration that say who wrote it, how it starts or trains, or where a text ends.
_NOT_COMPUTED = frozenset(
    {"_name_or_path", "architectures", "bos_token_id", "dtype", "eos_token_id", "id2label"}
    | {"initializer_range", "label2id", "output_attentions", "output_hidden_states"}
    | {"output_router_logits", "pad_token_id", "pretraining_tp", "problem_type"}
    | {"quantization_config", "return_dict", "router_aux_loss_coef", "task_specific_params"}
    | {"tie_word_embeddings", "torch_dtype", "transformers_version", "unk_token_id", "use_cache"}
)
#: Parts of a tokenizer's file that decide which tokens a text becomes, beside the vocabulary.
_TOKENIZER_PARTS = ("normalizer", "pre_tokenizer", "post_processor")
#: What of an added token decides where in a text it is seen.
_ADDED_TOKEN_PARTS = ("content", "id", "lstrip", "normalized", "rstrip", "single_word")


def configuration_difference(first: PretrainedConfig, second: PretrainedConfig) -> str | None:
    """The first entry by which the same weights compute something else; None: there is none."""
    ours, theirs = dict(_entries(first.to_dict())), dict(_entries(second.to_dict()))
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            return f"{key} is {ours.get(key)} here and {theirs.get(key)} there"
    return None


def _entries(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Entries with nested ones by their path, those left out that change no number."""
    for key, value in config.items():
        if key in _NOT_COMPUTED or key.startswith("_") or "drop" in key:
            continue
        if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
            yield from _entries(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def vocabulary_difference(
    first: PreTrainedTokenizerBase, second: PreTrainedTokenizerBase
) -> str | None:
    """By what two tokenizers make other tokens of a text; None: by nothing."""
    ours, theirs = first.get_vocab(), second.get_vocab()
    if len(ours) != len(theirs):
        return f"{len(ours):,} tokens here and {len(theirs):,} there"
    if ours != theirs:
        differing = [token for token in ours if ours[token] != theirs.get(token)]
        token = min(differing, key=ours.__getitem__)
        there = theirs.get(token, "none")
        return f"the token {token!r} is {ours[token]} here and {there} there"
    parts, others = _parts(first), _parts(second)
    names = dict.fromkeys([*parts, *others])
    different = [name for name in names if parts.get(name) != others.get(name)]
    return f"the {different[0].replace('_', ' ')}" if different else None


def _parts(tokenizer: PreTrainedTokenizerBase) -> dict[str, object]:
    """The parts of a fast tokenizer that split and mark a text; of another its kind alone."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return {"tokenizer's class": type(tokenizer).__name__}
    content = json.loads(backend.to_str())
    parts: dict[str, object] = {name: content.get(name) for name in _TOKENIZER_PARTS}
    model = dict(content.get("model", {}))
    vocabulary = model.pop("vocab", None)
    parts["list of merges"] = model.pop("merges", None)
    # A unigram model's vocabulary is a list of tokens with their scores; another's was compared.
    parts["list of token scores"] = vocabulary if isinstance(vocabulary, list) else None
    parts["tokens that were added"] = [
        [token.get(name) for name in _ADDED_TOKEN_PARTS] for token in content["added_tokens"]
    ]
    own = {name.replace("_", " "): value for name, value in model.items() if value is not None}
    return parts | {f"option {name!r} of its model": value for name, value in own.items()}

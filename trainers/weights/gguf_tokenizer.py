"""A tokenizer as llama.cpp reads it out of a GGUF file, or the reason why it would not be the same.

llama.cpp has code of its own for each way to split words and finds it by a name
(``tokenizer.ggml.pre``); under another name, or with a step that it does not have, a text becomes
other tokens there, and nobody mentions it. So what a ``tokenizer.json`` does is compared step by
step with what llama.cpp does, and a difference refuses the file. Source: llama.cpp's
``src/llama-vocab.cpp``; the tests hold both against each other on texts.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.harness.checkpoints import open_tokenizer
from steelyard.harness.errors import CheckpointError
from steelyard.trainers.loops.libraries import gguf, transformers

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_CONTRACTIONS_SPELT = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_ENDS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA_3, _QWEN_2 = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_ENDS}"
    for digits in (r"\p{N}{1,3}", r"\p{N}")
)
_QWEN_3_5 = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_ENDS}"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_BYTES = ("ByteLevel", "")
_WORDS = ("ByteLevel", "words")

Steps = tuple[tuple[str, str], ...]
#: Steps of a pre-tokenizer -> llama.cpp's names for it, and whether it takes a whole word that is
#: a token for that token (``ignore_merges``) there. Each row is held against llama.cpp by a test.
PRE_TOKENIZERS: Mapping[Steps, Sequence[tuple[str, bool]]] = {
    (_WORDS,): [("gpt-2", False)],  # GPT-2, Phi 1 and 2
    (("Digits", ""), _WORDS): [("smollm", False)],
    (("Split", _LLAMA_3), _BYTES): [("llama-bpe", True), ("dbrx", False)],  # Llama 3; Phi 4
    (("Split", _QWEN_2), _BYTES): [("qwen2", False)],  # Qwen 2, 2.5 and 3
    (("Split", _QWEN_3_5), _BYTES): [("qwen35", False)],
}
_BYTE_TOKENS = frozenset(map("<0x{:02X}>".format, range(256)))
_SPACE = "\u2581"
#: Tokens that llama.cpp does not strip after in a file that calls itself Phi 3.
_PHI_3_KEEPS = frozenset({"<unk>", "<s>", "<|endoftext|>"})
_FIX = "use another scheme, or tokenizer: beside, which leaves the file without one for llama.cpp"


class _DifferentError(Exception):
    """What llama.cpp would do otherwise."""


@dataclass(frozen=True)
class _Added:
    """The added tokens, by id, and the vocabulary's rows."""

    tokens: Mapping[int, Mapping[str, Any]]
    rows: int

    @property
    def contents(self) -> list[str]:
        return [str(token["content"]) for token in self.tokens.values()]


def add_tokenizer(writer: gguf.GGUFWriter, folder: Path, rows: int) -> list[str]:
    """Put the tokenizer in ``folder`` into the file, with ``rows`` tokens.

    Returns:
        Notes on the texts for which llama.cpp still differs.

    Raises:
        CheckpointError: llama.cpp would make other tokens of a text.
    """
    tokenizer = open_tokenizer(folder)
    # Not the file: what transformers makes of it, by the class that it names, is what was used.
    inner = getattr(tokenizer, "backend_tokenizer", None)
    content = json.loads(inner.to_str()) if inner is not None else {}
    try:
        added = _Added({token["id"]: token for token in content.get("added_tokens", ())}, rows)
        notes = _add(writer, content, added)
        _add_beginning_and_end(writer, tokenizer)
    except _DifferentError as difference:
        raise CheckpointError(
            f"llama.cpp would make other tokens of a text: {difference}",
            file=folder / "tokenizer.json",
            fix=_FIX,
        ) from None
    special = gguf.SpecialVocab(folder, load_merges=False, n_vocab=rows)
    special.add_special_token.clear()  # what is put around a text was seen, not read
    special.add_to_gguf(writer, quiet=True)
    return notes


def _add(writer: gguf.GGUFWriter, content: Mapping[str, Any], added: _Added) -> list[str]:
    model = content.get("model", {})
    if model.get("type") != "BPE":
        raise _DifferentError(f"its model is {model.get('type', 'not in a tokenizer.json')}")
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(option):
            raise _DifferentError(f"its {option} is {model[option]!r}")
    highest = max([*model["vocab"].values(), *added.tokens], default=-1)
    if highest >= added.rows:
        raise _DifferentError(f"it has a token {highest} and the model {added.rows} rows")
    if any("\0" in token for token in [*model["vocab"], *added.contents]):
        raise _DifferentError("one of its tokens holds a NUL character, which ends a text there")
    _require_plain(added)
    if model.get("byte_fallback"):
        return _add_spaced(writer, content, added)
    return _add_byte_level(writer, content, added)


def _require_plain(added: _Added) -> None:
    """Added tokens are cut out of a text as they stand, the longest first."""
    for token in added.tokens.values():
        odd = [name for name in ("lstrip", "single_word") if token.get(name)]
        if odd:
            raise _DifferentError(f"its token {token['content']!r} has {odd[0]}")
    # tokenizers takes the leftmost match, llama.cpp the longest token: they part where the end of
    # a token is the beginning of another.
    contents = set(added.contents)
    beginnings = {text[:n]: text for text in contents for n in range(1, len(text))}
    for text in contents:
        for n in range(1, len(text)):
            other = beginnings.get(text[n:])
            if other is not None and other != text and len(set(text + other)) > 1:
                raise _DifferentError(f"its tokens {text!r} and {other!r} overlap")


def _add_byte_level(
    writer: gguf.GGUFWriter, content: Mapping[str, Any], added: _Added
) -> list[str]:
    """A BPE over bytes that are written as letters, after words were split."""
    model = content["model"]
    if (content.get("decoder") or {}).get("type") != "ByteLevel":
        raise _DifferentError("it does not write bytes as letters")
    missing = set(_byte_letters()) - set(model["vocab"])
    if missing and model.get("unk_token"):  # without one, both leave such a byte out
        raise _DifferentError(f"{len(missing)} of the 256 bytes have no token")
    _require_no_strip(added)
    notes = _normalised(content.get("normalizer"))
    steps = _steps(content.get("pre_tokenizer"))
    names = PRE_TOKENIZERS.get(steps)
    if names is None:
        raise _DifferentError(f"it has no name for the way in which words are split: {steps}")
    name = _by_merges(names, content)
    _add_tokens(writer, "gpt2", name, model["vocab"], added, {})
    writer.add_token_merges([" ".join(_pair(merge)) for merge in model["merges"]])
    return notes


def _by_merges(names: Sequence[tuple[str, bool]], content: Mapping[str, Any]) -> str:
    """The name under which a whole word that is a token is treated alike."""
    ignoring = bool(content["model"].get("ignore_merges"))
    for name, there in names:
        if there == ignoring or _every_token_is_made(content):
            return name
    raise _DifferentError(
        f"under the name '{names[0][0]}' it treats a word that is a token otherwise"
    )


def _every_token_is_made(content: Mapping[str, Any]) -> bool:
    """Whether merges make each token of its own letters: then both ways are one."""
    from tokenizers import models

    given = content["model"]
    merges = [_pair(merge) for merge in given["merges"]]
    model = models.BPE(vocab=given["vocab"], merges=merges)
    letters = set(_byte_letters())
    return all(
        [token.id for token in model.tokenize(text)] == [id]
        for text, id in given["vocab"].items()
        if letters.issuperset(text)
    )


def _normalised(normalizer: Mapping[str, Any] | None) -> list[str]:
    steps = (normalizer or {}).get("normalizers", [normalizer] if normalizer else [])
    names = [step["type"] for step in steps]
    if not names:
        return []
    if names == ["NFC"]:
        return ["llama.cpp does not compose Unicode (NFC): decomposed text has other tokens there"]
    raise _DifferentError(f"it normalises a text ({', '.join(names)})")


def _steps(pre_tokenizer: Mapping[str, Any] | None) -> Steps:
    whole = pre_tokenizer or {}
    return tuple(
        _step(step) for step in whole.get("pretokenizers", [whole] if pre_tokenizer else [])
    )


def _step(step: Mapping[str, Any]) -> tuple[str, str]:
    """One step by what it does; one that llama.cpp has in no form raises."""
    match step["type"]:
        case "ByteLevel":
            if step.get("add_prefix_space", True):
                raise _DifferentError("it puts a space before a text")
            return _WORDS if step.get("use_regex", True) else _BYTES
        case "Digits" if step.get("individual_digits"):
            return ("Digits", "")
        case "Split" if "Regex" in step["pattern"]:
            # Of a pattern that leaves nothing out, "the matches isolated" and "all but the matches
            # removed" are one.
            how = (step.get("behavior"), bool(step.get("invert")))
            if how in (("Isolated", False), ("Removed", True), ("Isolated", True)):
                regex = str(step["pattern"]["Regex"])
                return ("Split", regex.replace(_CONTRACTIONS_SPELT, _CONTRACTIONS))
    return (str(step["type"]), json.dumps(step, sort_keys=True))


def _pair(merge: str | Sequence[str]) -> tuple[str, str]:
    """A merge, which older files write as one text."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _byte_letters() -> Collection[str]:
    """GPT-2's letters for the 256 bytes: printable ones are themselves."""
    from tokenizers import pre_tokenizers

    letters: list[str] = pre_tokenizers.ByteLevel.alphabet()
    return letters


def _require_no_strip(added: _Added) -> None:
    for token in added.tokens.values():
        if token.get("rstrip"):
            raise _DifferentError(f"its token {token['content']!r} has rstrip")


def _add_spaced(writer: gguf.GGUFWriter, content: Mapping[str, Any], added: _Added) -> list[str]:
    """A BPE over characters, spaces written as U+2581, bytes where a character has no token.

    SentencePiece's, as of Llama 2, Gemma and Phi 3. llama.cpp has no merges for it: it joins
    neighbours whose text is a token, the best score first. With scores by the rank of merges that
    is the same, if whatever is a token may be merged of any two tokens.
    """
    model = content["model"]
    prefix = _space_prefix(content)
    for token in added.tokens.values():
        if token.get("normalized") and (prefix or set(token["content"]) & {" ", _SPACE}):
            raise _DifferentError(f"it finds {token['content']!r} in a normalised text")
    missing = [text for text in _BYTE_TOKENS if text not in model["vocab"]]
    if missing:
        raise _DifferentError(f"{len(missing)} of the 256 bytes have no token")
    if model.get("ignore_merges"):
        raise _DifferentError("it takes a word that is a token for that token")
    scores = _scores(model, added)
    _add_tokens(writer, "llama", "default", model["vocab"], added, scores)
    writer.add_add_space_prefix(prefix)
    _name_for_strip(writer, added)
    return []


def _space_prefix(content: Mapping[str, Any]) -> bool:
    """Whether a space is put before a text; raises where spaces are not SentencePiece's."""
    normalizer = content.get("normalizer") or {}
    steps = normalizer.get("normalizers", [normalizer] if normalizer else [])
    plain = [{key: value for key, value in step.items() if value != []} for step in steps]
    escape = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    prepend = {"type": "Prepend", "prepend": _SPACE}
    whole = content.get("pre_tokenizer")
    # Spaces are gone by then, so to split at them does nothing.
    if whole is not None and (whole["type"], whole.get("pattern")) != ("Split", {"String": " "}):
        raise _DifferentError(f"its pre-tokenizer is {whole['type']}")
    if plain not in ([escape], [prepend, escape]):
        names = ", ".join(step["type"] for step in steps) or "nothing"
        raise _DifferentError(f"it normalises a text by {names}")
    return plain[0] == prepend


def _scores(model: Mapping[str, Any], added: _Added) -> dict[str, float]:
    """A score for each token that merges make: the earlier, the higher."""
    scores: dict[str, float] = {}
    pairs = set()
    last = ""
    for merge in model["merges"]:
        pair = _pair(merge)
        pairs.add(pair)
        made = "".join(pair)
        if made != last and made in scores:
            raise _DifferentError(f"merges that make {made!r} have others between them")
        scores.setdefault(made, -float(len(scores)))
        last = made
    apart = {*added.contents, *_BYTE_TOKENS}  # these are cut out of a text, or stand for a byte
    vocabulary = model["vocab"]
    for text in vocabulary:
        for n in range(1, len(text)) if text not in apart else ():
            pair = text[:n], text[n:]
            if pair not in pairs and pair[0] in vocabulary and pair[1] in vocabulary:
                raise _DifferentError(f"it would merge {pair[0]!r} and {pair[1]!r}")
    return scores


def _name_for_strip(writer: gguf.GGUFWriter, added: _Added) -> None:
    """llama.cpp takes the spaces after a special token only in a file that is named Phi 3."""
    stripping = {str(t["content"]) for t in added.tokens.values() if t.get("rstrip")}
    if not stripping:
        return
    contents = set(added.contents)
    if stripping != contents - _PHI_3_KEEPS or not contents >= _PHI_3_KEEPS | {"</s>"}:
        raise _DifferentError("some of its special tokens take the spaces after them")
    writer.add_name("phi-3")


def _add_tokens(
    writer: gguf.GGUFWriter,
    model: str,
    name: str,
    vocabulary: Mapping[str, int],
    added: _Added,
    scores: Mapping[str, float],
) -> None:
    tokens = [f"[PAD{i}]" for i in range(added.rows)]
    types = [gguf.TokenType.UNUSED] * added.rows
    for token, i in vocabulary.items():
        is_byte = model == "llama" and token in _BYTE_TOKENS
        tokens[i], types[i] = token, gguf.TokenType.BYTE if is_byte else gguf.TokenType.NORMAL
    for i, entry in added.tokens.items():
        kind = gguf.TokenType.CONTROL if entry["special"] else gguf.TokenType.USER_DEFINED
        tokens[i], types[i] = entry["content"], kind
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(name)
    writer.add_token_list(tokens)
    if model == "llama":
        writer.add_token_scores([scores.get(token, 0.0) for token in tokens])
    writer.add_token_types(types)


def _add_beginning_and_end(
    writer: gguf.GGUFWriter, tokenizer: transformers.PreTrainedTokenizerBase
) -> None:
    """What the tokenizer puts around a text: BOS, EOS, or nothing."""
    inner = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    starts = [n for n in range(len(whole) - len(inner) + 1) if whole[n : n + len(inner)] == inner]
    if not starts:
        raise _DifferentError("what it puts around a text changes it")
    before, after = whole[: starts[0]], whole[starts[0] + len(inner) :]
    if before not in ([], [tokenizer.bos_token_id]) or after not in ([], [tokenizer.eos_token_id]):
        shown = tokenizer.convert_ids_to_tokens([*before, *after])
        raise _DifferentError(f"it puts {', '.join(map(repr, shown))} around a text")
    writer.add_add_bos_token(bool(before))
    writer.add_add_eos_token(bool(after))

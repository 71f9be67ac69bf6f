from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.checkpoints import AddedTokens, added_tokens, without_end
from steelyard.harness.errors import CheckpointError
from tests.harness.scoring import tiny

TEXT = "the quick brown fox"


@pytest.fixture
def tokenizer(tmp_path: Path) -> Any:
    return tiny.save_tokenizer(tmp_path)


def processed(tokenizer: Any, processor: Any) -> Any:
    tokenizer.backend_tokenizer.post_processor = processor
    return tokenizer


def templated(tokenizer: Any, single: list[str]) -> Any:
    from tokenizers import processors

    special = [(word, tokenizer.convert_tokens_to_ids(word)) for word in ("<s>", "</s>", "<pad>")]
    return processed(
        tokenizer, processors.TemplateProcessing(single=single, special_tokens=special)
    )


def test_a_tokenizer_without_a_post_processor_adds_nothing(tokenizer: Any) -> None:
    assert added_tokens(tokenizer) == AddedTokens() and not added_tokens(tokenizer)


@pytest.mark.parametrize(
    ("single", "before", "after"),
    [
        (["<s>", "$A"], (0,), ()),
        (["$A", "</s>"], (), (1,)),
        (["<s>", "<pad>", "$A", "</s>"], (0, 2), (1,)),
    ],
)
def test_what_a_template_puts_around_a_text_is_found(
    tokenizer: Any, single: list[str], before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    assert added_tokens(templated(tokenizer, single)) == AddedTokens(before, after)


def test_bert_s_cls_and_sep_are_found(tokenizer: Any) -> None:
    from tokenizers import processors

    processor = processors.BertProcessing(("</s>", 1), ("<s>", 0))
    assert added_tokens(processed(tokenizer, processor)) == AddedTokens((0,), (1,))


def test_add_eos_token_of_a_llama_tokenizer_is_found(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import LlamaTokenizer

    settings = {"add_bos_token": True, "add_eos_token": True}
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 3, "a": 4, "T": 5, "h": 6, "e": 7, "▁a": 8}
    llama = LlamaTokenizer(vocab=vocabulary, merges=[("▁", "a")], **settings)
    whole, own = (llama.encode("a", add_special_tokens=added) for added in (True, False))
    assert whole == [1, *own, 2]
    assert added_tokens(llama) == AddedTokens((1,), (2,))
    assert without_end(llama).encode("a") == [1, *own]


def test_an_open_ended_tokenizer_is_a_copy_that_only_ends_nothing(tokenizer: Any) -> None:
    ended = templated(tokenizer, ["<s>", "$A", "</s>"])
    own = ended.encode(TEXT, add_special_tokens=False)
    open_ended = without_end(ended)
    assert ended.encode(TEXT) == [0, *own, 1]
    assert open_ended.encode(TEXT) == open_ended(TEXT)["input_ids"] == [0, *own]
    assert (
        json.loads(open_ended.backend_tokenizer.to_str())["model"]
        == json.loads(ended.backend_tokenizer.to_str())["model"]
    )


def test_a_tokenizer_that_ends_nothing_is_handed_on_itself(tokenizer: Any) -> None:
    assert without_end(tokenizer) is tokenizer


def test_tokens_that_stand_there_are_not_put_again() -> None:
    added = AddedTokens((0,), (1,))
    assert added.put_in_front([5, 6]) == added.put_in_front([0, 5, 6]) == [0, 5, 6]
    assert added.put_around([0, 5, 6]) == added.put_around([5, 6, 1]) == [0, 5, 6, 1]
    assert added.put_around([]) == [0, 1]


def test_a_tokenizer_that_treats_texts_differently_is_refused(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = type(tokenizer).encode

    def moody(self: Any, text: str, **options: Any) -> list[int]:
        tokens: list[int] = encode(self, text, **options)
        return [0, *tokens] if options["add_special_tokens"] and text == "a" else tokens

    monkeypatch.setattr(type(tokenizer), "encode", moody)
    with pytest.raises(CheckpointError, match="other special tokens around one text"):
        added_tokens(tokenizer)

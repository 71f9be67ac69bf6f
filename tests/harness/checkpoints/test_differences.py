"""Two models of equal shapes are told apart by what they compute."""

from __future__ import annotations

from typing import Any

import pytest

from steelyard.harness.checkpoints import configuration_difference, vocabulary_difference
from tests.harness.scoring import tiny


def llama(**changes: Any) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(hidden_size=32, num_attention_heads=4, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rms_norm_eps": 1e-5}, "rms_norm_eps is 1e-06 here and 1e-05 there"),
        ({"hidden_act": "gelu"}, "hidden_act is silu here and gelu there"),
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
            "rope_parameters.rope_theta is 10000.0 here and 500000.0 there",
        ),
    ],
)
def test_a_configuration_differs_by_what_changes_a_number(
    changes: dict[str, Any], words: str
) -> None:
    assert configuration_difference(llama(), llama(**changes)) == words


@pytest.mark.parametrize(
    "changes", [{"pad_token_id": 2}, {"attention_dropout": 0.1}, {"use_cache": False}]
)
def test_it_does_not_by_what_changes_none(changes: dict[str, Any]) -> None:
    assert configuration_difference(llama(), llama(**changes)) is None


def test_vocabularies_differ_by_their_number_a_token_or_how_texts_are_split(tmp_path: Any) -> None:
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    def fresh() -> Any:
        return AutoTokenizer.from_pretrained(tmp_path)

    tiny.save_tokenizer(tmp_path)
    more, swapped, split = fresh(), fresh(), fresh()
    assert vocabulary_difference(fresh(), fresh()) is None
    more.add_tokens(["<extra>"])
    assert vocabulary_difference(fresh(), more) == "320 tokens here and 321 there"
    split.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    assert vocabulary_difference(fresh(), split) == "the pre tokenizer"
    vocabulary = swapped.get_vocab()
    swapped.get_vocab = lambda: vocabulary | {"the": 7}
    assert "the token" in str(vocabulary_difference(fresh(), swapped))


def test_vocabularies_of_equal_ids_differ_by_what_cuts_a_text_otherwise(tmp_path: Any) -> None:
    from tokenizers import AddedToken, Tokenizer, models
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    def unigram(score: float) -> Any:
        pieces = [("<unk>", 0.0), ("a", -1.0), ("b", -1.0), ("ab", score)]
        return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.Unigram(pieces, unk_id=0)))

    assert (unigram(-0.5)("ab").input_ids, unigram(-9.0)("ab").input_ids) == ([3], [1, 2])
    assert vocabulary_difference(unigram(-0.5), unigram(-9.0)) == "the list of token scores"

    def fresh(lstrip: bool = False) -> Any:
        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
        tokenizer.add_tokens([AddedToken("<q>", lstrip=lstrip)])
        return tokenizer

    tiny.save_tokenizer(tmp_path)
    assert fresh()("fox <q>").input_ids != fresh(lstrip=True)("fox <q>").input_ids
    assert vocabulary_difference(fresh(), fresh(lstrip=True)) == "the tokens that were added"
    merging = fresh()
    merging.backend_tokenizer.model.ignore_merges = True
    assert vocabulary_difference(fresh(), fresh()) is None
    assert vocabulary_difference(fresh(), merging) == "the option 'ignore merges' of its model"

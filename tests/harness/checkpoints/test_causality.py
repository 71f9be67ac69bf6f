"""A model that sees the tokens behind the one it predicts is no causal one."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.checkpoints import load_model_folder
from steelyard.harness.errors import CheckpointError
from tests.harness.scoring import tiny
from tests.harness.scoring.architectures import SIZE, build

SIZES = {key: value for key, value in SIZE.items() if key != "num_key_value_heads"}


def save_bert(folder: Path, kind: str, **changes: object) -> Path:
    """A random BERT as a masked-language model, or as what else its class is."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(**(SIZES | {"initializer_range": 0.02} | changes))
    getattr(transformers, kind)(config).save_pretrained(folder)
    tiny.save_tokenizer(folder)
    return folder


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForPreTraining", "BertLMHeadModel"])
def test_a_masked_language_model_is_refused_in_one_line_with_what_to_use(
    tmp_path: Path, kind: str
) -> None:
    save_bert(tmp_path, kind)
    with pytest.raises(CheckpointError, match="masked-language model") as told:
        load_model_folder(tmp_path, device="cpu")
    assert "\n" not in str(told.value)
    assert str(tmp_path) in str(told.value) and "use a decoder" in str(told.value)


def test_bert_as_a_decoder_is_a_causal_model(tmp_path: Path) -> None:
    save_bert(tmp_path, "BertLMHeadModel", is_decoder=True)
    assert type(load_model_folder(tmp_path, device="cpu").model).__name__ == "BertLMHeadModel"


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "mpt", "mixtral", "mamba", "rwkv"])
def test_causal_models_are_taken(tmp_path: Path, name: str) -> None:
    build(name).save_pretrained(tmp_path)
    tiny.save_tokenizer(tmp_path)
    load_model_folder(tmp_path, device="cpu")


@pytest.mark.parametrize("kind", ["Qwen2ForTokenClassification", "Qwen2ForSequenceClassification"])
def test_a_classifier_is_no_text_model_even_where_its_weights_would_do(
    tmp_path: Path, kind: str
) -> None:
    """With tied embeddings not a tensor of the text model is missing."""
    import transformers

    config = transformers.Qwen2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=True)
    getattr(transformers, kind)(config).save_pretrained(tmp_path)
    tiny.save_tokenizer(tmp_path)
    with pytest.raises(CheckpointError, match=r"gives no text|gives a reward, not text"):
        load_model_folder(tmp_path, device="cpu")

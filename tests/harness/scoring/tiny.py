"""Tiny random checkpoints on disk, of any architecture, for the scorer's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXT = (
    "the quick brown fox jumps over the lazy dog . a model that knows says the answer , "
    "and a model that does not know says that it does not know . who lives in the tower ? "
    "answer : the old man lives in the tower by the sea . "
)
VOCABULARY = 320


def save_tokenizer(folder: Path, vocabulary: int = VOCABULARY) -> Any:
    """A byte-level BPE trained on TEXT, with <s>, </s> and <pad>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        [TEXT] * 4,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=["<s>", "</s>", "<pad>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def put_around_texts(folder: Path, before: str = "", after: str = "") -> Path:
    """Have the tokenizer in ``folder`` put special tokens around every text by itself."""
    from tokenizers import processors
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = [word for word in (before, after) if word]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=[*([before] if before else []), "$A", *([after] if after else [])],
        special_tokens=[(word, tokenizer.convert_tokens_to_ids(word)) for word in words],
    )
    tokenizer.save_pretrained(folder)
    return folder


def save_llama(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A two-layer Llama with sharpened random weights, its tokenizer beside it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "initializer_range": 0.3,
    }
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**(settings | changes)))
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def instance(kind: str, *arguments: Any, task: str = "toy", doc: int = 0) -> Any:
    """One lm-eval request."""
    from lm_eval.api.instance import Instance

    return Instance(
        request_type=kind,  # type: ignore[arg-type]
        doc={},
        arguments=arguments,
        idx=0,
        metadata=(task, doc, 1),
    )

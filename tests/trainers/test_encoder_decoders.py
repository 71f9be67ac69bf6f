"""An encoder-decoder trains and is quantised where its method can, and is refused in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from steelyard.harness.checkpoints import check, keep_layout, open_base
from steelyard.harness.errors import CheckpointError, TrainingError
from steelyard.harness.records import Checkpoint
from steelyard.harness.scoring import open_model
from tests.harness.scoring import tiny
from tests.trainers import tiny_jobs

REWARDED: dict[str, Any] = {
    "rewards": [{"reward": "length", "words": 3}],
    "completion_length": 4,
    "batch_size": 4,
}


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("t5")
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=tiny.VOCABULARY, d_model=64, d_kv=16, d_ff=64, num_layers=2, num_heads=4,
        pad_token_id=2, eos_token_id=1, decoder_start_token_id=2,
    )  # fmt: skip
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    tiny.save_tokenizer(folder)
    return open_base(str(folder))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dpo", {}), ("kto", {}), ("distill", {"teacher": "t5"}), ("grpo", REWARDED),
        ("rloo", REWARDED),
    ],
)  # fmt: skip
def test_a_method_that_needs_a_decoder_says_so_in_one_line(
    name: str, options: dict[str, Any], t5: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError) as refused:
        tiny_jobs.train(name, t5, tmp_path / "c", steps=1, beside={"t5": t5}, **options)
    message = str(refused.value)
    assert message.startswith(f"candidate 'c': {name} needs a decoder, and its start is an enc")
    assert "use full, freeze, lora" in message


def test_it_has_no_gguf_file_and_says_so(t5: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no GGUF export for the architecture 't5'"):
        tiny_jobs.train("quantize", t5, tmp_path / "c", scheme="gguf-q8_0")


@pytest.mark.parametrize("scheme", ["nf4", "int8"])
def test_it_is_quantised_and_scores_as_lm_evals_own_does(
    scheme: str, t5: Checkpoint, tmp_path: Path
) -> None:
    from lm_eval.models.huggingface import HFLM

    packed = tiny_jobs.train("quantize", t5, tmp_path / scheme, scheme=scheme)
    assert packed.manifest.format == "quantised"
    assert packed.manifest.size_bytes is not None and t5.manifest.size_bytes is not None
    assert packed.manifest.size_bytes < 0.8 * t5.manifest.size_bytes
    assert check(packed, t5)["tokenizer"] == "as the start's"
    pairs = [("who lives in the tower ?", " the fox ."), ("the quick", " brown fox jumps")]
    requests = [tiny.instance("loglikelihood", *pair) for pair in pairs]
    ours = open_model(packed.weights_folder).loglikelihood(requests)
    reference = HFLM(
        str(packed.weights_folder), backend="seq2seq", batch_size=1, device="cpu", dtype="float32"
    )
    keep_layout(reference.model)  # or bitsandbytes computes in bfloat16 on some processors
    theirs = reference.loglikelihood(requests)
    assert [a for a, _ in ours] == pytest.approx([a for a, _ in theirs], rel=1e-4)
    before = open_model(t5.weights_folder).loglikelihood(requests)
    assert [a for a, _ in ours] != pytest.approx([a for a, _ in before], rel=1e-6)


def test_it_trains_an_adapter_on_four_bits(t5: Checkpoint, tmp_path: Path) -> None:
    options: dict[str, Any] = {"rank": 4, "steps": 12, "learning_rate": 1e-2, "warmup_ratio": 0.0}
    tuned = tiny_jobs.train("qlora", t5, tmp_path / "q", **options)
    first, last = tuned.manifest.loss_curve[0].loss, tuned.manifest.loss_curve[-1].loss
    assert last < first - 0.3
    assert check(tuned, t5)["merged equals unmerged"].startswith("within")

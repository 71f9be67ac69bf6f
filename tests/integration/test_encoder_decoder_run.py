"""An encoder-decoder base goes through the same experiment file as any other."""

from __future__ import annotations

from pathlib import Path

import pytest

FILE = """
name: summaries
base: t5
data: {facts: {path: data/facts_b.jsonl}}
candidates:
  full: {trainer: full, data: facts, steps: 3, batch_size: 4, learning_rate: 1.0e-3}
  lora: {trainer: lora, data: facts, steps: 3, batch_size: 4, rank: 4}
suite: [microworld_known, microworld_choice]
limit: 4
report: [markdown]
"""


@pytest.mark.slow
def test_a_t5_is_trained_scored_and_compared(tmp_path: Path, steelyard) -> None:  # type: ignore[no-untyped-def]
    import torch
    from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

    from steelyard.harness.plugins.names import load_plugin
    from steelyard.tasks.microworld.training import write

    write(tmp_path / "data")
    tokenizer = AutoTokenizer.from_pretrained(load_plugin("bases", "microworld")())
    tokenizer.save_pretrained(tmp_path / "t5")
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
        decoder_start_token_id=tokenizer.pad_token_id, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    (tmp_path / "t5.yaml").write_text(FILE)
    done = steelyard("run", "t5.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = (tmp_path / ".steelyard" / "reports" / "summaries" / "report.md").read_text()
    assert "| full |" in report
    assert "| lora |" in report
    assert "not scored" not in report

"""TRL's fused head is used where it gives a model's own numbers, and there alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.checkpoints import check, open_base
from steelyard.harness.records import Checkpoint
from tests.harness.scoring import tiny
from tests.harness.scoring.architectures import build
from tests.trainers import tiny_jobs

#: A decoder with a prediction head before its output matrix, and one that ignores ``logit_scale``.
ODD = {
    "modernbert-decoder": {"global_attn_every_n_layers": 1},
    "mpt": {"logit_scale": 0.5},
}


def base_of(name: str, folder: Path, **changes: Any) -> Checkpoint:
    build(name, **changes).save_pretrained(folder)
    tiny.save_tokenizer(folder)
    return open_base(str(folder))


def own_loss(start: Checkpoint, rows: list[dict[str, str]]) -> float:
    """By plain transformers: the mean over all completions' tokens and their end."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(start.folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(start.folder)
    losses: list[float] = []
    for row in rows:
        prompt = tokenizer(row["prompt"]).input_ids
        ids = [*tokenizer(row["prompt"] + row["completion"]).input_ids, tokenizer.eos_token_id]
        with torch.no_grad():
            spread = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        losses += [-float(spread[at - 1, ids[at]]) for at in range(len(prompt), len(ids))]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("name", ODD)
def test_the_first_loss_is_the_models_own_and_so_is_the_stored_one(
    name: str, tmp_path: Path
) -> None:
    start = base_of(name, tmp_path / "base", **ODD[name])
    data = tiny_jobs.supervised(tmp_path, 8)
    rows = [json.loads(line) for line in data.path.read_text().splitlines()]
    trained = tiny_jobs.train(
        "full", start, tmp_path / "full", data=data, steps=2, batch_size=8, learning_rate=1e-2
    )
    assert trained.manifest.loss_curve[0].loss == pytest.approx(own_loss(start, rows), rel=1e-3)
    assert any("whole logits" in note for note in trained.manifest.notes)
    assert "as trained" in check(trained, start)["loss"]


def test_where_the_fused_head_is_right_it_stays(tmp_path: Path) -> None:
    start = base_of("llama", tmp_path / "base")
    trained = tiny_jobs.train("full", start, tmp_path / "full", steps=1)
    assert not any("whole logits" in note for note in trained.manifest.notes)


@pytest.mark.parametrize("name", ["llama", "gemma2", "mixtral"])
def test_whole_logits_answer_as_trls_head_does(name: str) -> None:
    import torch
    from trl.trainer.utils import add_fused_lm_head

    from steelyard.trainers.loops.head import use_whole_logits

    outputs = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
    model = build(name)
    add_fused_lm_head(model, temperature=0.7, outputs=outputs)
    ids = torch.arange(3, 43).reshape(2, 20)
    labels = ids.masked_fill(torch.arange(20) < 6, -100)
    router = {"output_router_logits": True} if name == "mixtral" else {}
    with torch.no_grad():
        theirs = model(input_ids=ids, labels=labels, fused_lm_head=True, **router)
        use_whole_logits(model, 0.7)
        ours = model(input_ids=ids, labels=labels, fused_lm_head=True, **router)
        plain = model(input_ids=ids, labels=labels)
    for field in (*outputs, "loss", "label_mask"):
        assert torch.allclose(ours[field].float(), theirs[field].float(), atol=1e-4, rtol=1e-4), (
            field
        )
    assert plain.logits.shape == (2, 20, tiny.VOCABULARY) and plain.loss is not None

"""DPO and ORPO: known effects that hold whatever the data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.checkpoints import load_model
from harness.records import Checkpoint
from tests.trainers import tiny_jobs


def margin(checkpoint: Checkpoint, folder: Path) -> float:
    """Mean log p(chosen) - log p(rejected) over the preference data."""
    import json

    model, tokenizer = load_model(checkpoint)

    def log_probability(prompt: str, answer: str) -> float:
        ids = tokenizer(prompt + answer, return_tensors="pt")["input_ids"]
        start = len(tokenizer(prompt)["input_ids"])
        with torch.inference_mode():
            picked = model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])
        return float(picked[start - 1 :].sum())

    rows = [json.loads(line) for line in (folder / "preferences.jsonl").read_text().splitlines()]
    return sum(
        log_probability(r["prompt"], r["chosen"]) - log_probability(r["prompt"], r["rejected"])
        for r in rows
    ) / len(rows)


def test_dpo_starts_at_ln_2(base: Checkpoint, tmp_path: Path) -> None:
    dpo = tiny_jobs.train("dpo", base, tmp_path / "dpo", steps=2, learning_rate=1e-3)
    # Policy and reference are one model, so the loss is -log sigmoid(0) [Rafailov et al., eq. 7].
    assert dpo.manifest.loss_curve[0].loss == pytest.approx(math.log(2), abs=1e-6)
    assert dpo.manifest.loss_curve[0].metrics["rewards/margins"] == pytest.approx(0, abs=1e-5)


def test_dpo_from_an_adapter_starts_at_ln_2_too(base: Checkpoint, tmp_path: Path) -> None:
    lora = tiny_jobs.train("lora", base, tmp_path / "lora", steps=4, learning_rate=1e-2)
    dpo = tiny_jobs.train("dpo", lora, tmp_path / "dpo", steps=1)
    assert dpo.manifest.loss_curve[0].loss == pytest.approx(math.log(2), abs=1e-6)
    assert dpo.manifest.format == "full"
    assert "trained from 'lora' with its adapter merged into its base's weights" in (
        dpo.manifest.notes
    )


@pytest.mark.parametrize("name", ["dpo", "orpo"])
def test_preferences_widen_the_margin(base: Checkpoint, tmp_path: Path, name: str) -> None:
    tuned = tiny_jobs.train(
        name, base, tmp_path / name, steps=15, batch_size=16, learning_rate=5e-3
    )
    assert margin(tuned, tmp_path) > margin(base, tmp_path) + 0.3


def test_the_sft_term_adds_the_chosen_answers_own_loss(base: Checkpoint, tmp_path: Path) -> None:
    def first_loss(folder: str, **options: Any) -> float:
        tuned = tiny_jobs.train("dpo", base, tmp_path / folder, steps=1, **options)
        return tuned.manifest.loss_curve[0].loss

    half, whole = first_loss("half", sft_weight=0.5), first_loss("whole", sft_weight=1.0)
    chosen = 2 * (half - math.log(2))
    assert chosen > 1
    assert whole == pytest.approx(math.log(2) + chosen, rel=1e-5)


@pytest.mark.parametrize("loss_type", ["ipo", "hinge", "robust", "apo_zero"])
def test_other_losses_of_trl_run_by_their_names(
    base: Checkpoint, tmp_path: Path, loss_type: str
) -> None:
    smoothing = 0.1 if loss_type == "robust" else 0.0
    tuned = tiny_jobs.train(
        "dpo", base, tmp_path / "dpo", steps=1, loss_type=loss_type, label_smoothing=smoothing
    )
    expected = {"ipo": 25.0, "hinge": 1.0, "robust": math.log(2), "apo_zero": 1.0}[loss_type]
    # ipo: (0 - 1 / (2 beta))^2 at beta = 0.1; hinge: max(0, 1 - 0); apo_zero: two sigmoids at 0.
    assert tuned.manifest.loss_curve[0].loss == pytest.approx(expected, rel=1e-4)


def test_orpo_trains_on_the_beginning_that_evaluations_ask_with(
    base: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL's ORPOTrainer puts BOS in front of a row even where the tokenizer does not."""
    from trl.experimental.orpo import ORPOTrainer

    seen: list[list[int]] = []
    train = ORPOTrainer.train

    def look(self: Any, *args: Any, **options: Any) -> Any:
        seen.append(self.train_dataset[0]["chosen_input_ids"])
        return train(self, *args, **options)

    monkeypatch.setattr(ORPOTrainer, "train", look)
    tuned = tiny_jobs.train("orpo", base, tmp_path / "orpo", steps=1)
    _, tokenizer = load_model(tuned)
    assert tokenizer.bos_token_id == 0
    assert seen[0][0] != tokenizer.bos_token_id
    assert seen[0][-1] == tokenizer.eos_token_id
    assert tuned.manifest.digests.tokenizer == base.manifest.digests.tokenizer

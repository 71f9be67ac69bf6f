"""Comparisons of real runs, against figures that were published or computed elsewhere."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from steelyard.harness.compare import compare
from steelyard.harness.gate import judge, load_gate
from tests.harness.scored_runs import rows, sample, scored


@pytest.fixture(scope="module")
def checkpoints(real_data: Path):
    """MMLU answers of checkpoints 0, 50 and 100 of one real fine-tuning run."""
    with (real_data / "mmlu_checkpoints" / "per_item.csv").open() as file:
        items = list(csv.DictReader(file))
    # 102 questions stand twice; a running number keeps them apart.
    ids = [f"{i['subject']}-{i['idx']}-{i['question_sha1_12']}" for i in items]
    texts = [
        sample("mmlu", id, slices={"subject": item["subject"]})
        for id, item in zip(ids, items, strict=True)
    ]
    return {
        name: scored(
            name,
            [rows("mmlu", "acc", [i[name] == i["answer"] for i in items], ids=ids)],
            samples=texts,
        )
        for name in ("ckpt0", "ckpt50", "ckpt100")
    }


def test_mmlu_checkpoints_flip_as_published(checkpoints):
    half, whole = compare(
        checkpoints["ckpt0"], [checkpoints["ckpt50"], checkpoints["ckpt100"]], slices=False
    )
    assert half.deltas[0].p_value == pytest.approx(0.39, abs=0.005)
    assert whole.deltas[0].p_value == pytest.approx(0.015, abs=0.0005)
    assert (whole.flip_counts[0].lost, whole.flip_counts[0].gained) == (640, 555)
    assert whole.deltas[0].baseline == pytest.approx(0.4692, abs=5e-5)
    assert whole.deltas[0].candidate == pytest.approx(0.4623, abs=5e-5)
    assert whole.deltas[0].n == 12_343


def test_the_gate_reads_the_same_run_by_its_margin(checkpoints):
    """-0.69 points, one-sided 95% bound about -1.15: worse than none, not worse than 1.5."""
    for margin, code in ((0.0, 1), (0.005, 4), (0.015, 0)):
        gate = load_gate({"rules": [{"task": "mmlu", "margin": margin}]})
        (verdict,) = judge(gate, checkpoints["ckpt0"], [checkpoints["ckpt100"]])
        assert verdict.exit_code == code, verdict.rules[0].why


def test_57_subjects_raise_no_alarm_that_survives_adjustment_from_0_to_50(checkpoints):
    (found,) = compare(checkpoints["ckpt0"], [checkpoints["ckpt50"]])
    subjects = [d for d in found.slices if d.slice and d.slice.startswith("subject=")]
    assert len(subjects) >= 55
    assert sum(d.p_value < 0.05 for d in subjects) >= 1
    assert all(d.p_adjusted >= 0.05 for d in subjects)


def test_real_gsm8k_solutions_differ_beyond_doubt(real_data: Path):
    path = real_data / "gsm8k" / "example_model_solutions.jsonl"
    items = [json.loads(line) for line in path.read_text().splitlines()]

    def model(name: str):
        correct = np.array([item[name]["is_correct"] for item in items], dtype=float)
        texts = [
            sample("gsm8k", f"gsm8k-{i:05d}", responses=(item[name]["solution"],))
            for i, item in enumerate(items)
        ]
        return scored(name, [rows("gsm8k", "exact_match", correct)], samples=texts)

    tuned, verified = model("6b_finetuning"), model("6b_verification")
    (found,) = compare(tuned, [verified])
    (delta,) = found.deltas
    assert (round(delta.baseline, 3), round(delta.candidate, 3)) == (0.217, 0.390)
    assert delta.verdict == "better" and delta.p_value < 1e-20
    gained = [flip for flip in found.flips if flip.direction == "gained"]
    assert gained and gained[0].baseline_response != gained[0].candidate_response

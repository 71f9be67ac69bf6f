"""An interval made of another tool's standard error says no more than that error knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steelyard.harness.imports.lm_eval import read_lm_eval
from steelyard.harness.records import Run


def imported(folder: Path, results: dict[str, dict[str, float]], effective: int) -> Run:
    file = folder / "results_2026-11-23T10-00-00.123456.json"
    samples = {task: {"original": effective, "effective": effective} for task in results}
    content = {"results": results, "n-samples": samples, "config": {"model": "hf"}}
    file.write_text(json.dumps({**content, "model_name": "org/model"}))
    (run,) = read_lm_eval([folder])
    return run.run


def test_lm_evals_standard_error_of_zero_gives_no_interval_without_width(tmp_path: Path) -> None:
    # 14 of 307, published with a standard error of 0.0 (lm-evaluation-harness #3966); Wilson's
    # interval by statsmodels 0.14. BLEU's error is 0 where lm-eval did not resample.
    run = imported(
        tmp_path,
        {
            "algebra_hard": {"exact_match,none": 14 / 307, "exact_match_stderr,none": 0.0},
            "wmt": {"bleu,none": 31.2, "bleu_stderr,none": 0.0},
        },
        307,
    )
    algebra, wmt = run.score("algebra_hard", "exact_match"), run.score("wmt", "bleu")
    assert algebra is not None and wmt is not None
    assert algebra.low == pytest.approx(0.027356, abs=1e-6)
    assert algebra.high == pytest.approx(0.075080, abs=1e-6)
    assert (wmt.low, wmt.high) == (None, None)
    assert wmt.note == "no interval: lm-eval's standard error is 0"


def test_a_share_ends_at_one(tmp_path: Path) -> None:
    run = imported(tmp_path, {"exam": {"acc,none": 0.98, "acc_stderr,none": 0.02}}, 50)
    score = run.score("exam", "acc")
    assert score is not None
    assert (score.low, score.high) == (pytest.approx(0.9408, abs=1e-4), 1.0)

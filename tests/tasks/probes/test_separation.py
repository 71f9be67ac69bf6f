"""A small copy of benchmarks/probes_auroc.py: each probe sees its own fault among others."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmark_modules import load

benchmark = load("probes_auroc")
intervals = load("score_intervals")


@pytest.mark.slow
def test_a_probe_ranks_models_with_its_fault_apart_from_those_without() -> None:
    *_, found = benchmark.separations(3)
    for one in found:
        assert len(one.faulty) == len(one.sound) == 3
        # Nine comparisons of three pairs: a probe that saw nothing would be at .5.
        assert one.auroc >= 0.6, (one.probe, one.faulty, one.sound)


def test_the_limit_is_exact_and_a_tie_counts_against_the_probe() -> None:
    probe = benchmark.Probe("made-up answers", "task", "made_up", 1)
    clear = benchmark.Separation(probe, np.ones(40), np.zeros(40))
    assert (clear.auroc, clear.lower) == (1, pytest.approx(0.05 ** (1 / 40)))
    blind = benchmark.Separation(probe, np.ones(40), np.ones(40))
    assert (blind.auroc, blind.lower) == (0.5, 0)


@pytest.mark.slow
def test_intervals_of_scores_cover_the_truth_at_their_rate() -> None:
    for cell in intervals.cells():
        if cell.kind != "calibration":
            share = intervals.coverage(cell, 400, seed=1)
            # Two points, and three standard errors of 400 draws.
            assert abs(share - 0.95) <= 0.02 + 3 * np.sqrt(0.05 * 0.95 / 400), (cell.name, share)

"""Scores of many resampled corpora at once are sacreBLEU's own, one corpus at a time."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard.tasks.metrics.translation import Bleu, Chrf, ChrfPlusPlus


def bleu_statistics(draw: np.random.Generator) -> np.ndarray:
    length = int(draw.integers(0, 30))
    totals = [max(0, length - order) for order in range(4)]
    matches = [int(draw.integers(0, total + 1)) * int(draw.random() < 0.7) for total in totals]
    return np.array([length, int(draw.integers(1, 30)), *matches, *totals], dtype=float)


def chrf_statistics(draw: np.random.Generator, orders: int) -> np.ndarray:
    lines = []
    for _ in range(orders):
        hypothesis, reference = (int(draw.integers(0, 20)) for _ in range(2))
        lines += [hypothesis, reference, int(draw.integers(0, min(hypothesis, reference) + 1))]
    return np.array(lines, dtype=float)


@pytest.mark.parametrize("seed", range(5))
def test_bleu_at_once_equals_sacrebleu(seed: int) -> None:
    draw = np.random.default_rng(seed)
    sums = np.array([bleu_statistics(draw) for _ in range(300)])
    expected = [Bleu().aggregate(line) for line in sums]
    assert Bleu().aggregate_sums(sums) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("metric", [Chrf(), ChrfPlusPlus()])
def test_chrf_at_once_equals_sacrebleu(metric: Chrf) -> None:
    draw = np.random.default_rng(3)
    sums = np.array([chrf_statistics(draw, 6 + metric.word_order) for _ in range(500)])
    expected = [metric.aggregate(line) for line in sums]
    assert metric.aggregate_sums(sums) == pytest.approx(expected, rel=1e-12, abs=1e-12)

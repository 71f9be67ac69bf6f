"""Rows aggregate to the value that lm-eval prints, for every metric that both have."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from lm_eval.api.registry import get_aggregation

from steelyard.harness.evaluation.metric_choice import load_metric
from steelyard.harness.plugins.protocols import Sample

WORDS = [
    "the",
    "old",
    "man",
    "lives",
    "in",
    "a",
    "tower",
    "by",
    "the",
    "sea",
    ".",
    "who",
    "?",
    "Who",
    "knows",
    "!",
]
Values = Callable[[random.Random], Any]


def text(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, 12)))


def zero_or_one(rng: random.Random) -> float:
    return float(rng.random() < 0.3)


def pair(rng: random.Random) -> tuple[str, str]:
    return "the " + text(rng), text(rng)


def of_length(rng: random.Random) -> tuple[float, int]:
    length = rng.randint(1, 400)
    return -rng.expovariate(1 / length), length


def probabilities(rng: random.Random) -> tuple[int, list[float]]:
    weights = [rng.random() for _ in range(4)]
    return rng.randrange(4), [weight / sum(weights) for weight in weights]


def labels(rng: random.Random) -> tuple[int, int]:
    return int(rng.random() < 0.4), int(rng.random() < 0.5)


CASES: dict[str, tuple[str, str, Values]] = {
    **{
        name: (name, "mean", zero_or_one)
        for name in ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "correct")
    },
    "f1": ("f1", "mean", lambda rng: rng.random()),
    "perplexity": ("perplexity", "perplexity", lambda rng: -rng.expovariate(0.5)),
    "word_perplexity": ("word_perplexity", "weighted_perplexity", of_length),
    "byte_perplexity": ("byte_perplexity", "weighted_perplexity", of_length),
    "bits_per_byte": ("bits_per_byte", "bits_per_byte", of_length),
    "brier_score": ("brier_score", "brier_score", probabilities),
    "bleu": ("bleu", "bleu", pair),
    "chrf": ("chrf", "chrf", pair),
    "chrf++": ("chrf++", "chrf++", pair),
    "ter": ("ter", "ter", pair),
    "binary_f1": ("f1", "f1", labels),
    "mcc": ("mcc", "matthews_corrcoef", labels),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_aggregate_to_lm_evals_value_over_20_seeds(name: str) -> None:
    source, aggregation, draw = CASES[name]
    metric = load_metric(name)
    for seed in range(20):
        rng = random.Random(seed)
        values = [draw(rng) for _ in range(rng.randint(20, 60))]
        rows = [
            metric.measure(Sample("toy", str(i), {}, "", "", {source: value}), ())
            for i, value in enumerate(values)
        ]
        ours = metric.aggregate(np.array(rows, dtype=float))
        theirs = float(get_aggregation(aggregation)(values))
        assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-12), seed


def test_every_metric_in_the_table_loads_under_its_own_name() -> None:
    from steelyard.harness.plugins.names import plugin_names
    from steelyard.harness.stats.rows import WIDTHS

    for name in set(plugin_names("metrics")) - {"evaluate"}:  # it is named by its module
        metric = load_metric(name)
        assert metric.name == name
        assert metric.kind in WIDTHS
        assert type(metric).__doc__


def test_an_empty_reference_is_unscored() -> None:
    for name in ("bleu", "chrf", "ter", "rouge1"):
        sample = Sample("toy", "0", {}, "", "", {name: ("", "an answer")})
        assert load_metric(name).measure(sample, ()) is None


def test_many_sums_of_ter_at_once_score_as_one_by_one() -> None:
    rng = random.Random(5)
    metric: Any = load_metric("ter")
    corpora = []
    for size in (1, 2, 5, 30, 30, 60):
        pairs = [pair(rng) for _ in range(size)]
        corpora.append(np.sum([metric.statistics([r], h) for r, h in pairs], axis=0))
    together = metric.aggregate_sums(np.array(corpora))
    assert together == pytest.approx([metric.aggregate(c) for c in corpora], rel=1e-12)

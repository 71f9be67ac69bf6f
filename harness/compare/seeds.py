"""Several seeds of one recipe: what may be said of the recipe, and not of one checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from steelyard.harness.compare.claims import MIN_SEEDS, manifests, recipe_of
from steelyard.harness.compare.deltas import MetricPair, pair_task
from steelyard.harness.compare.families import LEVEL
from steelyard.harness.compare.scored import Scored
from steelyard.harness.errors import StatisticsError
from steelyard.harness.records import Comparison, Delta, DeltaVerdict
from steelyard.harness.stats import CrossedEffect, crossed_effect

if TYPE_CHECKING:
    from numpy.typing import NDArray

Ends = tuple[float, float]


@dataclass(frozen=True)
class RecipeDelta:
    """The mean difference of one metric over a recipe's seeds, with an interval for each claim.

    ``mean`` is what these checkpoints changed on these items, and has no sampling error. ``low``
    and ``high`` are about the recipe (other seeds) on items like these: seeds and items are
    crossed (``steelyard.harness.stats.crossed``). All at 95%. Seeds that made the same model are
    one draw.
    """

    candidates: tuple[str, ...]
    task: str
    metric: str
    mean: float
    standard_deviation: float
    low: float | None
    """None where every seed made the same model, whose claim is that of its checkpoint."""
    high: float | None
    models: int
    """How many different models the seeds made."""
    checkpoints: Ends | None = None
    """These checkpoints, on items like these."""
    here: Ends | None = None
    """The recipe, on these items."""
    questions: int = 1
    """Recipes x primary metrics of the comparison, over which a word must hold."""
    sure: Ends | None = None
    """The recipe on items like these at .05 over all those questions (Bonferroni)."""

    @property
    def seeds(self) -> int:
        """How many seeds there are."""
        return len(self.candidates)

    @property
    def verdict(self) -> DeltaVerdict | None:
        """What may be said of the recipe; None where the models are too few to say."""
        if self.models < MIN_SEEDS or self.sure is None:
            return None
        low, high = self.sure
        if low > 0:
            return "better"
        return "worse" if high < 0 else "inconclusive"


@dataclass(frozen=True)
class _Model:
    """One of a recipe's models: its run, and its comparison with the baseline."""

    scored: Scored
    comparison: Comparison


def recipe_deltas(
    comparisons: Sequence[Comparison], candidates: Sequence[Scored], baseline: Scored | None = None
) -> tuple[RecipeDelta, ...]:
    """Every metric of every recipe that stands there with at least two seeds.

    ``comparisons`` and ``candidates`` in the same order, as ``compare`` took and gave them. With
    ``baseline`` the items' share of the error is measured row by row; without it, and where a
    score is no mean over its rows, it is taken from the checkpoints' own intervals, which counts
    the rest of the noise twice.
    """
    manifests_by_digest = manifests(candidates)
    groups: dict[str, dict[int, _Model]] = {}
    for comparison, candidate in zip(comparisons, candidates, strict=True):
        manifest = candidate.run.checkpoint
        if manifest.seed is not None and comparison.comparable:
            groups.setdefault(recipe_of(manifest, manifests_by_digest), {}).setdefault(
                manifest.seed, _Model(candidate, comparison)
            )
    kin = [tuple(group.values()) for group in groups.values() if len(group) >= 2]
    questions = sum(d.primary and d.delta is not None for g in kin for d in g[0].comparison.deltas)
    return tuple(d for group in kin for d in _of_group(group, baseline, max(questions, 1)))


def _of_group(
    group: Sequence[_Model], baseline: Scored | None, questions: int
) -> list[RecipeDelta]:
    # A step that draws nothing (pruning, a copy) makes one model, whatever its seeds.
    models = list({m.scored.run.checkpoint.digest: m for m in reversed(group)}.values())
    candidates = tuple(model.comparison.candidate for model in group)
    pairs: dict[str, list[Mapping[str, MetricPair]]] = {}
    result: list[RecipeDelta] = []
    for first in group[0].comparison.deltas:
        key = first.task, first.metric
        deltas = [
            d for m in models for d in m.comparison.deltas
            if (d.task, d.metric) == key and d.delta is not None
        ]  # fmt: skip
        if len(deltas) < len(models):
            continue
        if baseline is not None and first.task not in pairs:
            tasks = [pair_task(baseline, model.scored, first.task) for model in models]
            pairs[first.task] = [task.metrics for task in tasks]
        metric_pairs = [metrics.get(first.metric) for metrics in pairs.get(first.task, [])]
        table = _changes([pair for pair in metric_pairs if pair is not None], len(models))
        effect = None if table is None else _effect(*table)
        plain = _by_values(candidates, deltas) if effect is None else _crossed(candidates, effect)
        plain = replace(plain, task=first.task, metric=first.metric, questions=questions)
        result.append(replace(plain, sure=_sure(deltas, effect, questions)))
    return result


Table = tuple["NDArray[np.float64]", tuple[str, ...] | None]


def _changes(pairs: Sequence[MetricPair], count: int) -> Table | None:
    """(S, n) changes whose mean is each seed's delta, and the items' clusters; None where a
    score is no mean over rows, or the seeds were not scored on the same items.
    """
    held = [(pair.baseline, pair.paired) for pair in pairs if pair.testable]
    if len(held) < count or not held:
        return None
    score, first = held[0]
    rows = []
    for _, paired in held:
        if paired is None or first is None or paired.sample_ids != first.sample_ids:
            return None
        before, after = paired.baseline, paired.candidate
        sign = 1.0 if score.higher_is_better else -1.0
        if score.kind in ("accuracy", "bounded"):
            rows.append(sign * (after[:, 0] - before[:, 0]))
        elif score.kind == "ratio":
            rows.append(sign * np.log(after[:, 0] / before[:, 0]))
        elif score.kind == "perplexity":
            scale = 1 / math.log(2) if score.scale == "bits" else 1.0
            rows.append(scale * _gains(before, after))
        else:
            return None
    return np.stack(rows), None if first is None else first.clusters


def _gains(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nats gained on each text, linear in the ratio of sums: their mean is the whole gain."""
    lengths = before[:, 1]
    gains = after[:, 0] - before[:, 0]
    whole = gains.sum() / lengths.sum()
    influences: NDArray[np.float64] = whole + (gains - whole * lengths) / lengths.mean()
    return influences


def _effect(changes: NDArray[np.float64], clusters: tuple[str, ...] | None) -> CrossedEffect | None:
    try:
        return crossed_effect(changes, clusters)
    except StatisticsError:
        return None


def _crossed(candidates: tuple[str, ...], effect: CrossedEffect) -> RecipeDelta:
    whole = effect.of_recipe()
    return RecipeDelta(
        candidates,
        task="",
        metric="",
        mean=effect.mean,
        standard_deviation=effect.spread,
        low=None if whole is None else whole[0],
        high=None if whole is None else whole[1],
        models=effect.seeds,
        checkpoints=effect.of_checkpoints(),
        here=effect.of_recipe_here(),
    )


def _by_values(candidates: tuple[str, ...], deltas: Sequence[Delta]) -> RecipeDelta:
    """From each checkpoint's own change and interval alone."""
    values = [d.delta for d in deltas if d.delta is not None]
    mean, n = float(np.mean(values)), len(values)
    spread = float(np.std(values, ddof=1)) if n > 1 else 0.0
    items = _half_of_items(deltas)
    here, whole = _reaches(spread, n, items, LEVEL)
    return RecipeDelta(
        candidates,
        task="",
        metric="",
        mean=mean,
        standard_deviation=spread,
        low=None if whole is None else mean - whole,
        high=None if whole is None else mean + whole,
        models=n,
        checkpoints=None if items is None else (mean - items, mean + items),
        here=None if here is None else (mean - here, mean + here),
    )


def _half_of_items(deltas: Sequence[Delta]) -> float | None:
    """Half the width of the checkpoints' intervals, their mean: no less than that of their mean."""
    halves = [(d.high - d.low) / 2 for d in deltas if d.low is not None and d.high is not None]
    return float(np.mean(halves)) if len(halves) == len(deltas) else None


def _reaches(
    spread: float, n: int, items: float | None, alpha: float
) -> tuple[float | None, float | None]:
    """Half widths for the recipe on these items, and on items like these."""
    if n < 2:
        return None, None
    here = float(stats.t.ppf(1 - alpha / 2, n - 1)) * spread / math.sqrt(n)
    if items is None:
        return here, None
    wider = float(stats.norm.ppf(1 - alpha / 2) / stats.norm.ppf(1 - LEVEL / 2))
    return here, math.hypot(here, items * wider)


def _sure(deltas: Sequence[Delta], effect: CrossedEffect | None, questions: int) -> Ends | None:
    alpha = LEVEL / questions
    if effect is not None:
        return effect.of_recipe(alpha)
    values = [d.delta for d in deltas if d.delta is not None]
    n = len(values)
    spread = float(np.std(values, ddof=1)) if n > 1 else 0.0
    _, whole = _reaches(spread, n, _half_of_items(deltas), alpha)
    mean = float(np.mean(values))
    return None if whole is None else (mean - whole, mean + whole)

"""What a report is made of: records only, looked up by candidate, task and metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from steelyard.harness.compare import RecipeDelta
from steelyard.harness.records import (
    COST,
    DIVERGENCE,
    CheckpointManifest,
    Comparison,
    Delta,
    Failure,
    Run,
    Score,
    Verdict,
)


@dataclass(frozen=True)
class MetricKey:
    """One metric of one task, as the first run that has it describes it."""

    task: str
    metric: str
    family: str
    higher_is_better: bool
    primary: bool
    unit: str | None
    chance: float | None
    majority: float | None
    n: int

    @classmethod
    def of(cls, score: Score) -> MetricKey:
        """The key of a score."""
        return cls(
            score.task,
            score.metric,
            score.family,
            score.higher_is_better,
            score.primary,
            score.unit,
            score.chance,
            score.majority,
            score.n,
        )


@dataclass(frozen=True)
class Material:
    """The runs of one experiment and what was decided about them."""

    experiment: str
    baseline: str
    runs: tuple[Run, ...]
    """The baseline first, where it is among them."""
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[Verdict, ...]
    commands: tuple[str, ...]
    notes: tuple[str, ...]
    failures: tuple[Failure, ...]
    recipes: tuple[RecipeDelta, ...] = ()
    baseline_id: str | None = None
    """The baseline's run, which a candidate of its name is not; None: it is known by its name."""
    unscored: tuple[CheckpointManifest, ...] = ()
    """Checkpoints that were trained and not scored, such as the trials of a sweep."""

    def ordered(self) -> Material:
        """The same with the baseline's run first, and runs of one name told apart by their ids."""
        at = next((i for i, run in enumerate(self.runs) if self._is_baseline(run)), None)
        first = None if at is None else self.runs[at]
        id = first.id if first is not None else self.baseline_id
        others = tuple(run for i, run in enumerate(self.runs) if i != at)
        names = _names(others)
        baseline = self.baseline
        if id is not None and any(run.candidate == baseline for run in others):
            baseline = f"{baseline} (baseline {id[:8]})"  # a run may be held against itself
        # What else is compared with is a candidate as well.
        sides = names if id is None else names | {id: baseline}
        named = tuple(run.model_copy(update={"candidate": names[run.id]}) for run in others)
        if first is not None:
            named = (first.model_copy(update={"candidate": baseline}), *named)
        return replace(
            self,
            baseline=baseline,
            runs=named,
            comparisons=tuple(_renamed(each, sides, names) for each in self.comparisons),
            verdicts=tuple(_named(each, names, baseline) for each in self.verdicts),
        )

    def _is_baseline(self, run: Run) -> bool:
        if self.baseline_id is not None:
            return run.id == self.baseline_id
        return run.candidate == self.baseline

    @property
    def candidates(self) -> tuple[Run, ...]:
        """Every run but the baseline's."""
        return tuple(run for run in self.runs if run.candidate != self.baseline)

    @property
    def main_comparisons(self) -> tuple[Comparison, ...]:
        """The comparisons against the report's baseline, in the order of the runs."""
        comparisons = (self.comparison(run.candidate) for run in self.candidates)
        return tuple(comparison for comparison in comparisons if comparison is not None)

    @property
    def baselines(self) -> tuple[str, ...]:
        """The report's own baseline, then the others that something was compared with."""
        others = dict.fromkeys(comparison.baseline for comparison in self.comparisons)
        return (self.baseline, *(name for name in others if name != self.baseline))

    def seen_from(self, baseline: str) -> Material:
        """The same material held against another baseline."""
        return replace(self, baseline=baseline)

    def slot(self, run: Run) -> int:
        """The run's place, which is its colour in every chart."""
        return next(i for i, other in enumerate(self.runs) if other is run)

    def comparison(self, candidate: str, against: str | None = None) -> Comparison | None:
        """The comparison of ``candidate`` against a baseline (None: the report's own)."""
        wanted = against or self.baseline
        return next(
            (c for c in self.comparisons if (c.candidate, c.baseline) == (candidate, wanted)), None
        )

    def deltas(self, run: Run, task: str, metric: str) -> Iterator[tuple[Comparison, Delta]]:
        """The differences of one score against every baseline it was compared with."""
        for comparison in self.comparisons:
            if comparison.candidate == run.candidate:
                for delta in comparison.deltas:
                    if (delta.task, delta.metric) == (task, metric) and delta.slice is None:
                        yield comparison, delta

    def verdict(self, candidate: str) -> Verdict | None:
        """What the gate says of ``candidate``."""
        return next((v for v in self.verdicts if v.candidate == candidate), None)

    def metrics(self) -> list[MetricKey]:
        """Every metric of every run, in the order of first appearance."""
        return self._keys

    @cached_property
    def _keys(self) -> list[MetricKey]:
        return metric_keys(self.runs)

    def families(self) -> dict[str, list[MetricKey]]:
        """The metrics by family; divergence and cost have sections of their own."""
        grouped: dict[str, list[MetricKey]] = {}
        for key in self.metrics():
            if key.family not in (*DIVERGENCE, COST):
                grouped.setdefault(key.family, []).append(key)
        return grouped


def metric_keys(runs: Sequence[Run]) -> list[MetricKey]:
    """Every metric of ``runs``, in the order of first appearance."""
    keys: dict[tuple[str, str], MetricKey] = {}
    for run in runs:
        for score in run.scores:
            if (score.task, score.metric) not in keys:
                keys[score.task, score.metric] = MetricKey.of(score)
    return list(keys.values())


def _names(runs: Sequence[Run]) -> dict[str, str]:
    """Run id -> its name, with its id where another run has the same."""
    ids: dict[str, set[str]] = {}
    for run in runs:
        ids.setdefault(run.candidate, set()).add(run.id)
    return {
        run.id: run.candidate if len(ids[run.candidate]) == 1 else f"{run.candidate} ({run.id[:8]})"
        for run in runs
    }


def _renamed(
    comparison: Comparison, baselines: Mapping[str, str], candidates: Mapping[str, str]
) -> Comparison:
    update = {
        "baseline": baselines.get(comparison.baseline_id, comparison.baseline),
        "candidate": candidates.get(comparison.candidate_id, comparison.candidate),
    }
    return comparison.model_copy(update=update)


def _named(verdict: Verdict, names: Mapping[str, str], baseline: str) -> Verdict:
    name = names.get(verdict.candidate_id or "", verdict.candidate)
    rules = tuple(rule.model_copy(update={"candidate": name}) for rule in verdict.rules)
    return verdict.model_copy(update={"candidate": name, "baseline": baseline, "rules": rules})

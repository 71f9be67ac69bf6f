"""Any number of runs against one baseline.

Task by task, so that runs that lie in a store are read once and never held whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from steelyard.harness.compare.claims import claim_of
from steelyard.harness.compare.comparability import inspect_run
from steelyard.harness.compare.deltas import MetricPair, Settings, TaskPair, delta_of, pair_task
from steelyard.harness.compare.families import adjusted, adjusted_slices
from steelyard.harness.compare.flips import flipped, in_every_candidate, with_answers
from steelyard.harness.compare.noise import above_noise, noise_floors
from steelyard.harness.compare.problems import Problem, lines
from steelyard.harness.compare.scored import Scored
from steelyard.harness.compare.slices import labelled, slice_deltas, slices_of
from steelyard.harness.compare.transfer import backward_transfer
from steelyard.harness.errors import ConfigError
from steelyard.harness.records import Comparison, Delta, Difference, Flip, FlipCount


def compare(
    baseline: Scored,
    candidates: Sequence[Scored],
    *,
    slices: bool = True,
    alpha: float = 0.05,
    seed: int = 0,
    draws: int = 10_000,
    flips_per_task: int | None = 50,
    noise: Sequence[Scored] = (),
) -> tuple[Comparison, ...]:
    """Paired differences of every candidate against ``baseline``, positive is better.

    Comparability is declared first: what may not be compared stands in ``problems``, one line
    each, and carries no delta. "Better" and "worse" are said at .05, two-sided, over all candidates
    and tasks of the comparison together (``families``); the intervals are two-sided 95%, each by
    itself. ``alpha`` is one-sided per side, for minimum detectable effects. ``slices`` tests the
    primary metrics within document fields and length quartiles. ``flips_per_task`` bounds how many
    flips of each direction are kept with their answers (the counts are always whole); None keeps
    all. ``noise`` are runs of the baseline's own checkpoint under another dtype, few-shot order,
    wording or seed: a difference that is no larger than theirs is not a claim.

    Raises ``ConfigError`` where there is nothing to compare with.
    """
    if not baseline.tasks:
        failures = [f"{f.stage}: {f.message}" for f in baseline.run.failures]
        what = "; ".join([f"the baseline '{baseline.name}' has no scores", *failures])
        raise ConfigError(what, fix=None if failures else "score it on a suite with tasks first")
    settings = Settings(alpha=alpha, draws=draws, seed=seed)
    floors = noise_floors(baseline, noise)
    sides = [_Side(c, inspect_run(baseline.run, c.run)) for c in candidates]
    for task in baseline.tasks:
        pairs = [pair_task(baseline, side.run, task, side.run_problems) for side in sides]
        for side, pair in zip(sides, pairs, strict=True):
            side.add(pair, settings)
            if slices:
                side.add_slices(pair, baseline, settings)
        _add_flips(sides, pairs, baseline, flips_per_task)
    for side, deltas in zip(sides, adjusted([side.deltas for side in sides]), strict=True):
        side.deltas = [above_noise(delta, floors) for delta in deltas]
    for side, deltas in zip(sides, adjusted_slices([side.slices for side in sides]), strict=True):
        side.slices = list(deltas)
    return tuple(side.comparison(baseline, candidates) for side in sides)


@dataclass
class _Side:
    """What is found of one candidate, task by task."""

    run: Scored
    run_problems: list[Problem]
    problems: list[Problem] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    deltas: list[Delta] = field(default_factory=list)
    slices: list[Delta] = field(default_factory=list)
    flip_counts: list[FlipCount] = field(default_factory=list)
    flips: list[Flip] = field(default_factory=list)

    def add(self, pair: TaskPair, settings: Settings) -> None:
        self.problems += [p for p in pair.problems if p.cause != "reference"]
        self.differences += pair.differences
        self.deltas += [delta_of(metric, settings) for metric in pair.metrics.values()]

    def add_slices(self, pair: TaskPair, baseline: Scored, settings: Settings) -> None:
        labels = labelled(baseline, self.run, pair.task)
        samples = labels.samples
        self.differences += [
            Difference(
                task=pair.task,
                field=f"slice {field}",
                baseline=None,
                candidate=f"another value on {count} samples: not cut by",
                voids=False,
            )
            for field, count in labels.disagreeing.items()
        ]
        for metric in _primary_metrics(pair).values():
            if samples and metric.testable and metric.paired is not None:
                slices = slices_of(metric.paired, samples)
                self.slices += slice_deltas(metric, slices, settings)

    def comparison(self, baseline: Scored, candidates: Sequence[Scored]) -> Comparison:
        problems = [*self.run_problems, *self.problems]
        return Comparison(
            baseline_id=baseline.run.id,
            baseline=baseline.name,
            candidate_id=self.run.run.id,
            candidate=self.run.name,
            comparable=not problems,
            problems=lines(problems),
            differences=tuple(self.differences),
            deltas=tuple(self.deltas),
            slices=tuple(self.slices),
            flip_counts=tuple(self.flip_counts),
            flips=tuple(self.flips),
            backward_transfer=backward_transfer(self.deltas),
            claim=claim_of(self.run, candidates),
        )


def _primary_metrics(pair: TaskPair) -> Mapping[str, MetricPair]:
    return {name: metric for name, metric in pair.metrics.items() if metric.baseline.primary}


def _add_flips(
    sides: Sequence[_Side], pairs: Sequence[TaskPair], baseline: Scored, limit: int | None
) -> None:
    """Counts for every 0/1 metric; both answers for the primary ones."""
    flips_by_metric = [
        {name: f for name, m in pair.metrics.items() if (f := flipped(m)) is not None}
        for pair in pairs
    ]
    for side, pair, flips in zip(sides, pairs, flips_by_metric, strict=True):
        side.flip_counts += [f.count for f in flips.values()]
        for name in _primary_metrics(pair):
            if name in flips:
                everywhere = in_every_candidate([f[name] for f in flips_by_metric if name in f])
                side.flips += with_answers(flips[name], baseline, side.run, everywhere, limit)

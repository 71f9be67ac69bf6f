"""What each rule selects in two runs: one hypothesis for every task, metric and slice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from steelyard.harness.compare import (
    Alone,
    Labelled,
    MetricPair,
    Scored,
    TaskPair,
    all_slices,
    alone,
    labelled,
)
from steelyard.harness.errors import ConfigError, did_you_mean
from steelyard.harness.gate.policy import Rule
from steelyard.harness.records import DIVERGENCE, IN_TRAINING_DATA, Score
from steelyard.harness.texts import chosen, matches


@dataclass(frozen=True)
class Hypothesis:
    """One thing that a rule asserts: "this metric of this task (slice) is not worse"."""

    rule: Rule
    task: str
    metric: str
    pair: MetricPair | None = None
    """None where one of the runs lacks the metric, or the rule needs no baseline."""
    slice: str | None = None
    subset: tuple[int, ...] | None = None
    """Indices of the slice's pairs."""
    problem: str | None = None
    """Why it cannot be held against the baseline."""
    own_score: Score | None = None
    own: Alone | None = None
    """The candidate's own rows, where the rule has a floor or a ceiling."""
    own_problem: str | None = None
    """Why the candidate cannot be held against a number."""
    advisory: bool = False
    """The metric is shown and never blocks."""

    @property
    def label(self) -> str:
        """The hypothesis in words: ``known: correct [subject=law], margin 0.02``."""
        if self.rule.name:
            where = f"{self.task}: {self.metric}"
            named = f"{self.rule.name} ({where})"
            return f"{named} [{self.slice}]" if self.slice else named
        what = f"{self.task}: {self.metric}"
        if self.slice:
            what += f" [{self.slice}]"
        return ", ".join([what, *self.rule.bounds])


def _is_advisory(score: Score) -> bool:
    """Calibration errors are shown and Brier gates; a task may call itself advisory."""
    return score.kind == "calibration" or score.advisory


def _unusable(labels: Labelled, selector: str, slices: Iterable[str]) -> str | None:
    """Why no slice may be cut by the field that a rule names; None where it may."""
    if labels.unknown:
        return (
            "the baseline keeps no documents, and the slices of an imported candidate are its own "
            "word: save the baseline with --text"
        )
    field = selector.partition("=")[0]
    changed = [
        f"{count} samples have another '{name}' in the candidate than in the baseline"
        for name, count in labels.disagreeing.items()
        if matches(field, name)
    ]
    if changed:
        return "; ".join(changed)
    if any(matches(field, name.partition("=")[0]) for name in slices):
        return None
    if field == IN_TRAINING_DATA:
        return "the candidate's samples are not held against its training data: evaluate it again"
    if labels.of_candidate:
        return (
            f"the baseline keeps no documents and the candidate's have no field '{field}': save "
            "the baseline with --text"
        )
    if any(matches(field, name) for name in labels.candidate_fields):
        return (
            f"the baseline's documents have no field '{field}', and the candidate's own do not "
            "count: score the baseline again"
        )
    return None


class Selection:
    """Two runs as rules see them; tasks are paired once, when a rule first asks."""

    def __init__(self, baseline: Scored, candidate: Scored, pairs: Sequence[TaskPair]) -> None:
        self.baseline = baseline
        self.candidate = candidate
        self.pairs = {pair.task: pair for pair in pairs}
        self.tasks = tuple(dict.fromkeys([*baseline.tasks, *candidate.tasks]))

    def of(self, rule: Rule) -> list[Hypothesis]:
        """What ``rule`` asserts.

        Raises ``ConfigError`` where it selects nothing: such a rule would always pass.
        """
        tasks = self._tasks(rule)
        hypotheses = [h for task in tasks for h in self._of_task(rule, task)]
        named = rule.tier == "block" and rule.task in tasks
        if named and any(h.advisory for h in hypotheses):
            raise ConfigError(
                f"{rule.task}: {hypotheses[0].metric} is advisory: it is shown and never blocks",
                key="tier",
                value=rule.tier,
                fix="use tier: warn or report, or gate on a 0/1 metric or the Brier score",
            )
        if not hypotheses:
            metrics = {m for task in tasks for m in self._scores(task)}
            raise ConfigError(
                f"no task that the rule selects has the metric '{rule.metric}'"
                if rule.metric
                else "the tasks that the rule selects have no primary metric",
                key="metric",
                fix=did_you_mean(rule.metric or "", metrics),
            )
        if rule.slice:
            return self._sliced(hypotheses, rule.slice)
        return hypotheses

    def _tasks(self, rule: Rule) -> list[str]:
        tasks = list(self.tasks)
        if rule.suite is not None:
            suites = {self.baseline.run.suite, self.candidate.run.suite}
            if not any(matches(rule.suite, suite) for suite in suites):
                raise ConfigError(
                    "matches no suite that was scored",
                    key="suite",
                    value=rule.suite,
                    fix=did_you_mean(rule.suite, suites),
                )
        if rule.task is not None:
            tasks = chosen(rule.task, tasks, literal=self.baseline.tasks)
            if not tasks:
                raise ConfigError(
                    "matches no task that was scored",
                    key="task",
                    value=rule.task,
                    fix=did_you_mean(rule.task, self.tasks),
                )
        return tasks

    def _scores(self, task: str) -> dict[str, Score]:
        return {**self.candidate.scores_of(task), **self.baseline.scores_of(task)}

    def _of_task(self, rule: Rule, task: str) -> Iterator[Hypothesis]:
        scores = self._scores(task)
        named = self.baseline.scores_of(task)
        selected = None if rule.metric is None else chosen(rule.metric, scores, literal=named)
        for metric, score in scores.items():
            wanted = score.primary if selected is None else metric in selected
            if rule.is_relative and rule.task != task and score.family in DIVERGENCE:
                # How far a candidate is from its own parent: a base has no parent, and another
                # candidate has another. Only a rule that names the task means it.
                continue
            if wanted:
                hypothesis = Hypothesis(rule, task, metric, advisory=_is_advisory(score))
                if rule.is_relative:
                    hypothesis = self._against_baseline(hypothesis)
                yield self._on_its_own(hypothesis) if rule.is_absolute else hypothesis

    def _against_baseline(self, hypothesis: Hypothesis) -> Hypothesis:
        task, metric = hypothesis.task, hypothesis.metric
        pair = self.pairs[task].metrics.get(metric) if task in self.pairs else None
        return replace(hypothesis, pair=pair, problem=self._problem(task, metric))

    def _on_its_own(self, hypothesis: Hypothesis) -> Hypothesis:
        key = (hypothesis.task, hypothesis.metric)
        score = self.candidate.scores_of(key[0]).get(key[1])
        rows = self.candidate.rows.get(key)
        if score is None:
            return replace(hypothesis, own_problem="the candidate was not scored on it")
        own = None if rows is None else alone(rows, score, "candidate")
        problem = "; ".join(own.faults) if own is not None else None
        if score.value is None:
            problem = problem or "the candidate has no value"
        return replace(hypothesis, own_score=score, own=own, own_problem=problem or None)

    def _problem(self, task: str, metric: str) -> str | None:
        if task not in self.pairs:
            return "the candidate has this task and the baseline does not"
        pair = self.pairs[task]
        touching = [p for p in pair.problems if p.touches(task, metric)]
        if touching:
            # The rule's line names task and metric already.
            return "; ".join(dict.fromkeys(p.text for p in touching))
        if metric not in pair.metrics:
            return "the candidate has this metric and the baseline does not"
        if pair.metrics[metric].paired is None:
            return "there are scores but no rows on either side, so nothing can be tested"
        return None

    def _sliced(self, hypotheses: list[Hypothesis], selector: str) -> list[Hypothesis]:
        result: list[Hypothesis] = []
        names: set[str] = set()
        for hypothesis in hypotheses:
            if hypothesis.problem or hypothesis.pair is None or hypothesis.pair.paired is None:
                result.append(hypothesis)
                continue
            task = hypothesis.task
            labels = labelled(self.baseline, self.candidate, task)
            # All that the documents have, not only what is left of them: a slice of which no
            # sample is scored would else vanish from the rule that holds it.
            slices = {
                **dict.fromkeys(labels.names, ()),
                **all_slices(hypothesis.pair.paired, labels.samples),
            }
            problem = _unusable(labels, selector, slices)
            if problem is not None:
                result.append(replace(hypothesis, problem=problem))
                continue
            names.update(slices)
            result += [
                replace(
                    hypothesis,
                    slice=name,
                    subset=tuple(slices[name]),
                    problem=None if slices[name] else "none of its samples is scored in both runs",
                )
                for name in chosen(selector, slices, literal=slices)
            ]
        if not result or not (self.baseline.samples or self.candidate.samples):
            raise ConfigError(
                "matches no slice of the samples",
                key="slice",
                value=selector,
                fix=did_you_mean(selector, names),
            )
        return result

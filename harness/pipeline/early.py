"""Scores a candidate only as far as its gate needs: the scorer's side of an early decision."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from steelyard.harness.compare import Scored
from steelyard.harness.evaluation import Evaluation, PartEvaluation
from steelyard.harness.gate import EarlyDecision, EarlyOutcome, Gate, in_policy
from steelyard.harness.pipeline.events import Event, Listener
from steelyard.harness.plugins import Meter
from steelyard.harness.records import FIDELITY, Energy, Run, SampleRecord


@dataclass(frozen=True)
class EarlyResult:
    """A verdict, what it took, and what it spared."""

    outcome: EarlyOutcome
    run: Run
    """The candidate with the scores of the tasks that were scored whole."""
    energy: Energy
    saved_seconds: float | None
    saved_kwh: float | None
    commitment: str
    """SHA-256 of the order in which the samples were to be taken."""


def decide_early(
    gate: Gate,
    baseline: Scored,
    part: PartEvaluation,
    candidate: Run,
    *,
    meter: Meter,
    listener: Listener,
    samples: Mapping[tuple[str, str], SampleRecord] | None = None,
    chunk_items: int = 64,
    file: object = None,
) -> EarlyResult:
    """Score ``candidate`` chunk by chunk until every blocking rule is decided.

    ``candidate`` is its run as known beforehand: checkpoint, environment, what it was trained on;
    ``samples`` are those of ``part`` with slices that scoring does not make. Raises
    ``ConfigError`` where a rule selects nothing, ``ScoringError`` where a task cannot be scored.
    """
    baseline = comparable_part(baseline)
    candidate = candidate.model_copy(update={"signatures": part.signatures})
    samples = part.samples if samples is None else samples
    with in_policy(file):
        decision = EarlyDecision(
            gate,
            baseline,
            candidate,
            part.sample_ids,
            samples=samples,
            chunk_items=chunk_items,
        )
    scoring = _ScoringInParts(decision, part, candidate, samples, listener)
    with meter.window(f"score {candidate.candidate}") as reading:
        scoring.play()
        full = scoring.whole()
    energy = reading.energy("score")
    outcome = decision.outcome(full)
    saved = outcome.saved(scoring.seconds)
    spent = sum(scoring.seconds.values())
    measured = saved is not None and energy.energy_kwh is not None and spent > 0
    return EarlyResult(
        outcome=outcome,
        run=(full.run if full else candidate).model_copy(update={"energy": (energy,)}),
        energy=energy,
        saved_seconds=saved,
        saved_kwh=energy.energy_kwh * saved / spent if measured else None,  # type: ignore[operator]
        commitment=decision.commitment,
    )


def comparable_part(baseline: Scored) -> Scored:
    """The baseline without its divergence from its own parent, which no other run shares."""
    run = baseline.run
    scores = tuple(score for score in run.scores if score.task != FIDELITY)
    if len(scores) == len(run.scores):
        return baseline
    signatures = tuple(s for s in run.signatures if s.task != FIDELITY)
    rows = {key: baseline.rows[key] for key in baseline.rows if key[0] != FIDELITY}
    changed = run.model_copy(update={"scores": scores, "signatures": signatures})
    return replace(baseline, run=changed, rows=rows)


@dataclass(frozen=True)
class _ScoringInParts:
    """One candidate's scoring, chunk by chunk, and how long each task took."""

    decision: EarlyDecision
    part: PartEvaluation
    candidate: Run
    samples: Mapping[tuple[str, str], SampleRecord]
    listener: Listener
    seconds: dict[str, float] = field(default_factory=dict)
    """By task."""

    def play(self) -> None:
        """Score chunks in their order until the decision asks for no more."""
        total = sum(map(len, self.part.sample_ids.values()))
        used = 0
        while (chunk := self.decision.next_chunk()) is not None:
            self._tell(chunk.task, used, total)
            self.decision.update(chunk, self._timed(chunk.task, chunk.sample_ids).rows)
            used += len(chunk.sample_ids)

    def whole(self) -> Scored | None:
        """The tasks whose rules cannot stop early, scored to their end; None: there are none."""
        tasks = [task for task in self.decision.outstanding if task in self.part.sample_ids]
        evaluation = Evaluation()
        for i, task in enumerate(tasks):
            self._tell(f"{task} (whole)", i, len(tasks))
            evaluation = evaluation.merged(self._timed(task, self.part.sample_ids[task]))
        if not tasks:
            return None
        sliced = [self._sliced(sample) for sample in evaluation.samples]
        return Scored(
            self.candidate.model_copy(update={"scores": evaluation.scores}),
            {(rows.task, rows.metric): rows for rows in evaluation.rows},
            {(sample.task, sample.sample_id): sample for sample in sliced},
        )

    def _sliced(self, sample: SampleRecord) -> SampleRecord:
        """The sample with what is known of it beforehand."""
        slices = self.samples[sample.task, sample.sample_id].slices
        return sample.model_copy(update={"slices": {**slices, **sample.slices}})

    def _timed(self, task: str, ids: tuple[str, ...]) -> Evaluation:
        started = time.perf_counter()
        evaluation = self.part.score(task, ids)
        elapsed = time.perf_counter() - started
        self.seconds[task] = self.seconds.get(task, 0.0) + elapsed
        return evaluation

    def _tell(self, message: str, done: int, total: int) -> None:
        self.listener(Event("score", self.candidate.candidate, "progress", message, done, total))

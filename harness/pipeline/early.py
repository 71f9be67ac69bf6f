"""Scores a candidate only as far as its gate needs: the scorer's side of an early decision."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from steelyard.harness.compare import Scored
from steelyard.harness.evaluation.evaluate import Evaluation
from steelyard.harness.evaluation.fidelity import FIDELITY
from steelyard.harness.evaluation.part import PartEvaluation
from steelyard.harness.gate import Gate, in_policy
from steelyard.harness.gate.sequential import EarlyDecision, EarlyOutcome
from steelyard.harness.pipeline.events import Event, Listener
from steelyard.harness.plugins.protocols import Meter
from steelyard.harness.records import Energy, Run, SampleRecord


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
    seconds: dict[str, float] = {}
    with meter.window(f"score {candidate.candidate}") as reading:
        _play(decision, part, candidate.candidate, seconds, listener)
        full = _whole(decision, part, candidate, samples, seconds, listener)
    energy = reading.energy("score")
    outcome = decision.outcome(full)
    saved = outcome.saved(seconds)
    spent = sum(seconds.values())
    known = saved is not None and energy.energy_kwh is not None and spent > 0
    return EarlyResult(
        outcome=outcome,
        run=(full.run if full else candidate).model_copy(update={"energy": (energy,)}),
        energy=energy,
        saved_seconds=saved,
        saved_kwh=energy.energy_kwh * saved / spent if known else None,  # type: ignore[operator]
        commitment=decision.commitment,
    )


def comparable_part(baseline: Scored) -> Scored:
    """The baseline without its divergence from its own parent, which no other run shares."""
    run = baseline.run
    kept = tuple(score for score in run.scores if score.task != FIDELITY)
    if len(kept) == len(run.scores):
        return baseline
    signatures = tuple(s for s in run.signatures if s.task != FIDELITY)
    rows = {key: baseline.rows[key] for key in baseline.rows if key[0] != FIDELITY}
    changed = run.model_copy(update={"scores": kept, "signatures": signatures})
    return replace(baseline, run=changed, rows=rows)


def _play(
    decision: EarlyDecision,
    part: PartEvaluation,
    name: str,
    seconds: dict[str, float],
    listener: Listener,
) -> None:
    total = sum(map(len, part.sample_ids.values()))
    used = 0
    while (chunk := decision.next_chunk()) is not None:
        listener(Event("score", name, "progress", chunk.task, used, total))
        decision.update(chunk, _timed(part, chunk.task, chunk.sample_ids, seconds).rows)
        used += len(chunk.sample_ids)


def _whole(
    decision: EarlyDecision,
    part: PartEvaluation,
    candidate: Run,
    samples: Mapping[tuple[str, str], SampleRecord],
    seconds: dict[str, float],
    listener: Listener,
) -> Scored | None:
    """The tasks whose rules cannot stop early, scored to their end; None where there is none."""
    tasks = [task for task in decision.outstanding if task in part.sample_ids]
    found = Evaluation()
    for i, task in enumerate(tasks):
        listener(Event("score", candidate.candidate, "progress", f"{task} (whole)", i, len(tasks)))
        found = found.merged(_timed(part, task, part.sample_ids[task], seconds))
    if not tasks:
        return None
    return Scored(
        candidate.model_copy(update={"scores": found.scores}),
        {(rows.task, rows.metric): rows for rows in found.rows},
        {(one.task, one.sample_id): _sliced(one, samples) for one in found.samples},
    )


def _sliced(sample: SampleRecord, planned: Mapping[tuple[str, str], SampleRecord]) -> SampleRecord:
    """The sample with what is known of it beforehand."""
    known = planned[sample.task, sample.sample_id].slices
    return sample.model_copy(update={"slices": {**known, **sample.slices}})


def _timed(
    part: PartEvaluation, task: str, ids: tuple[str, ...], seconds: dict[str, float]
) -> Evaluation:
    started = time.perf_counter()
    found = part.score(task, ids)
    seconds[task] = seconds.get(task, 0.0) + time.perf_counter() - started
    return found

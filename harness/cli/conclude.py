"""From runs to what a person reads: comparison, verdicts, report files and the exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steelyard.harness.cli.documents import write_documents
from steelyard.harness.compare import (
    NoiseFloor,
    Scored,
    compare,
    generation_notes,
    noise_floors,
    open_run,
    part_notes,
    recipe_deltas,
)
from steelyard.harness.errors import (
    EXIT_NOT_COMPARABLE,
    EXIT_PASS,
    EXIT_UNEXPECTED,
    EXIT_USAGE,
    ConfigError,
    ScoringError,
    UnexpectedStageError,
    exit_code_of,
)
from steelyard.harness.experiment import Experiment, selection_notes
from steelyard.harness.gate import Gate, in_policy, judge, load_gate
from steelyard.harness.pipeline import Event, Listener, NoiseStage, Outcome
from steelyard.harness.records import (
    Checkpoint,
    CheckpointManifest,
    Comparison,
    Failure,
    Run,
    Verdict,
    stage_log,
    stage_name,
)
from steelyard.harness.store import FolderStore, GateAttempts
from steelyard.reports.build import build_report
from steelyard.reports.document import Document


@dataclass(frozen=True)
class Page:
    """What a report says beside runs and numbers, and where its files go."""

    title: str
    folder: Path
    commands: Sequence[str]
    """What to type to get it again."""
    formats: Sequence[str] = ()
    failures: Sequence[Failure] = ()
    unexpected: bool = False
    """Whether one of the failures is no mistake of the user's."""
    notes: Sequence[str] = ()
    unscored: Sequence[CheckpointManifest] = ()
    """Checkpoints that were trained and could not be scored."""
    lacking: Sequence[str] = ()
    """A line for each candidate that has no current run."""


@dataclass(frozen=True)
class Conclusion:
    """What was decided, and where it can be read."""

    runs: tuple[Scored, ...]
    """The baseline's first, then the candidates'."""
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[Verdict, ...]
    failures: tuple[Failure, ...]
    document: Document
    files: Mapping[str, Path]
    """Format -> where the report was written."""
    exit_code: int


def conclude(
    experiment: Experiment,
    store: FolderStore,
    outcome: Outcome,
    *,
    listener: Listener,
    gating: bool,
    folder: Path,
    commands: Sequence[str],
    noise: NoiseStage | None = None,
) -> Conclusion:
    """Compare every candidate with the baseline, hold the gate, and write the reports."""
    settings = experiment.settings
    gate = load_gate(settings.gate, file=experiment.file) if settings.gate else None
    runs = {name: run.id for name, run in outcome.runs.items()}
    _require_baseline(gate, outcome, store, experiment.name)
    baseline = open_baseline(gate, store, runs, experiment)
    candidates = [open_run(store, id) for id in runs.values() if id != baseline.run.id]
    with_noise = noise is not None and settings.noise
    variants = noise.runs(*_own_baseline(experiment, gate, outcome)) if noise and with_noise else ()
    listener(Event("compare", "candidates", "start"))
    page = Page(
        title=experiment.name,
        folder=folder,
        commands=commands,
        formats=settings.report,
        failures=outcome.failures,
        unexpected=outcome.unexpected,
        notes=(*settings.notes, *selection_notes(experiment)),
        unscored=[
            checkpoint.manifest
            for name, checkpoint in outcome.checkpoints.items()
            if name not in outcome.runs
        ],
    )
    return decide_and_report(
        baseline,
        candidates,
        page,
        listener,
        # Where every candidate failed there is nothing to judge: the report says what failed.
        gate=gate if gating and (candidates or not outcome.failures) else None,
        policy=experiment.file,
        noise=variants,
        attempts=store.current.gated,
    )


def _baseline_name(gate: Gate | None, experiment: str) -> str:
    """The baseline, by the name that the experiment has for it where it is its own."""
    name = gate.baseline if gate and gate.baseline else "base"
    return name.removeprefix(f"{experiment}/")


def _require_baseline(
    gate: Gate | None, outcome: Outcome, store: FolderStore, experiment: str
) -> None:
    """Without its baseline nothing can be compared: say why it is not there."""
    name = _baseline_name(gate, experiment)
    for failure in outcome.failures:
        if failure.stage == stage_name("score", name) or not outcome.runs:
            log = store.logs.path(stage_log(failure.stage))
            if outcome.unexpected and log.is_file():
                fix = f"the traceback is in {log}"
                raise UnexpectedStageError(f"{failure.stage}: {failure.message}", fix=fix)
            raise ScoringError(f"{failure.stage}: {failure.message}")


def _own_baseline(
    experiment: Experiment, gate: Gate | None, outcome: Outcome
) -> tuple[str, Checkpoint]:
    """The baseline's name and checkpoint, to be scored again for its noise floor."""
    name = _baseline_name(gate, experiment.name)
    if name not in outcome.checkpoints:
        raise ConfigError(
            "a noise floor is the baseline's own, and this one is not made here",
            file=experiment.file,
            key="noise",
            value=name,
            fix="use a candidate or base as gate.baseline",
        )
    return name, outcome.checkpoints[name]


def decide_and_report(
    baseline: Scored,
    candidates: Sequence[Scored],
    page: Page,
    listener: Listener,
    *,
    gate: Gate | None = None,
    policy: Path | None = None,
    noise: Sequence[Scored] = (),
    attempts: GateAttempts | None = None,
) -> Conclusion:
    """Comparisons, verdicts and report files of ``candidates``.

    Args:
        baseline: what they are held against.
        candidates: runs with their rows.
        page: what the report is called, and where it goes.
        listener: told of each step.
        gate: rules to hold; without them the candidates are only compared.
        policy: the file that the gate is from, for its errors.
        noise: runs of the baseline's own checkpoint under other settings.
        attempts: counts the checkpoints of each name that were tried; None counts none.
    """
    alpha = gate.alpha if gate else 0.05
    comparisons = compare(baseline, candidates, alpha=alpha, noise=noise)
    verdicts: tuple[Verdict, ...] = ()
    if gate:
        with in_policy(policy):
            verdicts = judge(
                gate,
                baseline,
                candidates,
                comparisons=comparisons,
                attempts=[attempts.of(c.run) for c in candidates] if attempts else (),
            )
    listener(Event("compare", "candidates", "done", f"{len(comparisons)} against the baseline"))
    document = build_report(
        page.title,
        [baseline.run, *(c.run for c in candidates)],
        comparisons,
        verdicts,
        baseline=baseline.run.candidate,
        baseline_id=baseline.run.id,
        commands=page.commands,
        notes=[
            *page.notes,
            *page.lacking,
            *noise_notes(baseline.run, noise_floors(baseline, noise)),
            *generation_notes(comparisons),
            *part_notes(baseline.run, [candidate.run for candidate in candidates]),
        ],
        failures=page.failures,
        recipes=recipe_deltas(comparisons, candidates, baseline),
        unscored=page.unscored,
    )
    codes = [EXIT_PASS, *(v.exit_code for v in verdicts)]
    incomplete = not baseline.run.complete or any(not c.run.complete for c in candidates)
    if page.failures:
        codes.append(EXIT_UNEXPECTED if page.unexpected else EXIT_USAGE)
    if incomplete or page.lacking:
        codes.append(EXIT_NOT_COMPARABLE)
    code = exit_code_of(codes)
    document = document.ended(code)
    files = write_documents(document, page.formats, page.folder, listener)
    return Conclusion(
        runs=(baseline, *candidates),
        comparisons=comparisons,
        verdicts=verdicts,
        failures=tuple(page.failures),
        document=document,
        files=files,
        exit_code=code,
    )


def noise_notes(baseline: Run, floors: Mapping[tuple[str, str], NoiseFloor]) -> list[str]:
    """How far each primary score of the baseline moves by itself, and what moves it most."""
    moves = [
        f"{score.task} {score.metric} {floor.size:.3g} ({floor.source})"
        for score in baseline.scores
        if score.primary and (floor := floors.get((score.task, score.metric))) is not None
    ]
    if not moves:
        return []
    return [
        f"Noise floor of {baseline.candidate}, below which no difference is a claim: "
        + "; ".join(moves)
    ]


def open_baseline(
    gate: Gate | None, store: FolderStore, runs: Mapping[str, str], experiment: Experiment
) -> Scored:
    """The gate's baseline: a candidate of this experiment, a run, or a baseline file."""
    name = _baseline_name(gate, experiment.name)
    if name in runs:
        return open_run(store, runs[name])
    name = gate.baseline if gate and gate.baseline else name
    beside = experiment.folder / name
    return open_run(store, str(beside) if beside.exists() else name)

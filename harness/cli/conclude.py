"""From runs to what a person reads: comparison, verdicts, report files and the exit code."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from steelyard.harness.compare import NoiseFloor, Scored, compare, noise_floors, recipe_deltas
from steelyard.harness.compare.baseline_file import open_run
from steelyard.harness.errors import (
    EXIT_NOT_COMPARABLE,
    EXIT_PASS,
    EXIT_USAGE,
    ConfigError,
    ScoringError,
    exit_code_of,
)
from steelyard.harness.experiment.choices import selection_notes
from steelyard.harness.experiment.file import Experiment
from steelyard.harness.gate import Gate, judge, load_gate
from steelyard.harness.pipeline.events import Event, Listener
from steelyard.harness.pipeline.noise import NoiseStage
from steelyard.harness.pipeline.pipeline import Outcome
from steelyard.harness.plugins.names import load_plugin
from steelyard.harness.records import (
    Checkpoint,
    CheckpointManifest,
    Comparison,
    Failure,
    Run,
    Verdict,
)
from steelyard.harness.store import FolderStore
from steelyard.reports.build import build_report
from steelyard.reports.document import Document

NARROWEST_SCREEN, WIDEST_SCREEN = 80, 160

FILE_NAMES = {
    "html": "report.html",
    "markdown": "report.md",
    "json": "report.json",
    "csv": "report.csv",
    "junit": "junit.xml",
    "terminal": "report.txt",
}


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
    _require_baseline(gate, outcome)
    baseline = scored_baseline(gate, store, runs, experiment.folder)
    candidates = [scored(store, id) for id in runs.values() if id != baseline.run.id]
    asked = noise is not None and settings.noise
    variants = noise.runs(*_own_baseline(experiment, gate, outcome)) if noise and asked else ()
    listener(Event("compare", "candidates", "start"))
    return decide_and_report(
        baseline,
        candidates,
        # Where every candidate failed there is nothing to judge: the report says what failed.
        gate=gate if gating and (candidates or not outcome.failures) else None,
        title=experiment.name,
        failures=outcome.failures,
        folder=folder,
        formats=settings.report,
        commands=commands,
        notes=(*settings.notes, *selection_notes(experiment)),
        unscored=[
            checkpoint.manifest
            for name, checkpoint in outcome.checkpoints.items()
            if name not in outcome.runs
        ],
        noise=variants,
        listener=listener,
        file=experiment.file,
    )


def _require_baseline(gate: Gate | None, outcome: Outcome) -> None:
    """Without its baseline nothing can be compared: say why it is not there."""
    name = gate.baseline if gate and gate.baseline else "base"
    for failure in outcome.failures:
        if failure.stage == f"score {name}" or not outcome.runs:
            raise ScoringError(f"{failure.stage}: {failure.message}")


def _own_baseline(
    experiment: Experiment, gate: Gate | None, outcome: Outcome
) -> tuple[str, Checkpoint]:
    """The baseline's name and checkpoint, to be scored again for its noise floor."""
    name = gate.baseline if gate and gate.baseline else "base"
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
    *,
    gate: Gate | None,
    title: str,
    folder: Path,
    formats: Sequence[str],
    commands: Sequence[str],
    failures: Sequence[Failure] = (),
    notes: Sequence[str] = (),
    unscored: Sequence[CheckpointManifest] = (),
    listener: Listener,
    file: Path | None = None,
    noise: Sequence[Scored] = (),
) -> Conclusion:
    """Comparisons, verdicts and report files of ``candidates``; ``file`` holds the gate."""
    alpha = gate.alpha if gate else 0.05
    comparisons = compare(baseline, candidates, alpha=alpha, noise=noise)
    notes = [*notes, *noise_notes(baseline.run, noise_floors(baseline, noise))]
    verdicts = judge(gate, baseline, candidates, comparisons=comparisons, file=file) if gate else ()
    listener(Event("compare", "candidates", "done", f"{len(comparisons)} against the baseline"))
    document = build_report(
        title,
        [baseline.run, *(c.run for c in candidates)],
        comparisons,
        verdicts,
        baseline=baseline.run.candidate,
        commands=commands,
        notes=notes,
        failures=failures,
        recipes=recipe_deltas(comparisons, candidates),
        unscored=unscored,
    )
    files = write_documents(document, formats, folder, listener)
    codes = [EXIT_PASS, *(v.exit_code for v in verdicts)]
    incomplete = not baseline.run.complete or any(not c.run.complete for c in candidates)
    if failures:
        codes.append(EXIT_USAGE)
    if incomplete:
        codes.append(EXIT_NOT_COMPARABLE)
    return Conclusion(
        runs=(baseline, *candidates),
        comparisons=comparisons,
        verdicts=tuple(verdicts),
        failures=tuple(failures),
        document=document,
        files=files,
        exit_code=exit_code_of(codes),
    )


def noise_notes(baseline: Run, floors: Mapping[tuple[str, str], NoiseFloor]) -> list[str]:
    """How far each primary score of the baseline moves by itself, and what moves it most."""
    found = [
        f"{score.task} {score.metric} {floor.size:.3g} ({floor.source})"
        for score in baseline.scores
        if score.primary and (floor := floors.get((score.task, score.metric))) is not None
    ]
    if not found:
        return []
    return [
        f"Noise floor of {baseline.candidate}, below which no difference is a claim: "
        + "; ".join(found)
    ]


def scored(store: FolderStore, name: str) -> Scored:
    """A run with its rows from the store, or from a baseline file."""
    return open_run(store, name)


def scored_baseline(
    gate: Gate | None, store: FolderStore, runs: Mapping[str, str], folder: Path
) -> Scored:
    """The gate's baseline: a candidate of this experiment, a run, or a baseline file."""
    name = gate.baseline if gate and gate.baseline else "base"
    if name in runs:
        return scored(store, runs[name])
    beside = folder / name
    return scored(store, str(beside) if beside.exists() else name)


def render(document: Document, format_name: str) -> str:
    """The document in one of the registered formats."""
    return str(load_plugin("renderers", format_name)().render(document))


def write_documents(
    document: Document, formats: Sequence[str], folder: Path, listener: Listener
) -> dict[str, Path]:
    """Each format as a file in ``folder``; a reader never sees half a page."""
    files = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name in formats:
        path = folder / FILE_NAMES.get(name, f"report.{name}")
        write_text(path, render(document, name))
        files[name] = path
        listener(Event("report", name, "done", str(path)))
    return files


def write_text(path: Path, text: str) -> None:
    """Write through a temporary file beside the target and one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def for_screen(document: Document, format_name: str) -> str:
    """The document as it is printed: a terminal's own width, 120 where nobody says."""
    if format_name != "terminal":
        return render(document, format_name)
    columns = shutil.get_terminal_size((120, 24)).columns
    width = min(max(columns, NARROWEST_SCREEN), WIDEST_SCREEN)
    return str(load_plugin("renderers", format_name)(width=width).render(document))


def show(document: Document, format_name: str) -> None:
    """Print the document for a person or a machine."""
    text = for_screen(document, format_name)
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def leave(code: int) -> None:
    """Exit with a documented code; 0 returns."""
    if code != EXIT_PASS:
        raise typer.Exit(code)

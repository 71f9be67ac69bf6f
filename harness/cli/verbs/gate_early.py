"""`steelyard gate --sequential`: score a checkpoint only until its verdict is certain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from steelyard.harness.checkpoints import MANIFEST, open_base, open_checkpoint
from steelyard.harness.cli.console import watching
from steelyard.harness.cli.experiments import checkpoint_folder
from steelyard.harness.cli.session import session
from steelyard.harness.compare import Scored, open_run
from steelyard.harness.energy import duration
from steelyard.harness.environment import environment
from steelyard.harness.errors import SteelyardError, UnknownNameError, exit_code_of, located
from steelyard.harness.evaluation import Evaluation, PartEvaluation
from steelyard.harness.experiment import Experiment, ExperimentFile, load_experiment
from steelyard.harness.files import digest_json, read_yaml
from steelyard.harness.gate import Gate, among_all
from steelyard.harness.pipeline import EarlyResult, Event, ScoreStage, comparable_part, decide_early
from steelyard.harness.records import Checkpoint, Run
from steelyard.harness.store import FolderStore, GateAttempt, open_store
from steelyard.harness.suites import BuiltSuite, Suite, build, load_suite
from steelyard.reports.build import build_report
from steelyard.reports.document import Document


@dataclass(frozen=True)
class SequentialGate:
    """A policy whose candidates are checkpoints, scored on the baseline's own samples."""

    gate: Gate
    policy: Path
    baseline: Scored
    suite: str | None
    """Replaces the baseline's suite; None: the policy's own, where it is an experiment file."""
    workspace: Path

    def decide(self, candidates: Sequence[str], commands: Sequence[str]) -> tuple[Document, int]:
        """The report's document with the verdicts, and the exit code."""
        experiment = self._experiment()
        suite = self._suite(experiment)
        store = open_store(self.workspace)
        with session(experiment, store) as meter, watching() as listener:
            # A mistyped name is told before minutes are spent on those before it.
            checkpoints = {name: _checkpoint(name, store) for name in candidates}
            stage = ScoreStage(experiment, store, meter, listener)
            # Documents and prompts do not depend on the weights: once for all candidates.
            template = any(s.template is not None for s in self.baseline.run.signatures)
            built = build(suite, apply_chat_template=template)
            results, attempts = [], []
            for name in candidates:
                # Before the first sample: what was looked at and cut short was tried too.
                attempts.append(self._attempt(name, checkpoints[name], built.suite, store))
                with located(key=_label(name)):
                    results.append(self._decide(name, checkpoints[name], built, stage))
        early = [
            result.outcome.verdict.model_copy(update={"candidate_id": result.run.id})
            for result in results
        ]
        verdicts = among_all(self.gate.alpha, early, None, attempts)
        document = build_report(
            f"gate {self.policy.name}",
            [result.run for result in results],
            (),
            verdicts,
            baseline=self.baseline.run.candidate,
            baseline_id=self.baseline.run.id,
            commands=commands,
            notes=[saved_line(result) for result in results],
        )
        code = exit_code_of([verdict.exit_code for verdict in verdicts])
        return document.ended(code), code

    def _attempt(
        self, name: str, checkpoint: Checkpoint, suite: Suite, store: FolderStore
    ) -> GateAttempt:
        """Counted under the name that the candidate has in its experiment, where it has one."""
        experiment, slash, candidate = name.rpartition("/")
        if not slash or Path(name).exists():
            experiment = self.baseline.run.experiment
            trained = checkpoint.manifest.trainer != "none"
            candidate = checkpoint.manifest.candidate if trained else _label(name)
        return store.current.gated.counted(
            experiment, candidate, suite.name, checkpoint.manifest.digest
        )

    def _decide(
        self, name: str, checkpoint: Checkpoint, built: BuiltSuite, stage: ScoreStage
    ) -> EarlyResult:
        label = _label(name)
        stage.listener(Event("score", label, "start", "until its gate is decided"))
        part = PartEvaluation(stage.models.opened(checkpoint, built.suite), built, checkpoint)
        planned = _planned_run(label, stage.experiment, built.suite, checkpoint)
        asked = Evaluation(samples=tuple(part.samples.values()))
        # A candidate of the policy's own experiment: its data are known by the name it has there.
        asked, learnt = stage.marked(checkpoint.manifest.candidate, built, asked)
        result = decide_early(
            self.gate,
            self.baseline,
            part,
            planned.model_copy(update={"contamination": learnt}),
            samples={(sample.task, sample.sample_id): sample for sample in asked.samples},
            meter=stage.meter(),
            listener=stage.listener,
            file=self.policy,
        )
        stage.listener(Event("score", label, "done", duration(result.energy)))
        return result

    def _experiment(self) -> Experiment:
        """What the policy says beside its rules, where it is an experiment file."""
        if "base" in read_yaml(self.policy):
            return load_experiment(self.policy)
        run = self.baseline.run
        settings = ExperimentFile(
            name="gate", base=run.checkpoint.base, suite=self.suite or run.suite
        )
        return Experiment(file=self.policy, settings=settings, candidates=())

    def _suite(self, experiment: Experiment) -> Suite:
        """The suite with the limits and the parity that the baseline was scored under."""
        suite_name = self.suite or experiment.settings.suite
        folder = Path() if self.suite else experiment.folder
        try:
            suite = load_suite(suite_name, folder=folder)
        except UnknownNameError as error:
            if self.suite is not None:
                raise
            message = f"the baseline's suite '{self.baseline.run.suite}' is no built-in one"
            raise UnknownNameError(message, fix="give its file: --suite FILE") from error
        limits = {s.task: s.limit for s in self.baseline.run.signatures}
        tasks = tuple(
            task.model_copy(update={"limit": limits.get(task.task, task.limit)})
            for task in suite.tasks
        )
        theirs = any(s.parity == "lm-eval" for s in self.baseline.run.signatures)
        parity = "lm-eval" if theirs else "steelyard"
        return suite.model_copy(update={"tasks": tasks, "fidelity": None, "parity": parity})


def saved_line(result: EarlyResult) -> str:
    """What early stopping saved: items, minutes and Wh, and the order it was committed to."""
    outcome = result.outcome
    used, total = sum(outcome.used.values()), sum(outcome.total.values())
    parts = [f"{result.run.candidate}: decided on {used:,} of {total:,} samples"]
    saved = [f"{outcome.saved_items:,} samples"]
    if result.saved_seconds is not None:
        seconds = result.saved_seconds
        saved.append(f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s")
    if result.saved_kwh is not None:
        saved.append(f"{1000 * result.saved_kwh:.2g} Wh ({result.energy.grade})")
    parts.append(f"saved {', '.join(saved)}")
    parts.append(f"order sha256 {result.commitment[:12]}")
    return "; ".join(parts)


def scored_already(store: FolderStore, candidates: Sequence[str], baseline: Scored) -> bool:
    """Whether every candidate is a run that answered all of the baseline's tasks."""
    wanted = {*comparable_part(baseline).tasks}
    for name in candidates:
        try:
            candidate = open_run(store, name)
        except SteelyardError:
            return False
        if not candidate.run.complete or not wanted <= {*candidate.tasks}:
            return False
    return True


def _checkpoint(name: str, store: FolderStore) -> Checkpoint:
    """A checkpoint folder that Steelyard wrote, a run's checkpoint, or any model."""
    folder = Path(name) if Path(name).exists() else checkpoint_folder(store, name)
    if folder is not None and (folder / MANIFEST).is_file():
        return open_checkpoint(folder, verify=True)
    return open_base(name)


def _label(name: str) -> str:
    path = Path(name)
    return path.name if path.exists() else name.rpartition("/")[2] or name


def _planned_run(name: str, experiment: Experiment, suite: Suite, checkpoint: Checkpoint) -> Run:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Run(
        id=digest_json(["sequential gate", name, checkpoint.manifest.digest, now])[:32],
        experiment=experiment.name,
        candidate=name,
        suite=suite.name,
        checkpoint=checkpoint.manifest,
        scores=(),
        signatures=(),
        environment=environment(),
        created_at=now,
    )

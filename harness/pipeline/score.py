"""Checkpoint + suite -> run: opens the model, scores it, and stores the run in one rename."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from steelyard.harness.energy import Attempts, EnergyConfig, duration, total
from steelyard.harness.environment import versions
from steelyard.harness.evaluation import (
    Evaluation,
    Overlaps,
    divergence,
    evaluate,
    fill,
    marked,
    measured_cost,
    metering_code,
    scoring_code,
)
from steelyard.harness.experiment import BASE, Experiment, ancestors
from steelyard.harness.files import code_digest, digest_json, validated
from steelyard.harness.pipeline.events import Event, Listener, Status
from steelyard.harness.pipeline.open_models import OpenModels
from steelyard.harness.pipeline.run_record import Scoring, now
from steelyard.harness.pipeline.stage import StageBusyError
from steelyard.harness.plugins import Meter, Reading, load_plugin
from steelyard.harness.records import Checkpoint, Contaminated, Energy, Run
from steelyard.harness.store import FolderStore
from steelyard.harness.suites import BuiltSuite, build, load_suite


@dataclass
class ScoreStage:
    """Scores checkpoints of one experiment; tasks are built once, parents stay open."""

    experiment: Experiment
    store: FolderStore
    meter: Callable[[], Meter]
    listener: Listener
    models: OpenModels = field(init=False)
    _built: BuiltSuite | None = None
    _overlaps: Overlaps | None = None

    def __post_init__(self) -> None:
        self.models = OpenModels(self.experiment, self.store, self.listener)

    def score(
        self,
        name: str,
        checkpoint: Checkpoint,
        parent: Checkpoint | None,
        inherited: Sequence[Energy] = (),
    ) -> Run:
        """The run of ``checkpoint``; the one in the store if nothing that matters has changed."""
        built = self._suite(checkpoint)
        key = self._key(built, checkpoint, parent)
        if (stored := self._stored(key)) is not None:
            self._tell(name, "reused")
            return self._made_as(stored, key, checkpoint, inherited)
        with self._leased(f"score-{key}"):
            if (stored := self._stored(key)) is not None:  # by another process, since we looked
                self._tell(name, "reused")
                return self._made_as(stored, key, checkpoint, inherited)
            self._tell(name, "start", checkpoint.manifest.trainer)
            attempts = self._attempts(f"score-{key}")
            with attempts.window(self.meter(), f"score {name}") as reading:
                evaluation = self._evaluate(name, built, checkpoint, parent)
            evaluation, learnt = self.marked(name, built, evaluation)
            evaluation, energy = self._with_cost(checkpoint, built, evaluation, reading)
            energy = self._with_shards(energy, key)
            scoring = Scoring(
                experiment=self.experiment.name,
                candidate=name,
                suite=built.suite.name,
                checkpoint=checkpoint,
                evaluation=evaluation,
                energy=_phases(checkpoint, [energy], inherited),
                scorer=self.models.scoring_record(checkpoint),
            )
            # An incomplete run never stands in for the complete one that a later call makes.
            moment = None if scoring.complete else scoring.moment
            run = scoring.run(digest_json([key, name, moment])[:32])
            run = run.model_copy(update={"contamination": learnt})
            self.store.put(run, evaluation.rows, evaluation.samples)
            if run.complete:
                self.store.stages.finish(f"score-{key}", {"run": run.id, "candidate": name})
                attempts.forget()
            for failure in run.failures:
                self._tell(name, "failed", f"{failure.stage}: {failure.message}")
            scored = f"{len(run.scores)} scores, {duration(energy)}"
            status: Status = "done" if run.complete or run.scores else "failed"
            self._tell(name, status, scored if run.complete else f"{scored}; incomplete")
            return run

    def fill(
        self, name: str, checkpoint: Checkpoint, parent: Checkpoint | None, share: tuple[int, int]
    ) -> None:
        """Answer one of several shards of the suite into the checkpoint's journal.

        ``score`` then finds every answer there and makes the rows of a run that was never cut.
        """

        built = self._suite(checkpoint)
        key = self._key(built, checkpoint, parent)
        shard, label = _shard(key, *share), f"{name} {share[0] + 1}/{share[1]}"
        with self._leased(shard):
            if self.store.stages.get(shard) is not None or self._stored(key) is not None:
                self._tell(label, "reused")
                return
            self._tell(label, "start")

            def progress(done: int, total: int | None, message: str) -> None:
                self._tell(label, "progress", message, done, total)

            attempts = self._attempts(shard)
            with attempts.window(self.meter(), f"score {label}") as reading:
                fill(self.models.opened(checkpoint, built.suite), built, share, progress)
            energy = reading.energy("score")
            self.store.stages.finish(shard, {"energy": energy.model_dump(mode="json")})
            attempts.forget()
            self._tell(label, "done", duration(energy))

    def _stored(self, key: str) -> Run | None:
        """The run that this stage came to; None where it has not, or the run is damaged.

        A damaged run is put away: its answers are in the journal, from which it is made again.
        """
        stage = self.store.stages.get(f"score-{key}")
        if stage is None:
            return None
        run = self.store.runs.intact(stage["run"])
        damage = self.store.runs.put_away(stage["run"]) if run is None else None
        if damage is not None:
            self._tell(str(stage.get("candidate", "")), "again", f"{damage}; it is made again")
        return run

    def _made_as(
        self, stored: Run, key: str, checkpoint: Checkpoint, inherited: Sequence[Energy]
    ) -> Run:
        """The stored scores as a run of how the weights were made now; ``stored`` where as then.

        Another recipe, or more trials of a sweep, may come to the same weights at another cost.
        """

        manifest, old = checkpoint.manifest, stored.checkpoint
        scored = [energy for energy in stored.energy if energy.phase == "score"]
        phases = _phases(checkpoint, scored, inherited)
        made = (manifest.recipe_digest, manifest.notes)
        if made == (old.recipe_digest, old.notes) and phases == stored.energy:
            return stored
        cost = [energy.model_dump(mode="json") for energy in phases]
        changes = {
            "id": digest_json([stored.id, made, cost])[:32],
            "checkpoint": manifest,
            "energy": phases,
            "created_at": now(),
        }
        run = stored.model_copy(update=changes)
        self.store.put(run, self.store.rows(stored.id), self.store.samples(stored.id))
        self.store.stages.finish(f"score-{key}", {"run": run.id, "candidate": run.candidate})
        return run

    def _attempts(self, stage: str) -> Attempts:

        return Attempts(self.store.unfinished.states(stage), "score")

    @contextmanager
    def _leased(self, stage: str) -> Iterator[None]:
        with self.store.leases.held(stage) as held:
            if not held:
                raise StageBusyError(stage, self.store.leases.holder(stage))
            yield

    def _with_shards(self, energy: Energy, key: str) -> Energy:
        """The energy of merging and of every shard before it."""

        count = self.experiment.settings.resources.score.shards
        stages = [self.store.stages.get(_shard(key, number, count)) for number in range(count)]
        spent = [Energy.model_validate(stage["energy"]) for stage in stages if stage is not None]
        return total([energy, *spent]) if spent else energy

    def _evaluate(
        self, name: str, built: BuiltSuite, checkpoint: Checkpoint, parent: Checkpoint | None
    ) -> Evaluation:

        def progress(done: int, total: int | None, message: str) -> None:
            self._tell(name, "progress", message, done, total)

        lm = self.models.opened(checkpoint, built.suite)
        evaluation = evaluate(lm, built, checkpoint=checkpoint, progress=progress)
        if parent is None or built.suite.fidelity is None:
            return evaluation
        return evaluation.merged(
            divergence(
                lm,
                self.models.opened(parent, built.suite),
                built,
                checkpoint=checkpoint,
                parent=parent,
            )
        )

    def marked(
        self, name: str, built: BuiltSuite, evaluation: Evaluation
    ) -> tuple[Evaluation, tuple[Contaminated, ...]]:
        """What of the suite is in the data that the candidate and its parents were trained on."""

        if name == BASE:  # trained by others, on data that nobody here has
            return evaluation, ()
        lineage = {name, *ancestors(self.experiment.graph, name)} - {BASE}
        made = [c for c in self.experiment.candidates if c.name in lineage]
        sources = {source.path: source for candidate in made for source in candidate.data}
        if self._overlaps is None:
            self._overlaps = Overlaps(built)
        return marked(evaluation, built, self._overlaps, tuple(sources.values()))

    def _with_cost(
        self, checkpoint: Checkpoint, built: BuiltSuite, evaluation: Evaluation, reading: Reading
    ) -> tuple[Evaluation, Energy]:
        """Cost scores beside the others; outside their window, since windows do not nest."""

        energy = reading.energy("score")
        if built.suite.cost is None:
            return evaluation, energy
        cost, spent = measured_cost(
            self.models.opened(checkpoint, built.suite), built, self.meter, checkpoint
        )
        return evaluation.merged(cost), total([energy, *spent], phase="score")

    def _suite(self, checkpoint: Checkpoint) -> BuiltSuite:
        """Documents, few-shot contexts and templates, built once for every checkpoint."""

        if self._built is None:
            self.listener(Event("build", "suite", "start"))
            settings = self.experiment.settings
            suite = load_suite(
                settings.suite,
                folder=self.experiment.folder,
                limit=settings.limit,
                parity=settings.parity,
            )
            self._built = build(suite, apply_chat_template=settings.chat_template)
            self.listener(Event("build", "suite", "done", self._built.summary))
        return self._built

    def _key(self, built: BuiltSuite, checkpoint: Checkpoint, parent: Checkpoint | None) -> str:

        settings = self.experiment.settings
        return digest_json(
            {
                "experiment": self.experiment.name,
                "checkpoint": checkpoint.manifest.digest,
                "candidate": checkpoint.manifest.candidate,
                "parent": parent.manifest.digest if parent else None,
                "suite": built.digest,
                "backend": settings.backend,
                "dtype": settings.dtype,
                "code": scoring_code(),
                "versions": versions("score"),
                # Of those that read no meter the key is as it was.
                **({} if built.suite.cost is None else {"cost": self._metering()}),
            }
        )

    def _metering(self) -> list[object]:
        """What a cost score depends on besides the model: the meter, its settings, their code."""
        energy = self.experiment.settings.energy
        config = validated(EnergyConfig, energy, key="energy")
        meter = load_plugin("meters", config.meter)
        return [
            config.model_dump(mode="json"),
            code_digest(Path(inspect.getfile(meter))),
            metering_code(),
            versions("cost"),
        ]

    def _tell(
        self, name: str, status: Status, message: str = "", done: int = 0, total: int | None = None
    ) -> None:
        self.listener(Event("score", name, status, message, done, total))


def _shard(key: str, number: int, count: int) -> str:
    return f"shard-{key}-{number + 1}-of-{count}"


def _phases(
    checkpoint: Checkpoint, scored: Sequence[Energy], inherited: Sequence[Energy]
) -> tuple[Energy, ...]:
    """What a run cost: its own training, its scoring, and the training of its ancestors."""
    trained = checkpoint.manifest.energy
    own = [] if trained is None else [trained.model_copy(update={"phase": "train"})]
    before = [total(inherited, phase="inherited")] if inherited else []
    return (*own, *scored, *before)

"""Checkpoint + suite -> run: opens the model, scores it, and stores the run in one rename."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from steelyard.harness.environment import environment, versions
from steelyard.harness.experiment.file import Experiment
from steelyard.harness.pipeline.events import Event, Listener, Status
from steelyard.harness.pipeline.stage import StageBusyError
from steelyard.harness.records import Checkpoint, Contaminated, Energy, Run
from steelyard.harness.scoring import Journal, Scorer, open_model

if TYPE_CHECKING:
    from steelyard.harness.energy.attempts import Attempts
    from steelyard.harness.evaluation.contamination.overlaps import Overlaps
    from steelyard.harness.evaluation.evaluate import BuiltSuite, Evaluation
    from steelyard.harness.plugins.protocols import Meter, Reading
    from steelyard.harness.store import FolderStore


@dataclass
class ScoreStage:
    """Scores checkpoints of one experiment; tasks are built once, parents stay open."""

    experiment: Experiment
    store: FolderStore
    meter: Callable[[], Meter]
    listener: Listener
    _built: BuiltSuite | None = None
    _overlaps: Overlaps | None = None
    _open: dict[str, Scorer] = field(default_factory=dict)
    """Opened models by checkpoint digest; the last two are kept (child and parent)."""

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
        known = self._known(key)
        if known is not None:
            self._say(name, "reused")
            return self._made_as(known, key, checkpoint, inherited)
        with self._leased(f"score-{key}"):
            known = self._known(key)
            if known is not None:  # by another process, since we looked
                self._say(name, "reused")
                return self._made_as(known, key, checkpoint, inherited)
            self._say(name, "start", checkpoint.manifest.trainer)
            attempts = self._attempts(f"score-{key}")
            with attempts.window(self.meter(), f"score {name}") as reading:
                evaluation = self._evaluate(name, built, checkpoint, parent)
            evaluation, learnt = self.marked(name, built, evaluation)
            evaluation, energy = self._with_cost(checkpoint, built, evaluation, reading)
            energy = self._with_shards(energy, key)
            run = self._record(name, key, checkpoint, evaluation, energy, inherited)
            run = run.model_copy(update={"contamination": learnt})
            self.store.put(run, evaluation.rows, evaluation.samples)
            if run.complete:
                self.store.stages.finish(f"score-{key}", {"run": run.id, "candidate": name})
                attempts.forget()
            self._say(name, "done", f"{len(run.scores)} scores, {energy.seconds:.1f} s")
            return run

    def fill(
        self, name: str, checkpoint: Checkpoint, parent: Checkpoint | None, share: tuple[int, int]
    ) -> None:
        """Answer one of several shards of the suite into the checkpoint's journal.

        ``score`` then finds every answer there and makes the rows of a run that was never cut.
        """
        from steelyard.harness.evaluation.evaluate import fill

        built = self._suite(checkpoint)
        key = self._key(built, checkpoint, parent)
        shard, label = _shard(key, *share), f"{name} {share[0] + 1}/{share[1]}"
        with self._leased(shard):
            if self.store.stages.get(shard) is not None or self._known(key) is not None:
                self._say(label, "reused")
                return
            self._say(label, "start")

            def progress(done: int, total: int | None, message: str) -> None:
                self._say(label, "progress", message, done, total)

            attempts = self._attempts(shard)
            with attempts.window(self.meter(), f"score {label}") as reading:
                fill(self.opened(checkpoint), built, share, progress)
            energy = reading.energy("score")
            self.store.stages.finish(shard, {"energy": energy.model_dump(mode="json")})
            attempts.forget()
            self._say(label, "done", f"{energy.seconds:.1f} s")

    def _known(self, key: str) -> Run | None:
        """The run that this stage came to; None where it has not, or the run is damaged."""
        stage = self.store.stages.get(f"score-{key}")
        return self.store.runs.intact(stage["run"]) if stage is not None else None

    def _made_as(
        self, known: Run, key: str, checkpoint: Checkpoint, inherited: Sequence[Energy]
    ) -> Run:
        """The known scores as a run of how the weights were made now; ``known`` where as then.

        Another recipe, or more trials of a sweep, may come to the same weights at another cost.
        """
        from steelyard.harness.files.digests import digest_json

        manifest, old = checkpoint.manifest, known.checkpoint
        scored = [energy for energy in known.energy if energy.phase == "score"]
        phases = _phases(checkpoint, scored, inherited)
        made = (manifest.recipe_digest, manifest.notes)
        if made == (old.recipe_digest, old.notes) and phases == known.energy:
            return known
        cost = [energy.model_dump(mode="json") for energy in phases]
        changes = {
            "id": digest_json([known.id, made, cost])[:32],
            "checkpoint": manifest,
            "energy": phases,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        run = known.model_copy(update=changes)
        self.store.put(run, self.store.rows(known.id), self.store.samples(known.id))
        self.store.stages.finish(f"score-{key}", {"run": run.id, "candidate": run.candidate})
        return run

    def _attempts(self, stage: str) -> Attempts:
        from steelyard.harness.energy.attempts import Attempts

        return Attempts(self.store.unfinished.states(stage), "score")

    @contextmanager
    def _leased(self, stage: str) -> Iterator[None]:
        with self.store.leases.held(stage) as held:
            if not held:
                raise StageBusyError(stage, self.store.leases.holder(stage))
            yield

    def _with_shards(self, energy: Energy, key: str) -> Energy:
        """The energy of merging and of every shard before it."""
        from steelyard.harness.energy import total

        count = self.experiment.settings.resources.score.shards
        stages = [self.store.stages.get(_shard(key, number, count)) for number in range(count)]
        spent = [Energy.model_validate(stage["energy"]) for stage in stages if stage is not None]
        return total([energy, *spent]) if spent else energy

    def _evaluate(
        self, name: str, built: BuiltSuite, checkpoint: Checkpoint, parent: Checkpoint | None
    ) -> Evaluation:
        from steelyard.harness.evaluation.evaluate import divergence, evaluate

        def progress(done: int, total: int | None, message: str) -> None:
            self._say(name, "progress", message, done, total)

        lm = self.opened(checkpoint)
        evaluation = evaluate(lm, built, checkpoint=checkpoint, progress=progress)
        if parent is None or built.suite.fidelity is None:
            return evaluation
        return evaluation.merged(
            divergence(lm, self.opened(parent), built, checkpoint=checkpoint, parent=parent)
        )

    def marked(
        self, name: str, built: BuiltSuite, evaluation: Evaluation
    ) -> tuple[Evaluation, tuple[Contaminated, ...]]:
        """What of the suite is in the data that the candidate and its parents were trained on."""
        from steelyard.harness.evaluation.contamination.marks import marked
        from steelyard.harness.evaluation.contamination.overlaps import Overlaps
        from steelyard.harness.experiment.lineage import BASE, ancestors

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
        from steelyard.harness.energy import total
        from steelyard.harness.evaluation.cost import measured_cost

        energy = reading.energy("score")
        if built.suite.cost is None:
            return evaluation, energy
        found, spent = measured_cost(self.opened(checkpoint), built, self.meter, checkpoint)
        return evaluation.merged(found), total([energy, *spent], phase="score")

    def _suite(self, checkpoint: Checkpoint) -> BuiltSuite:
        """Documents, few-shot contexts and templates, built once for every checkpoint."""
        from steelyard.harness.evaluation.evaluate import build
        from steelyard.harness.suites.suite import load_suite

        if self._built is None:
            self.listener(Event("build", "suite", "start"))
            settings = self.experiment.settings
            suite = load_suite(settings.suite, folder=self.experiment.folder, limit=settings.limit)
            self._built = build(suite, apply_chat_template=settings.chat_template)
            self.listener(
                Event("build", "suite", "done", f"{suite.name}: {len(suite.tasks)} tasks")
            )
        return self._built

    def _key(self, built: BuiltSuite, checkpoint: Checkpoint, parent: Checkpoint | None) -> str:
        from steelyard.harness.evaluation.code import scoring_code
        from steelyard.harness.files.digests import digest_json

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
            }
        )

    def opened(self, checkpoint: Checkpoint) -> Scorer:
        """An opened model with its journal; at most two stay in memory."""
        from steelyard.harness.evaluation.code import answers_key

        digest = checkpoint.manifest.digest
        if digest in self._open:
            self._open[digest] = self._open.pop(digest)
            return self._open[digest]
        while len(self._open) > 1:
            self._open.pop(next(iter(self._open)))
        journal = Journal(self.store.unfinished.journal(digest), answers_key(digest))
        if journal.dropped_bytes:
            lost = f"{journal.dropped_bytes} damaged bytes at the end of its journal are dropped"
            candidate = checkpoint.manifest.candidate
            self._say(candidate, "again", f"{lost}; what they held is scored again")
        self._open[digest] = open_model(
            checkpoint.weights_folder,
            adapter=checkpoint.adapter_folder,
            gguf_file=checkpoint.gguf_file,
            dtype=self.experiment.settings.dtype,
            backend=self.experiment.settings.backend,
            journal=journal,
        )
        return self._open[digest]

    def _record(
        self,
        name: str,
        key: str,
        checkpoint: Checkpoint,
        evaluation: Evaluation,
        energy: Energy,
        inherited: Sequence[Energy],
    ) -> Run:
        from steelyard.harness.files.digests import digest_json

        now = datetime.now(UTC).isoformat(timespec="seconds")
        complete = not evaluation.failures
        return Run(
            # An incomplete run never stands in for the complete one that a later call makes.
            id=digest_json([key, name, None if complete else now])[:32],
            experiment=self.experiment.name,
            candidate=name,
            suite=self._suite(checkpoint).suite.name,
            checkpoint=checkpoint.manifest,
            scores=evaluation.scores,
            signatures=evaluation.signatures,
            energy=_phases(checkpoint, [energy], inherited),
            environment=environment(),
            complete=complete,
            failures=evaluation.failures,
            scoring=self._scoring(checkpoint),
            created_at=now,
        )

    def _scoring(self, checkpoint: Checkpoint) -> dict[str, object]:
        """What the scorer says of itself, after the fact: its way, and what happened on it."""
        lm = self._open.get(checkpoint.manifest.digest)
        return {} if lm is None else lm.scoring_record()

    def _say(
        self, name: str, status: Status, message: str = "", done: int = 0, total: int | None = None
    ) -> None:
        self.listener(Event("score", name, status, message, done, total))


def _shard(key: str, number: int, count: int) -> str:
    return f"shard-{key}-{number + 1}-of-{count}"


def _phases(
    checkpoint: Checkpoint, scored: Sequence[Energy], inherited: Sequence[Energy]
) -> tuple[Energy, ...]:
    """What a run cost: its own training, its scoring, and the training of its ancestors."""
    from steelyard.harness.energy import total

    trained = checkpoint.manifest.energy
    own = [] if trained is None else [trained.model_copy(update={"phase": "train"})]
    before = [total(inherited, phase="inherited")] if inherited else []
    return (*own, *scored, *before)

"""Experiment -> runs, idempotent: what is done and unchanged is not done again.

A stage (train one candidate, score one checkpoint) is keyed by everything that it depends on. Its
result is adopted by the store in one rename, so that a process killed anywhere leaves either the
whole stage or none of it, and the next call does only what is missing, with the same numbers.
"""

from __future__ import annotations

import logging
import shutil
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import AssayError
from harness.events import Event, Listener, no_listener
from harness.experiment import Candidate, Experiment
from harness.lineage import BASE, ancestors
from harness.records import Checkpoint, CheckpointManifest, Energy, Failure, Run

if TYPE_CHECKING:
    from harness.protocols import Meter
    from harness.score_stage import ScoreStage
    from harness.store import FolderStore

log = logging.getLogger(__name__)

#: Libraries whose version changes what a recipe produces, and so belong to its identity.
RECIPE_LIBRARIES = ("torch", "transformers", "trl", "peft", "bitsandbytes")


@dataclass
class Outcome:
    """What an experiment came to: a run for each scored candidate, and what failed."""

    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


@dataclass
class Pipeline:
    """Carries one experiment through training and scoring in one process."""

    experiment: Experiment
    store: FolderStore
    meter: Callable[[], Meter]
    """Opened on first use, because starting a meter takes seconds."""
    listener: Listener = no_listener

    def run(self, only: Sequence[str] = ()) -> Outcome:
        """Train and score every candidate (or ``only`` these and their ancestors)."""
        from harness.checkpoints import is_reward_model

        outcome = self.train(only)
        score_stage = self._score_stage()
        for name, checkpoint in outcome.checkpoints.items():
            if is_reward_model(checkpoint):
                self.listener(Event("score", name, "skipped", "it gives rewards, not text"))
                continue
            with self._failing(outcome, "score", name):
                outcome.runs[name] = self._score(score_stage, name, checkpoint, outcome)
        return outcome

    def train(self, only: Sequence[str] = ()) -> Outcome:
        """Train what is missing; a failed candidate does not stop those that do not need it."""
        outcome = Outcome()
        wanted = self._wanted(only)
        outcome.checkpoints[BASE] = self._open_base()
        for candidate in wanted:
            lacking = ancestors(self.experiment.graph, candidate.name) - set(outcome.checkpoints)
            if lacking:
                what = "parent" if candidate.parent in lacking else "source"
                failed = candidate.parent if what == "parent" else ", ".join(sorted(lacking))
                message = f"its {what} '{failed}' failed"
                outcome.failures.append(Failure(stage=f"train {candidate.name}", message=message))
                self.listener(Event("train", candidate.name, "skipped", message))
                continue
            with self._failing(outcome, "train", candidate.name):
                start = outcome.checkpoints[candidate.parent]
                outcome.checkpoints[candidate.name] = self._train(candidate, start, outcome)
        return outcome

    def _wanted(self, only: Sequence[str]) -> list[Candidate]:
        if not only:
            return list(self.experiment.candidates)
        needed = {self.experiment.candidate(name).name for name in only if name != BASE}
        for name in tuple(needed):
            needed.update(ancestors(self.experiment.graph, name))
        return [c for c in self.experiment.candidates if c.name in needed]

    def _sources(self, candidate: Candidate, outcome: Outcome) -> dict[str, Checkpoint]:
        """The checkpoints that the trainer reads besides its start, by the names given."""
        from harness.checkpoints import open_base

        known, resolve = outcome.checkpoints, self.experiment.resolve
        return {
            name: known.get(name) or open_base(name, resolve=resolve) for name in candidate.sources
        }

    # --- training ---------------------------------------------------------------------------

    def _open_base(self) -> Checkpoint:
        from harness.checkpoints import dequantised, open_base

        name = self.experiment.settings.base
        base = open_base(name, resolve=self.experiment.resolve)
        if base.gguf_file is None or not self.experiment.candidates:
            return base
        # Trainers and plain PEFT load safetensors: a GGUF base is dequantised once, exactly.
        found = self.store.checkpoint(base.manifest.digest)
        if found is None:
            self.listener(Event("open", BASE, "start", f"dequantising {base.gguf_file}"))
            folder = self.store.new_checkpoint_folder(f"base-{base.manifest.digest[:16]}")
            dequantised(base, folder)
            found = self.store.adopt_checkpoint(folder, base.manifest.digest)
            self.listener(Event("open", BASE, "done", f"dequantised {base.gguf_file}"))
        from harness.checkpoints import open_checkpoint

        return open_checkpoint(found)

    def _train(self, candidate: Candidate, start: Checkpoint, outcome: Outcome) -> Checkpoint:
        from harness.checkpoints import relink

        sources = self._sources(candidate, outcome)
        key = self._recipe_key(candidate, start, sources)
        done = self.store.stage(f"train-{key}")
        if done is not None and self.store.checkpoint(done["checkpoint"]) is not None:
            adopted = self._adopted(done, verify=True)
            self.listener(Event("train", candidate.name, "reused"))
            return adopted
        self.listener(Event("train", candidate.name, "start", candidate.trainer_name))
        checkpoint = self._trained(candidate, start, sources, key, outcome)
        manifest = checkpoint.manifest
        relink(checkpoint, self.store.checkpoint_path(manifest.digest))
        self.store.adopt_checkpoint(checkpoint.folder, manifest.digest)
        # The stage keeps the manifest: two recipes may come to the same weights, and each has its
        # own name, lineage and energy.
        done = {"checkpoint": manifest.digest, "manifest": manifest.model_dump(mode="json")}
        self.store.finish_stage(f"train-{key}", done)
        self.listener(Event("train", candidate.name, "done", _training_summary(manifest)))
        return self._adopted(done)

    def _adopted(self, stage: Mapping[str, Any], *, verify: bool = False) -> Checkpoint:
        from harness.checkpoints import open_checkpoint

        folder = self.store.checkpoint_path(stage["checkpoint"])
        manifest = CheckpointManifest.model_validate(stage["manifest"])
        return replace(open_checkpoint(folder, verify=verify), manifest=manifest)

    def _trained(
        self,
        candidate: Candidate,
        start: Checkpoint,
        sources: Mapping[str, Checkpoint],
        key: str,
        outcome: Outcome,
    ) -> Checkpoint:
        from harness.checkpoints import check, with_checks, with_energy
        from harness.environment import peak_memory
        from harness.protocols import TrainJob

        def progress(done: int, total: int | None, message: str) -> None:
            self.listener(Event("train", candidate.name, "progress", message, done, total))

        _import_libraries(candidate)
        folder = self.store.new_checkpoint_folder(key)
        base = outcome.checkpoints[BASE].manifest
        job = TrainJob(
            candidate=candidate.name,
            start=start,
            data=candidate.data,
            seed=candidate.seed,
            folder=folder,
            base_name=self.experiment.settings.base,
            base_digest=base.digest,
            sources=sources,
            state_folder=self.store.state_folder(key),
            progress=progress,
        )
        try:
            with self.meter().window(f"train {candidate.name}") as reading, peak_memory() as peak:
                checkpoint = candidate.trainer.train(job)  # type: ignore[attr-defined]
            checkpoint = with_energy(checkpoint, reading.energy("train"), peak.bytes)
            checkpoint = with_checks(checkpoint, check(checkpoint, start))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(self.store.state_folder(key), ignore_errors=True)
        return checkpoint

    def _recipe_key(
        self, candidate: Candidate, start: Checkpoint, sources: Mapping[str, Checkpoint]
    ) -> str:
        """Digest of everything that the trained weights depend on, libraries included."""
        from harness.environment import environment
        from harness.identity import data_digest, digest_json, source_digest

        packages = environment().packages
        # A trainer that reads files besides its data says what is in them, not only where.
        content = getattr(candidate.trainer, "content_digest", None)
        return digest_json(
            {
                "trainer": candidate.trainer_name,
                "options": candidate.trainer.model_dump(mode="json"),
                "source": source_digest(type(candidate.trainer)),
                "data": [[data_digest(s.path), dict(s.columns), s.weight] for s in candidate.data],
                "content": content() if content is not None else None,
                "start": start.manifest.digest,
                "sources": [[name, s.manifest.digest] for name, s in sources.items()],
                "seed": candidate.seed,
                "versions": {name: packages.get(name) for name in RECIPE_LIBRARIES},
            }
        )

    # --- scoring ----------------------------------------------------------------------------

    def _score_stage(self) -> ScoreStage:
        from harness.score_stage import ScoreStage

        return ScoreStage(self.experiment, self.store, self.meter, self.listener)

    def _score(
        self, score_stage: ScoreStage, name: str, checkpoint: Checkpoint, outcome: Outcome
    ) -> Run:
        parent_name = None if name == BASE else self.experiment.candidate(name).parent
        parent = outcome.checkpoints[parent_name] if parent_name else None
        return score_stage.score(name, checkpoint, parent, self._inherited(name, outcome))

    def _inherited(self, name: str, outcome: Outcome) -> Sequence[Energy]:
        """The training energy of every ancestor, each once."""
        found = sorted(ancestors(self.experiment.graph, name))
        energies = (outcome.checkpoints[one].manifest.energy for one in found)
        return [energy for energy in energies if energy]

    @contextmanager
    def _failing(
        self, outcome: Outcome, stage: Literal["train", "score"], name: str
    ) -> Iterator[None]:
        """A failure inside is recorded and the others go on; the log keeps the traceback."""
        try:
            yield
        except Exception as error:
            expected = isinstance(error, AssayError)
            message = str(error) if expected else f"{type(error).__name__}: {error}"
            if not expected:
                self.store.write_log(f"{stage}-{name}", traceback.format_exc())
                message += f" (traceback in {self.store.log_path(f'{stage}-{name}').name})"
            outcome.failures.append(Failure(stage=f"{stage} {name}", message=message))
            self.listener(Event(stage, name, "failed", message))


def _import_libraries(candidate: Candidate) -> None:
    """Import what a trainer stands on before its energy is measured.

    The first import costs seconds in each process; charged to whichever candidate comes first, it
    would make that one look dearer than the same recipe run second.
    """
    for name in getattr(type(candidate.trainer), "libraries", ()):
        module, _, attribute = name.partition(":")
        imported = import_module(module)
        if attribute:
            getattr(imported, attribute)


def _training_summary(manifest: CheckpointManifest) -> str:
    parts = []
    if manifest.steps:
        parts.append(f"{manifest.steps} steps")
    if manifest.loss_curve:
        parts.append(f"loss {manifest.loss_curve[-1].loss:.3f}")
    if manifest.energy is not None:
        parts.append(f"{manifest.energy.seconds:.1f} s")
    return ", ".join(parts)

"""Candidate -> checkpoint: found in the store by its recipe, or trained and adopted there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from steelyard.harness.checkpoints import (
    check_in_fresh_process,
    dequantised,
    open_base,
    open_checkpoint,
    relink,
    server,
    stray_note,
    tokenizer_folder,
    with_checks,
    with_copies,
    with_energy,
)
from steelyard.harness.energy import Attempts, duration, trained_elsewhere
from steelyard.harness.environment import peak_memory, versions
from steelyard.harness.errors import CheckpointError
from steelyard.harness.experiment import BASE, Candidate, Experiment, ancestors, first_prompt
from steelyard.harness.files import data_digest, digest_json
from steelyard.harness.files.version_1 import manifest_of
from steelyard.harness.pipeline.events import Event, Listener
from steelyard.harness.pipeline.row_lengths import lengths_checked
from steelyard.harness.pipeline.stage import StageBusyError
from steelyard.harness.plugins import Meter, TrainJob, source_digest
from steelyard.harness.records import Checkpoint, CheckpointManifest, Energy
from steelyard.harness.store import FolderStore


@dataclass
class Checkpoints:
    """The checkpoints of one experiment, by candidate: found in the store, else made."""

    experiment: Experiment
    store: FolderStore
    meter: Callable[[], Meter]
    listener: Listener
    _base: Checkpoint | None = None
    _digests: dict[str, str] = field(default_factory=dict)
    """Digests of data files, each read once a process."""

    # --- found ------------------------------------------------------------------------------

    @property
    def base(self) -> Checkpoint:
        """The experiment's base; a GGUF one as safetensors where candidates are trained on it."""
        if self._base is None:
            self._base = self._open_base()
        return self._base

    def train(self, name: str) -> str:
        """Have the candidate trained; the key under which the store has its stage.

        Raises ``StageBusyError`` where another process is at it.
        """
        candidate = self.experiment.candidate(name)
        key = self.key(candidate)
        if self._found(name, key, verify=True) is not None:
            self.listener(Event("train", name, "reused"))
        else:
            self._made(candidate, key)
        return key

    def checkpoint(self, name: str, *, verify: bool = True) -> Checkpoint:
        """The checkpoint of a candidate (or ``base``), made where it is missing or damaged.

        ``verify`` reads its weights and holds them against their digest.
        """
        if name == BASE:
            return self.base
        if name not in self.experiment.names:
            return self._as_made_here(open_base(name, resolve=self.experiment.resolve))
        candidate = self.experiment.candidate(name)
        key = self.key(candidate)
        return self._found(name, key, verify=verify) or self._made(candidate, key)

    def inherited(self, name: str) -> list[Energy]:
        """The training energy of every ancestor, each once."""
        names = sorted(ancestors(self.experiment.graph, name))
        energies = [self.checkpoint(ancestor, verify=False).manifest.energy for ancestor in names]
        return [energy for energy in energies if energy]

    def key(self, candidate: Candidate) -> str:
        """Digest of everything that the trained weights depend on, libraries included."""
        # One after another from the base on: a chain may be longer than Python's stack.
        before = ancestors(self.experiment.graph, candidate.name)
        opened: dict[str, Checkpoint] = {}
        for other in self.experiment.candidates:  # parents first
            if other.name in before:
                key = self._key(other, opened)
                made = self._found(other.name, key, verify=False)
                opened[other.name] = made or self._made(other, key)
        return self._key(candidate, opened)

    def _key(self, candidate: Candidate, opened: Mapping[str, Checkpoint]) -> str:
        """As :meth:`key`, once the candidates that it is made from are ``opened``."""

        def origin(name: str) -> Checkpoint:
            return opened[name] if name in opened else self.checkpoint(name, verify=False)

        start = origin(candidate.parent)
        sources = {name: origin(name) for name in candidate.sources}
        return digest_json(
            {
                "trainer": candidate.trainer_name,
                "options": candidate.trainer.model_dump(mode="json"),
                "source": source_digest(type(candidate.trainer)),
                "data": [  # the name too: it seeds which part of a weighted source is drawn
                    [s.name, self._data_digest(s.path), dict(s.columns), s.weight]
                    for s in candidate.data
                ],
                # A trainer that reads files besides its data says what is in them, not only where.
                "content": candidate.trainer.content_digest(),
                "start": start.manifest.digest,
                "sources": [[name, s.manifest.digest] for name, s in sources.items()],
                "seed": candidate.seed,
                "versions": versions("train"),
            }
        )

    def adopted(self, key: str, name: str, *, verify: bool = False) -> Checkpoint | None:
        """The checkpoint that the stage ``key`` came to; None where it has not, or it is gone.

        It is the candidate ``name``'s, whatever that was called when the recipe was carried out:
        its run must be found under the name that the experiment has now.

        Raises ``CheckpointError`` where its content is not what its manifest says.
        """
        done = self.store.stages.get(f"train-{key}")
        if done is None or self.store.checkpoints.get(done["checkpoint"]) is None:
            return None
        checkpoint = self._opened(done, verify=verify)
        manifest = checkpoint.manifest.model_copy(update={"candidate": name})
        return replace(checkpoint, manifest=manifest)

    def _data_digest(self, path: Any) -> str:
        if str(path) not in self._digests:
            self._digests[str(path)] = data_digest(path)
        return self._digests[str(path)]

    def _found(self, name: str, key: str, *, verify: bool) -> Checkpoint | None:
        """What the store has; a damaged checkpoint is put away, so that it is made again."""
        try:
            return self.adopted(key, name, verify=verify)
        except CheckpointError as error:
            message = f"damaged, made again: {error}"
            self.listener(Event("train", name, "again", message))
            digest = (self.store.stages.get(f"train-{key}") or {}).get("checkpoint")
            if digest is not None:
                self.store.checkpoints.discard(digest)
            return None

    def _opened(self, done: Mapping[str, Any], *, verify: bool = False) -> Checkpoint:
        folder = self.store.checkpoints.path(done["checkpoint"])
        # The stage keeps the manifest: two recipes may come to the same weights, and each has its
        # own name, lineage and energy.
        manifest = manifest_of(done["manifest"])
        return replace(open_checkpoint(folder, verify=verify), manifest=manifest)

    def _open_base(self) -> Checkpoint:
        name = self.experiment.settings.base
        base = self._as_made_here(open_base(name, resolve=self.experiment.resolve))
        for note in stray_note(base.folder, base.gguf_file):
            self.listener(Event("open", BASE, "done", note))
        if base.gguf_file is None or not self.experiment.candidates:
            return base
        # Trainers and plain PEFT load safetensors: a GGUF base is dequantised once, exactly. The
        # workspace keeps whose copy it is; the copy itself could not prove it.
        stage = f"float32-{base.manifest.digest}"
        done = self.store.stages.get(stage)
        folder = None if done is None else self.store.checkpoints.get(done["checkpoint"])
        if folder is None:
            self.listener(Event("open", BASE, "start", f"dequantising {base.gguf_file}"))
            folder = self.store.checkpoints.new_folder(f"base-{base.manifest.digest[:16]}")
            digest = dequantised(base, folder).manifest.digest
            folder = self.store.checkpoints.adopt(folder, digest)
            self.store.stages.finish(stage, {"checkpoint": digest})
            self.listener(Event("open", BASE, "done", f"dequantised {base.gguf_file}"))
        return open_checkpoint(folder)

    def _as_made_here(self, opened: Checkpoint) -> Checkpoint:
        """The model with what this workspace knows of how it was made, where it was made here.

        By its content, wherever it lies: a manifest that comes with a folder proves nothing.
        """
        folder = self.store.checkpoints.get(opened.manifest.digest)
        if folder is None or opened.gguf_file is not None:
            return opened
        return replace(opened, manifest=open_checkpoint(folder).manifest)

    # --- made -------------------------------------------------------------------------------

    def _made(self, candidate: Candidate, key: str) -> Checkpoint:
        stage = f"train-{key}"
        with self.store.leases.held(stage) as held:
            if not held:
                raise StageBusyError(stage, self.store.leases.holder(stage))
            checkpoint = self._found(candidate.name, key, verify=True)
            if checkpoint is not None:  # by another process, since we looked
                self.listener(Event("train", candidate.name, "reused"))
                return checkpoint
            start = self.checkpoint(candidate.parent)
            sources = {name: self.checkpoint(name) for name in candidate.sources}
            return self._train(candidate, start, sources, key)

    def _train(
        self, candidate: Candidate, start: Checkpoint, sources: Mapping[str, Checkpoint], key: str
    ) -> Checkpoint:
        self.listener(Event("train", candidate.name, "start", candidate.trainer_name))
        checkpoint = self._trained(candidate, start, sources, key)
        manifest = checkpoint.manifest
        relink(checkpoint, self.store.checkpoints.path(manifest.digest))
        self.store.checkpoints.adopt(checkpoint.folder, manifest.digest)
        done = {"checkpoint": manifest.digest, "manifest": manifest.model_dump(mode="json")}
        self.store.stages.finish(f"train-{key}", done)
        # Only now: a training that could not be kept goes on from its state, with its energy.
        for state in (key, f"train-{key}"):
            shutil.rmtree(self.store.unfinished.states(state), ignore_errors=True)
        self.listener(Event("train", candidate.name, "done", _summary(manifest)))
        return self._opened(done)

    def _trained(
        self, candidate: Candidate, start: Checkpoint, sources: Mapping[str, Checkpoint], key: str
    ) -> Checkpoint:
        def progress(done: int, total: int | None, message: str) -> None:
            self.listener(Event("train", candidate.name, "progress", message, done, total))

        server()  # its imports run beside the training
        lengths = lengths_checked(candidate, tokenizer_folder(start.folder, start.weights_folder))
        import_libraries(candidate)
        folder = self.store.checkpoints.new_folder(key)
        job = TrainJob(
            candidate=candidate.name,
            start=start,
            data=candidate.data,
            seed=candidate.seed,
            folder=folder,
            base_name=self.experiment.settings.base,
            base_digest=self.base.manifest.digest,
            sources=sources,
            state_folder=self.store.unfinished.states(key),
            progress=progress,
        )
        attempts = Attempts(self.store.unfinished.states(f"train-{key}"), "train")
        window = attempts.window(self.meter(), f"train {candidate.name}")
        try:
            with window as reading, peak_memory() as peak:
                checkpoint = candidate.trainer.train(job)
            if candidate.trainer.inner.made_elsewhere:
                checkpoint = with_energy(checkpoint, trained_elsewhere())
            else:
                checkpoint = with_energy(checkpoint, reading.energy("train"), peak.bytes)
            asked = first_prompt(candidate.data)
            checks = check_in_fresh_process(checkpoint, start, prompt=asked)
            checkpoint = with_checks(checkpoint, {**lengths, **checks})
            named = (candidate.name, *candidate.sources)
            copies = {n: self.experiment.copies[n] for n in named if n in self.experiment.copies}
            checkpoint = with_copies(checkpoint, copies)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return checkpoint


def import_libraries(candidate: Candidate) -> None:
    """Import, or make ready, what a trainer stands on before its energy is measured.

    The first import costs seconds in each process; charged to whichever candidate comes first, it
    would make that one look dearer than the same recipe run second.
    """
    for name in candidate.trainer.libraries:
        module, _, attribute = name.partition(":")
        imported = import_module(module)
        if attribute:
            getattr(imported, attribute)
    candidate.trainer.make_ready()


def _summary(manifest: CheckpointManifest) -> str:
    parts = []
    if manifest.steps:
        parts.append(f"{manifest.steps} steps")
    if manifest.loss_curve:
        parts.append(f"loss {manifest.loss_curve[-1].loss:.3f}")
    if manifest.energy is not None and manifest.energy.seconds is not None:
        parts.append(duration(manifest.energy))
    return ", ".join(parts)

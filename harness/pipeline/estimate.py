"""What training an experiment will take, before it runs: parameters, memory, tokens, time, energy.

Each recipe is tried for a few steps on this machine, or read off a past run of the store; a rate
per step and what comes before the first step give the rest. What it came to afterwards stands
beside the estimate.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from steelyard.harness.checkpoints import open_tokenizer
from steelyard.harness.environment import peak_memory
from steelyard.harness.errors import DataError, SteelyardError
from steelyard.harness.experiment import Candidate, Experiment, Row, read_mix, roles_for
from steelyard.harness.files import (
    data_digest,
    digest_json,
    read_json_object,
    temporary_folder,
    write_atomic,
)
from steelyard.harness.pipeline.events import Event, Listener
from steelyard.harness.pipeline.train import import_libraries
from steelyard.harness.plugins import Meter, Trainer, TrainJob
from steelyard.harness.records import Checkpoint, CheckpointManifest
from steelyard.harness.store import FolderStore

#: Options that change how long a recipe runs, and not what one step of it costs.
_NOT_A_STEP_S = (
    "steps", "epochs", "learning_rate", "warmup_ratio", "scheduler", "weight_decay", "early_stop",
)  # fmt: skip
_TOKENISED_ROWS = 200


@dataclass(frozen=True)
class Cost:
    """What a training takes; None is unknown."""

    seconds: float | None = None
    energy_kwh: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class Trial:
    """A few steps of a recipe, or a past run of it."""

    seconds_to_first_step: float
    seconds_per_step: float
    watts: float | None
    peak_memory_bytes: int | None
    parameters: int | None
    parameters_trained: int | None
    basis: str


@dataclass(frozen=True)
class CandidatePlan:
    """One candidate's estimate, and what it came to where it has been trained."""

    candidate: str
    trainer: str
    parameters: int | None
    parameters_trained: int | None
    steps: int | None
    tokens: int | None
    """Tokens that pass through the model in training, padding left out."""
    estimate: Cost
    actual: Cost | None
    basis: str
    """Where the estimate comes from, or why there is none."""
    recipe: str
    """Digest of trainer, options, data and base: an estimate holds for this recipe alone."""


@dataclass(frozen=True)
class SavedEstimate:
    """What an earlier call found, for the recipe with this digest."""

    recipe: str
    basis: str
    parameters: int | None
    parameters_trained: int | None
    estimate: Cost


@dataclass
class Planner:
    """Estimates one experiment's training on this machine."""

    experiment: Experiment
    store: FolderStore
    base: Checkpoint
    meter: Callable[[], Meter]
    listener: Listener
    trial_steps: int
    """Steps of a trial after the first; 0: no trial, past runs alone."""
    saved: Mapping[str, SavedEstimate]
    """Estimates of an earlier call, by candidate."""

    def plan(self) -> list[CandidatePlan]:
        """Every candidate, parents first. Raises ``DataError`` for data that do not fit."""
        self._trials: dict[str, Trial | str] = {}
        runs = (self.store.runs.intact(summary.id) for summary in self.store.runs.summaries())
        self._past = {run.candidate: run.checkpoint for run in runs if run is not None}
        return [self._planned(candidate) for candidate in self.experiment.candidates]

    def _planned(self, candidate: Candidate) -> CandidatePlan:
        trainer = candidate.trainer.inner
        rows = _training_rows(candidate)
        digests = {source.name: data_digest(source.path) for source in candidate.data}
        data = [[s.name, s.weight, dict(s.columns), digests[s.name]] for s in candidate.data]
        recipe = digest_json(
            [candidate.trainer_name, trainer.model_dump(mode="json"), data,
             self.base.manifest.digest]
        )  # fmt: skip
        done = self._done(candidate, digests)
        schedule = trainer.schedule
        steps = None if schedule is None else schedule.steps_over(len(rows))
        plan = CandidatePlan(
            candidate=candidate.name,
            trainer=candidate.trainer_name,
            parameters=done.parameters if done else None,
            parameters_trained=done.parameters_trained if done else None,
            steps=steps,
            tokens=None if steps is None else self._tokens(trainer, rows, steps),
            estimate=Cost(),
            actual=_cost(done) if done else None,
            basis="no training loop: seconds to a minute",
            recipe=recipe,
        )
        saved = self.saved.get(candidate.name)
        if saved is not None and saved.recipe == recipe:
            return replace(
                plan,
                estimate=saved.estimate,
                basis=saved.basis,
                parameters=saved.parameters,
                parameters_trained=saved.parameters_trained,
            )
        if steps is None:
            return plan
        trial = self._trial(candidate, done)
        if isinstance(trial, str):
            return replace(plan, basis=trial)
        seconds = trial.seconds_to_first_step + steps * trial.seconds_per_step
        kwh = None if trial.watts is None else trial.watts * seconds / 3.6e6
        return replace(
            plan,
            parameters=trial.parameters,
            parameters_trained=trial.parameters_trained,
            estimate=Cost(seconds, kwh, trial.peak_memory_bytes),
            basis=trial.basis,
        )

    def _done(
        self, candidate: Candidate, data_digests: Mapping[str, str]
    ) -> CheckpointManifest | None:
        """What this very recipe came to in this workspace."""
        manifest = self._past.get(candidate.name)
        if manifest is None:
            return None
        recipe = candidate.trainer.inner.model_dump(mode="json")
        asked = (recipe, candidate.seed, self.base.manifest.digest, dict(data_digests))
        made = (dict(manifest.recipe), manifest.seed, manifest.base_digest)
        return manifest if (*made, dict(manifest.data_digests)) == asked else None

    def _tokens(self, trainer: Trainer, rows: Sequence[Row], steps: int) -> int | None:
        """Mean tokens of a row, cut to max_length, times the rows that the steps see."""
        longest, schedule = trainer.longest_row, trainer.schedule
        if not rows or longest is None or schedule is None:
            return None
        tokenizer: Any = open_tokenizer(self.base.weights_folder)
        looked_at = rows[:: -(-len(rows) // _TOKENISED_ROWS)]
        counted = [
            min(len(tokenizer(text)["input_ids"]), longest)
            for row in looked_at
            for text in _sequences(row)
        ]
        return round(sum(counted) / len(looked_at) * steps * schedule.rows_per_step)

    def _trial(self, candidate: Candidate, done: CheckpointManifest | None) -> Trial | str:
        trainer = candidate.trainer.inner
        options = {
            name: value
            for name, value in trainer.model_dump(mode="json").items()
            if name not in _NOT_A_STEP_S
        }
        key = digest_json([candidate.trainer_name, options, [s.name for s in candidate.data]])
        if key not in self._trials:
            past = done or self._alike(candidate, options)
            if past is not None:
                self._trials[key] = _of_past(past)
            elif self.trial_steps == 0:
                self._trials[key] = "not tried, and no past run of it"
            else:
                self._trials[key] = self._tried(candidate, trainer)
        return self._trials[key]

    def _alike(
        self, candidate: Candidate, options: Mapping[str, object]
    ) -> CheckpointManifest | None:
        """A past run on this base with the same options, whatever its length."""
        for manifest in self._past.values():
            recipe = {k: v for k, v in manifest.recipe.items() if k not in _NOT_A_STEP_S}
            same = (manifest.trainer, recipe) == (candidate.trainer_name, options)
            if same and manifest.base_digest == self.base.manifest.digest and manifest.steps:
                return manifest
        return None

    def _tried(self, candidate: Candidate, trainer: Trainer) -> Trial | str:
        """A few steps on this machine, from the base: a parent has the same shape."""
        import_libraries(candidate)  # as before a training, whose cost holds no imports
        steps = self.trial_steps + 1
        moments: list[float] = []
        self.listener(Event("plan", candidate.name, "start", f"{steps} steps"))
        with temporary_folder("plan") as scratch:
            job = TrainJob(
                candidate=candidate.name,
                start=self.base,
                data=candidate.data,
                seed=candidate.seed,
                folder=scratch,
                base_name=self.experiment.settings.base,
                sources=dict.fromkeys(candidate.sources, self.base),
                progress=lambda *_: moments.append(time.monotonic()),
            )
            try:
                with self.meter().window("plan") as reading, peak_memory() as peak:
                    began = time.monotonic()
                    made = trainer.shortened(steps).train(job)
            except SteelyardError as error:
                self.listener(Event("plan", candidate.name, "failed", str(error)))
                return f"could not be tried: {error.message}"
        self.listener(Event("plan", candidate.name, "done", f"{time.monotonic() - began:.1f} s"))
        energy = reading.energy("train")
        kwh, seconds = energy.energy_kwh, energy.seconds
        per_step = median([b - a for a, b in pairwise(moments)])
        return Trial(
            seconds_to_first_step=max(moments[0] - began - per_step, 0.0),
            seconds_per_step=per_step,
            watts=kwh * 3.6e6 / seconds if kwh is not None and seconds else None,
            peak_memory_bytes=peak.bytes,
            parameters=made.manifest.parameters,
            parameters_trained=made.manifest.parameters_trained,
            basis=f"trial of {steps} steps here",
        )


def _training_rows(candidate: Candidate) -> list[Row]:
    choices = candidate.trainer.inner.data_choices()
    return [
        row
        for source in candidate.data
        for row in read_mix((source,), roles_for(source, choices), candidate.seed)
    ]


def _sequences(row: Row) -> list[str]:
    """The texts that pass through the model: a pair's prompt goes with either answer."""

    def text(value: object) -> str:
        if isinstance(value, list):
            return " ".join(str(message.get("content", "")) for message in value)
        return str(value)

    if "chosen" in row:
        prompt = text(row.get("prompt", ""))
        return [prompt + text(row[answer]) for answer in ("chosen", "rejected")]
    return ["".join(text(value) for role, value in row.items() if role != "label")]


def _cost(manifest: CheckpointManifest) -> Cost:
    energy = manifest.energy
    return Cost(
        None if energy is None else energy.seconds,
        None if energy is None else energy.energy_kwh,
        manifest.peak_memory_bytes,
    )


def _of_past(manifest: CheckpointManifest) -> Trial:
    cost, steps = _cost(manifest), manifest.steps or 1
    seconds = cost.seconds or 0.0
    kwh = cost.energy_kwh
    return Trial(
        seconds_to_first_step=0.0,
        seconds_per_step=seconds / steps,
        watts=kwh * 3.6e6 / seconds if kwh is not None and seconds else None,
        peak_memory_bytes=cost.peak_memory_bytes,
        parameters=manifest.parameters,
        parameters_trained=manifest.parameters_trained,
        basis=f"past run of '{manifest.candidate}'",
    )


def read_saved(path: Path) -> dict[str, SavedEstimate]:
    """The estimates of an earlier call; none where the file is missing or not what we wrote."""
    from pydantic import TypeAdapter, ValidationError

    try:
        content = read_json_object(path, DataError)
        return TypeAdapter(dict[str, SavedEstimate]).validate_python(content)
    except (DataError, ValidationError):
        return {}


def write_saved(
    path: Path, saved: Mapping[str, SavedEstimate], plans: Sequence[CandidatePlan]
) -> None:
    """Keep the estimates, for a later call to hold the actual cost against."""
    new = {
        p.candidate: SavedEstimate(
            p.recipe, p.basis, p.parameters, p.parameters_trained, p.estimate
        )
        for p in plans
        if p.estimate.seconds is not None
    }
    content = {name: asdict(estimate) for name, estimate in {**saved, **new}.items()}
    write_atomic(path, json.dumps(content, indent=1) + "\n")

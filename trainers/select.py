"""The best of several checkpoints by a validation task or held-out data: the end of a sweep."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from steelyard.harness.checkpoints import finish, take_in
from steelyard.harness.errors import DataError, TrainingError
from steelyard.harness.evaluation import (
    Measured,
    built,
    choice_digest,
    code,
    held_out_loss,
    task_value,
)
from steelyard.harness.experiment import read_mix
from steelyard.harness.plugins import Trainer, TrainJob, ValidationTask
from steelyard.harness.records import Checkpoint
from steelyard.harness.scoring import open_model


class Select(Trainer, ValidationTask):
    """Take in the best of ``sources``; all of them stand in its energy, as its ancestors.

    What decides is a task's metric (``task``) or, with ``data``, the loss on held-out completions.
    A tie goes to the first.
    """

    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = (("prompt", "completion"),)
    source_options: ClassVar[tuple[str, ...]] = ("sources",)
    libraries: ClassVar[tuple[str, ...]] = ("lm_eval",)

    sources: tuple[str, ...] = Field(description="Candidates to choose from.", min_length=1)

    @model_validator(mode="after")
    def _metric_of_a_task(self) -> Self:
        if self.metric is not None and self.task is None:
            raise ValueError("metric needs a task")
        return self

    @property
    def validation_tasks(self) -> tuple[ValidationTask, ...]:
        """Itself, where a task decides."""
        return () if self.task is None else (self,)

    def content_digest(self) -> str:
        """Digest of what the choice is made by, the data aside: the key holds those."""
        return code.scoring_code() if self.task is None else choice_digest(self)

    def train(self, job: TrainJob) -> Checkpoint:
        """Score the sources on what decides, and copy the best. Raises ``TrainingError``."""
        if (self.task is None) == (not job.data):
            raise TrainingError(
                f"candidate '{job.candidate}': {'both' if job.data else 'nothing'} to select by",
                fix="give select either a task or data",
            )
        scores: dict[str, Measured] = {}
        for number, (name, source) in enumerate(job.sources.items()):
            job.progress(number, len(job.sources), name)
            scores[name] = self._measured(source, job)
        sign = 1 if next(iter(scores.values())).higher_is_better else -1
        best = max(scores, key=lambda name: sign * scores[name].value)
        kind, _ = take_in(job.sources[best].folder, job)
        values = ", ".join(f"{name} {score.value:.4g}" for name, score in scores.items())
        manifest = job.sources[best].manifest
        return finish(
            job,
            trainer=self,
            name="select",
            format=kind,
            steps=manifest.steps,
            loss_curve=manifest.loss_curve,
            parameters=manifest.parameters,
            parameters_trained=manifest.parameters_trained,
            notes=[f"selected '{best}' of {len(scores)} by {scores[best].name}: {values}"],
        )

    def _measured(self, source: Checkpoint, job: TrainJob) -> Measured:
        lm = open_model(
            source.weights_folder, adapter=source.adapter_folder, gguf_file=source.gguf_file
        )
        if self.task is None:
            rows = read_mix(job.data, ("prompt", "completion"), seed=0)
            chat = next((row for row in rows if not isinstance(row["prompt"], str)), None)
            if chat is not None:
                what = f"{chat.place}: the loss on held-out data is of texts, and this is a chat"
                fix = "give prompt and completion as texts, or select by a task"
                raise DataError(what, file=chat.path, fix=fix)
            pairs = [(str(row["prompt"]), str(row["completion"])) for row in rows]
            return held_out_loss(lm, pairs, ", ".join(source.name for source in job.data))
        return task_value(lm, built(self), self, source)

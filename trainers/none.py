"""Somebody else's checkpoint taken in as a candidate: LLaMA-Factory, axolotl, TRL, plain PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from steelyard.harness.checkpoints import chosen_folder, content_of, finish, take_in
from steelyard.harness.plugins import RelativePath, Trainer, TrainJob
from steelyard.harness.records import Checkpoint


class NoTraining(Trainer):
    """Take in a model or adapter folder that was made elsewhere; nothing is trained."""

    made_elsewhere: ClassVar[bool] = True

    path: RelativePath = Field(
        description="A folder of full weights, or of a PEFT adapter on the parent; of a training's "
        "output the final model is taken, or the last checkpoint-N where there is none."
    )
    step: int | None = Field(None, ge=1, description="Take checkpoint-N of this step instead.")

    def content_digest(self) -> str:
        """Digest of what lies in the folder now: other content is another candidate."""
        folder, _ = chosen_folder(Path(self.path).expanduser(), self.step)
        return content_of(folder)

    def train(self, job: TrainJob) -> Checkpoint:
        """Copy the folder's weights and tokenizer. Raises ``CheckpointError``."""
        folder, why = chosen_folder(Path(self.path).expanduser(), self.step)
        kind, unchecked = take_in(folder, job)
        note = f"made elsewhere; taken in from a folder named {Path(self.path).name} ({why})"
        return finish(job, trainer=self, name="none", format=kind, notes=[note, *unchecked])

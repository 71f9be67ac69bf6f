"""Somebody else's checkpoint taken in as a candidate: LLaMA-Factory, axolotl, TRL, plain PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from harness.protocols import Plugin, TrainJob
from harness.records import Checkpoint


class NoTraining(Plugin):
    """Take in a model or adapter folder that was made elsewhere; nothing is trained."""

    data_roles: ClassVar[tuple[str, ...]] = ()

    path: str = Field(description="A folder of full weights, or of a PEFT adapter on the parent.")

    def content_digest(self) -> str:
        """Digest of what lies in the folder now: other content is another candidate."""
        from harness.checkpoints import open_base

        return open_base(self.path, resolve=lambda name: Path(name).expanduser()).manifest.digest

    def train(self, job: TrainJob) -> Checkpoint:
        """Copy the folder's weights and tokenizer. Raises ``CheckpointError``."""
        from harness.checkpoints import finish, take_in

        kind = take_in(Path(self.path).expanduser(), job)
        note = f"made elsewhere; taken in from a folder named {Path(self.path).name}"
        return finish(job, trainer=self, name="none", format=kind, notes=[note])

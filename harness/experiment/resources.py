"""What a stage needs of a machine; it says where and beside what a stage runs, never what it gives.

Resources are no part of a stage's key: a checkpoint trained on two cores is found again by a run
that allows four.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Resources(BaseModel):
    """What one stage needs; an executor starts it only where that is free."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus: int | None = Field(default=None, ge=1)
    """Cores, and so threads: the order of float sums follows it. None: the worker's share."""
    gpus: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Whole GPUs, or a fraction below one to share one. None: one where there are any."""
    memory_gb: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Main memory in GB (1e9 bytes); stages are not started beyond what the machine has."""
    accelerator: str | None = None
    """Type of GPU, e.g. ``A100``, as Ray names it; elsewhere a part of the GPU's name."""
    timeout_minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """A stage that takes longer is ended and tried again. None: never."""


class ScoreResources(Resources):
    """What scoring one checkpoint needs, and into how many stages it is cut."""

    shards: int = Field(default=1, ge=1, le=1000)
    """Each scores a range of every task's packs; a last stage merges them, with the same rows."""


class StageResources(BaseModel):
    """The ``resources:`` of an experiment file, by kind of stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: Resources = Resources()
    score: ScoreResources = ScoreResources()

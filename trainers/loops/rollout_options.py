"""The options that GRPO and RLOO share, and what they read beside the data."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from steelyard.trainers.loops.preferences import PreferenceOptions
from steelyard.trainers.loops.rewards import Function, Reward, source_of

PROMPTS = ("prompt",)
ANSWERED = ("prompt", "completion")


class RolloutOptions(PreferenceOptions):
    """How completions are sampled, rewarded, and held near the start."""

    data_roles: ClassVar[tuple[str, ...]] = ANSWERED
    source_options: ClassVar[tuple[str, ...]] = ("rewards",)
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = (PROMPTS,)

    learning_rate: float = Field(1e-6, gt=0, le=1, description="Peak learning rate of AdamW.")
    rewards: tuple[Reward, ...] = Field(
        min_length=1,
        description="What is rewarded: exact_match, contains, matches, length, function, model.",
    )
    generations: int = Field(4, ge=2, description="Completions sampled for each prompt.")
    completion_length: int = Field(64, ge=1, description="Longest completion in tokens.")
    temperature: float = Field(1.0, gt=0, description="Temperature of the sampling.")
    beta: float = Field(
        0.04, ge=0, description="Weight of the divergence from the start; 0 keeps no reference."
    )
    max_kl: float | None = Field(
        None, gt=0, description="Stop where the divergence (nats per token) passes this."
    )

    @property
    def cuts_answers(self) -> bool:
        """No answer is read: they are sampled."""
        return False

    def content_digest(self) -> object:
        """... and of the modules that ``reward: function`` names: other code rewards otherwise."""
        own = [[r.name, source_of(r)] for r in self.rewards if isinstance(r, Function)]
        inherited = super().content_digest()
        return [inherited, own] if own else inherited

    @model_validator(mode="after")
    def _batches_hold_whole_groups(self) -> Self:
        batch = self.batch_size * self.gradient_accumulation
        if batch % self.generations:
            raise ValueError(
                f"batch_size x gradient_accumulation is {batch}, which generations: "
                f"{self.generations} does not divide"
            )
        if self.max_kl is not None and self.beta == 0:
            raise ValueError("max_kl needs a reference: beta above 0")
        if self.completion_length >= self.max_length:
            raise ValueError("completion_length leaves no room for a prompt in max_length")
        return self

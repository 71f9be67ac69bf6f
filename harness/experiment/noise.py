"""A noise variant: the baseline scored again with one thing changed, as the file names it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class NoiseVariant(BaseModel):
    """One change, named by its one key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    few_shot_seed: int | None = Field(default=None, ge=0)
    generation_seed: int | None = Field(default=None, ge=0)
    wording: str | None = Field(default=None, min_length=1)
    chat_template: bool | None = None

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("a variant changes one thing: each is measured on its own")
        return self

    @property
    def label(self) -> str:
        """The change in words."""
        ((key, value),) = self.model_dump(exclude_unset=True).items()
        if key == "chat_template":
            return f"{'with' if value else 'without'} the chat template"
        words = {"few_shot_seed": "few-shot order", "wording": "prompt wording"}
        return f"{words.get(key, key.replace('_', ' '))} {value!s:.40}".replace("\n", " ").strip()

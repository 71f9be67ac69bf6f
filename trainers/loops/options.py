"""Options that every method with a training loop shares, and what they read beside the data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from steelyard.harness.evaluation import choice_digest
from steelyard.harness.plugins import Schedule, Trainer, ValidationTask
from steelyard.trainers.loops.early_stop import EarlyStop

#: Kinds of data of the supervised methods: answers to prompts, chats, whole texts.
ANSWERS = ("prompt", "completion")
CHATS = ("messages",)
TEXTS = ("text",)
OTHER_KINDS = (CHATS, TEXTS)

Scheduler = Literal["linear", "cosine", "constant", "constant_with_warmup"]


class TrainingOptions(Trainer):
    """How long, how fast and on what batches."""

    learning_rate: float = Field(2e-5, gt=0, le=1, description="Peak learning rate of AdamW.")
    epochs: float = Field(1.0, gt=0, description="Passes over the data.")
    steps: int | None = Field(None, ge=1, description="Optimizer steps; overrides epochs.")
    batch_size: int = Field(8, ge=1, description="Rows in one forward pass.")
    gradient_accumulation: int = Field(1, ge=1, description="Forward passes to one optimizer step.")
    warmup_ratio: float = Field(
        0.03, ge=0, lt=1, description="Share of the steps in which the learning rate rises."
    )
    scheduler: Scheduler = Field("linear", description="How the learning rate falls afterwards.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay.")
    max_length: int = Field(512, ge=2, description="Longest row in tokens; the rest is cut off.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Precision of the arithmetic: auto is bfloat16 on a GPU and float32 on a CPU. "
        "Weights are kept in float32.",
    )

    @property
    def schedule(self) -> Schedule:
        """How long, and on what batches."""
        return Schedule(self.epochs, self.steps, self.batch_size, self.gradient_accumulation)

    @property
    def longest_row(self) -> int | None:
        """Tokens that a row is cut to."""
        return self.max_length

    @property
    def stops(self) -> EarlyStop | None:
        """When to stop before the end; None: never."""
        return None

    def shortened(self, steps: int) -> Self:
        """The same recipe over so many steps, and to their end."""
        return self.model_copy(update={"steps": steps, "epochs": 1.0})


class ValidatedOptions(TrainingOptions):
    """Methods that may stop early."""

    early_stop: EarlyStop | None = Field(
        None,
        description="Stop where a validation task, or the loss on rows held out, improves no more; "
        "the best state is kept. Keys: task, metric, limit, include, every, patience, holdout, "
        "threshold.",
    )

    @property
    def stops(self) -> EarlyStop | None:
        """When to stop before the end."""
        return self.early_stop

    @property
    def packs(self) -> bool:
        """Whether rows share one of ``max_length`` tokens, so that none is cut."""
        return False

    @property
    def validation_tasks(self) -> tuple[ValidationTask, ...]:
        """The task that ``early_stop`` asks, where it asks one."""
        asked = self.early_stop
        return () if asked is None or asked.task is None else (asked,)

    def shortened(self, steps: int) -> Self:
        """... and to their end."""
        return super().shortened(steps).model_copy(update={"early_stop": None})

    def content_digest(self) -> object:
        """Digest of the task that ``early_stop`` asks: another task stops at another step."""
        return next(map(choice_digest, self.validation_tasks), None)


class SupervisedOptions(ValidatedOptions):
    """Methods that learn texts: answers to prompts, the answers in chats, or whole texts."""

    packing: bool = Field(
        False,
        description="Several rows share one of max_length tokens and do not see one another; "
        "batch_size counts the packed ones.",
    )

    @property
    def packs(self) -> bool:
        """Whether rows share one of ``max_length`` tokens, so that none is cut."""
        return self.packing

    @property
    def cuts_answers(self) -> bool:
        """Not where rows are laid end to end."""
        return not self.packing


class LoraOptions(SupervisedOptions):
    """Low-rank adapters [Hu et al. 2021, arXiv 2106.09685]."""

    learning_rate: float = Field(2e-4, gt=0, le=1, description="Peak learning rate of AdamW.")
    rank: int = Field(16, ge=1, le=4096, description="Rank r of every update B A.")
    lora_alpha: float | None = Field(
        None, gt=0, description="The update is scaled by lora_alpha / rank; None is 2 x rank."
    )
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout in front of A.")
    target_modules: str | tuple[str, ...] = Field(
        "all-linear", description="Modules that get an adapter: names, a pattern, or all-linear."
    )
    use_dora: bool = Field(
        False, description="Train magnitude and direction apart [DoRA, arXiv 2402.09353]."
    )
    use_rslora: bool = Field(
        False, description="Scale by lora_alpha / sqrt(rank) [rsLoRA, arXiv 2312.03732]."
    )
    init_lora_weights: Literal["default", "gaussian", "pissa"] = Field(
        "default",
        description="How A and B start; pissa takes the largest singular directions of the weights "
        "[arXiv 2404.02948] and is stored as plain LoRA of twice the rank.",
    )
    merge: bool = Field(
        False, description="Store merged full weights instead of an adapter beside the base."
    )

    @model_validator(mode="after")
    def _pissa_stands_alone(self) -> Self:
        if self.init_lora_weights == "pissa" and self.use_dora:
            raise ValueError("init_lora_weights: pissa and use_dora do not go together")
        return self

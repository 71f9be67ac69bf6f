"""What a method is to the loops: its name, what of TRL's it is, and what its training came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from steelyard.harness.checkpoints import finish, save_full
from steelyard.harness.errors import TrainingError
from steelyard.harness.plugins import Trainer, TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.libraries import transformers
from steelyard.trainers.loops.watch import Watch


@dataclass(frozen=True)
class Method:
    """A method as TRL has it: a trainer, its arguments, and those of them that are its own."""

    name: str
    trainer: Callable[..., transformers.Trainer]
    arguments: Callable[..., transformers.TrainingArguments]
    own: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """A training that is over, to be stored: by which options, and what was noted."""

    job: TrainJob
    options: Trainer
    name: str
    """The trainer's registered name."""
    watch: Watch
    notes: Sequence[str] = ()
    """On the data; what the watch noted follows."""


def counts(model: transformers.PreTrainedModel) -> dict[str, int]:
    """Parameters of a model, and those that training moves, for the manifest."""
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "parameters_trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def require_decoder(model: transformers.PreTrainedModel, job: TrainJob, method: str) -> None:
    """Raise ``TrainingError`` for an encoder-decoder (T5, BART), which ``method`` cannot train.

    TRL hands such a model a row without an input for its decoder, which is a traceback at best.
    """
    if getattr(model.config, "is_encoder_decoder", False):
        raise TrainingError(
            f"candidate '{job.candidate}': {method} needs a decoder, and its start is an "
            f"encoder-decoder ({model.config.model_type})",
            fix="use full, freeze, lora, qlora, ia3, prompt_tuning, prefix, orpo or simpo, or "
            "start from a decoder",
        )


def merged_note(job: TrainJob) -> tuple[str, ...]:
    """What was done with a parent that is an adapter."""
    if job.start.adapter_folder is None:
        return ()
    parent = job.start.manifest.candidate
    return (f"trained from '{parent}' with its adapter merged into its base's weights",)


def store_full(model: transformers.PreTrainedModel, training: Training) -> Checkpoint:
    """Store full weights."""
    save_full(model, training.job)
    return finish(
        training.job,
        trainer=training.options,
        name=training.name,
        format="full",
        steps=training.watch.steps,
        loss_curve=training.watch.curve,
        notes=(*training.notes, *merged_note(training.job), *training.watch.notes),
        **counts(model),
    )

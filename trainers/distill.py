"""Distillation: the student learns the teacher's next-token distribution on the response tokens.

The loss is ``T^2 KL(teacher_T || student_T)`` at temperature T [Hinton et al. 2015, arXiv
1503.02531], or the reverse ``T^2 KL(student_T || teacher_T)`` [Gu et al. 2023, arXiv 2306.08543].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from steelyard.harness.errors import TrainingError
from steelyard.harness.plugins.protocols import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.options import TrainingOptions

if TYPE_CHECKING:
    import torch
    from trl import SFTTrainer


class Distill(TrainingOptions):
    """Training of all weights on a teacher's token probabilities along given responses."""

    data_roles: ClassVar[tuple[str, ...]] = ("prompt", "completion")
    source_options: ClassVar[tuple[str, ...]] = ("teacher",)
    libraries: ClassVar[tuple[str, ...]] = ("trl:SFTTrainer",)

    teacher: str = Field(description="A candidate, or a model: whose probabilities are learnt.")
    temperature: float = Field(1.0, gt=0, description="Flattens both distributions above 1.")
    divergence: Literal["forward", "reverse"] = Field(
        "forward",
        description="forward spreads over all that the teacher deems likely, reverse picks of it.",
    )
    sft_weight: float = Field(
        0.0, ge=0, description="Weight of the response's own log-loss beside the divergence."
    )

    def train(self, job: TrainJob) -> Checkpoint:
        """Train under TRL's SFTTrainer with the teacher's loss.

        Raises ``TrainingError`` (the tokenizers differ, too) or ``DataError``.
        """
        from trl import SFTConfig

        from steelyard.harness.checkpoints import finish, load_model, save_full
        from steelyard.harness.environment import quiet
        from steelyard.trainers.loops import training

        source = job.sources[self.teacher]
        _require_one_tokenizer(job, source, self.teacher)
        rows, notes = training.dataset(job, self.data_roles)
        training.prepare(job)
        model, tokenizer = load_model(job.start, trainable=True)
        teacher, _ = load_model(source)
        with quiet():
            trainer = _trainer_class()(
                model,
                args=SFTConfig(**training.arguments(self, job), completion_only_loss=True),
                train_dataset=rows,
                processing_class=tokenizer,
            )
            trainer.teacher, trainer.options = teacher, self
            watch = training.run(trainer, job, len(rows))
            save_full(model, job)
        learnt = f"learnt from '{self.teacher}' ({source.manifest.digest[:12]})"
        return finish(
            job,
            trainer=self,
            name="distill",
            format="full",
            steps=watch.steps,
            loss_curve=watch.curve,
            notes=(learnt, *notes, *training.merged_note(job), *watch.notes),
            **training.counts(model),
        )


def distillation_loss(
    student: torch.Tensor, teacher: torch.Tensor, options: Distill, labels: torch.Tensor
) -> torch.Tensor:
    """The summed loss in nats over rows of logits ``(n, vocabulary)`` with labels ``(n,)``."""
    from torch.nn.functional import cross_entropy, kl_div, log_softmax

    ours = log_softmax(student.float() / options.temperature, -1)
    theirs = log_softmax(teacher.float() / options.temperature, -1)
    pair = (ours, theirs) if options.divergence == "forward" else (theirs, ours)
    loss: torch.Tensor = kl_div(*pair, reduction="sum", log_target=True) * options.temperature**2
    if options.sft_weight:
        loss = loss + options.sft_weight * cross_entropy(student.float(), labels, reduction="sum")
    return loss


def _trainer_class() -> type[SFTTrainer]:
    import torch
    from trl import SFTTrainer

    class Distiller(SFTTrainer):
        teacher: Any
        options: Distill

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
            asked = inputs["labels"][:, 1:] != -100
            outputs = model(**given, use_cache=False)
            with torch.no_grad():
                theirs = self.teacher(**given, use_cache=False).logits[:, :-1][asked]
            ours = outputs.logits[:, :-1][asked]
            labels = inputs["labels"][:, 1:][asked]
            loss = distillation_loss(ours, theirs, self.options, labels)
            loss = loss / (len(labels) if num_items_in_batch is None else num_items_in_batch)
            return (loss, outputs) if return_outputs else loss

    return Distiller


def _require_one_tokenizer(job: TrainJob, teacher: Checkpoint, name: str) -> None:
    if teacher.manifest.digests.tokenizer != job.start.manifest.digests.tokenizer:
        raise TrainingError(
            f"candidate '{job.candidate}': the teacher '{name}' has another tokenizer than the "
            "student, so their token probabilities do not compare",
            fix="choose a teacher with the student's tokenizer",
        )

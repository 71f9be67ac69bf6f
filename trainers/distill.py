"""Distillation: the student learns the teacher's next-token distribution on the response tokens.

The loss is ``T^2 KL(teacher_T || student_T)`` at temperature T [Hinton et al. 2015, arXiv
1503.02531], or the reverse ``T^2 KL(student_T || teacher_T)`` [Gu et al. 2023, arXiv 2306.08543].
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from steelyard.harness.checkpoints import load_model, vocabulary_difference
from steelyard.harness.environment import quiet
from steelyard.harness.errors import TrainingError
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops import training
from steelyard.trainers.loops.libraries import torch, transformers, trl
from steelyard.trainers.loops.method import Training, require_decoder, store_full
from steelyard.trainers.loops.options import TrainingOptions


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
        source = job.sources[self.teacher]
        rows, notes = training.dataset(job, self.data_roles)
        training.prepare(job)
        model, tokenizer = load_model(job.start, trainable=True)
        require_decoder(model, job, "distill")
        rows = training.begun_once(rows, tokenizer)
        teacher, its_tokenizer = load_model(source, only_asked=True)
        difference = vocabulary_difference(tokenizer, its_tokenizer)
        if difference is not None:
            raise TrainingError(
                f"candidate '{job.candidate}': the teacher '{self.teacher}' has another tokenizer "
                f"than the student ({difference}), so their token probabilities do not compare",
                fix="choose a teacher with the student's tokenizer",
            )
        learnt = f"learnt from '{self.teacher}' ({source.manifest.digest[:12]})"
        with quiet():
            trainer = _distiller()(
                model,
                args=trl.SFTConfig(**training.arguments(self, job), completion_only_loss=True),
                train_dataset=rows,
                processing_class=tokenizer,
            )
            trainer.teacher, trainer.options = teacher, self
            watch = training.run(trainer, job, len(rows))
            return store_full(model, Training(job, self, "distill", watch, (learnt, *notes)))


def distillation_loss(
    student: torch.Tensor, teacher: torch.Tensor, options: Distill, labels: torch.Tensor
) -> torch.Tensor:
    """The summed loss in nats over rows of logits ``(n, vocabulary)`` with labels ``(n,)``."""
    functional = torch.nn.functional
    # Rows that one of two models of one tokenizer pads its head with stand for no token.
    common = min(student.shape[-1], teacher.shape[-1])
    student, teacher = student[:, :common], teacher[:, :common]
    ours = functional.log_softmax(student.float() / options.temperature, -1)
    theirs = functional.log_softmax(teacher.float() / options.temperature, -1)
    pair = (ours, theirs) if options.divergence == "forward" else (theirs, ours)
    divergence = functional.kl_div(*pair, reduction="sum", log_target=True)
    loss: torch.Tensor = divergence * options.temperature**2
    if options.sft_weight:
        own = functional.cross_entropy(student.float(), labels, reduction="sum")
        loss = loss + options.sft_weight * own
    return loss


def _distiller() -> type[trl.SFTTrainer]:
    """TRL's trainer with the teacher's loss."""

    class Distiller(trl.SFTTrainer):
        teacher: transformers.PreTrainedModel
        options: Distill

        def compute_loss(
            self,
            model: transformers.PreTrainedModel,
            inputs: dict[str, torch.Tensor],
            return_outputs: bool = False,
            num_items_in_batch: torch.Tensor | None = None,
        ) -> torch.Tensor | tuple[torch.Tensor, transformers.utils.ModelOutput]:
            tokens = {name: inputs[name] for name in ("input_ids", "attention_mask")}
            asked = inputs["labels"][:, 1:] != -100
            outputs = model(**tokens, use_cache=False)
            with torch.no_grad():
                theirs = self.teacher(**tokens, use_cache=False).logits[:, :-1][asked]
            ours = outputs.logits[:, :-1][asked]
            labels = inputs["labels"][:, 1:][asked]
            loss = distillation_loss(ours, theirs, self.options, labels)
            loss = loss / (len(labels) if num_items_in_batch is None else num_items_in_batch)
            return (loss, outputs) if return_outputs else loss

    return Distiller

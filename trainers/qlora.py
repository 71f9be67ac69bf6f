"""QLoRA: LoRA over weights frozen in 4 bits [Dettmers et al. 2023, arXiv 2305.14314].

The adapter is stored for the base's own weights, as PEFT's users expect. ``merge: true`` stores
exactly the model that was trained: the adapter merged into the de-quantised 4-bit weights.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from steelyard.harness.checkpoints import load_model
from steelyard.harness.environment import quiet
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops import training
from steelyard.trainers.loops.adapters import lora_config, store_adapter, stored_merged
from steelyard.trainers.loops.lessons import lessons
from steelyard.trainers.loops.libraries import peft, torch, transformers
from steelyard.trainers.loops.method import Training
from steelyard.trainers.loops.options import ANSWERS, OTHER_KINDS, LoraOptions
from steelyard.trainers.loops.supervised import run, sft_trainer
from steelyard.trainers.weights.packing import packed, put_back


class Qlora(LoraOptions):
    """Supervised fine-tuning of low-rank adapters over a base frozen in 4 bits."""

    data_roles: ClassVar[tuple[str, ...]] = ANSWERS
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = OTHER_KINDS
    libraries: ClassVar[tuple[str, ...]] = ("trl:SFTTrainer", "peft", "bitsandbytes")

    scheme: Literal["nf4", "fp4"] = Field("nf4", description="The base's 4-bit number format.")
    double_quant: bool = Field(True, description="Quantise the base's scales too.")

    @model_validator(mode="after")
    def _four_bits_have_no_singular_directions(self) -> Self:
        if self.init_lora_weights == "pissa":
            raise ValueError("init_lora_weights: pissa needs float weights; use trainer: lora")
        return self

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as PEFT's QLoRA guide does. Raises ``TrainingError`` or ``DataError``."""
        data = lessons(job, self)
        training.prepare(job)
        with quiet():
            model, tokenizer = load_in_4bit(self, job)
            trainer = sft_trainer(self, job, model, tokenizer, data, lora_config(self))
            watch = run(trainer, job, data, self)
            trained = trainer.model
            if stored_merged(job, self.merge):
                trained = on_dequantised(trained, self, job)
            over = Training(job, self, "qlora", watch, data.notes)
            return store_adapter(trained, over, merge=self.merge)


def load_in_4bit(
    options: Qlora, job: TrainJob
) -> tuple[transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase]:
    """The start in 4 bits, ready for an adapter, and its tokenizer."""
    full, tokenizer = load_model(job.start)
    model = packed(full, _packing(options), job.folder)
    model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return model.train(), tokenizer


def _packing(options: Qlora) -> transformers.BitsAndBytesConfig:
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=options.scheme,
        bnb_4bit_use_double_quant=options.double_quant,
        bnb_4bit_compute_dtype=torch.bfloat16 if torch.cuda.is_available() else torch.float32,
    )


def on_dequantised(trained: peft.PeftModel, options: Qlora, job: TrainJob) -> peft.PeftModel:
    """The adapter on the floats that its 4-bit base stands for, ready to be merged.

    The base is packed afresh: one that has run a forward pass may have been repacked.
    """
    full, _ = load_model(job.start)
    put_back(full, packed(full, _packing(options), job.folder))
    config = lora_config(options)
    config.task_type = trained.active_peft_config.task_type
    adapted = peft.get_peft_model(full, config)
    peft.set_peft_model_state_dict(adapted, peft.get_peft_model_state_dict(trained))
    return adapted

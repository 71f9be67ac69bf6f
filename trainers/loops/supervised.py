"""What the supervised methods share: the kinds of data they learn, and the library that trains.

A row is a prompt with its completion, a chat (``messages``), or a text. Only completions and the
assistant's turns are learnt; of a text, every token. Decoders train under TRL, encoder-decoders
under transformers' own sequence-to-sequence trainer.
"""

from __future__ import annotations

from dataclasses import replace

from steelyard.harness.plugins import TrainJob
from steelyard.trainers.loops import training
from steelyard.trainers.loops.lessons import Lessons
from steelyard.trainers.loops.libraries import peft, transformers, trl
from steelyard.trainers.loops.options import ValidatedOptions
from steelyard.trainers.loops.sequence_to_sequence import seq2seq_trainer
from steelyard.trainers.loops.watch import Watch


def sft_trainer(
    options: ValidatedOptions,
    job: TrainJob,
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerBase,
    data: Lessons,
    peft_config: peft.PeftConfig | None = None,
) -> transformers.Trainer:
    """TRL's SFTTrainer over the lessons, or transformers' own for an encoder-decoder."""
    held_out = data.held_out
    data = replace(
        data,
        rows=training.begun_once(data.rows, tokenizer),
        held_out=None if held_out is None else training.begun_once(held_out, tokenizer),
    )
    if getattr(model.config, "is_encoder_decoder", False):
        return seq2seq_trainer(options, job, model, tokenizer, data, peft_config)
    return trl.SFTTrainer(
        model,
        args=trl.SFTConfig(
            **training.arguments(options, job),
            completion_only_loss=data.answers,
            packing=options.packs,
            eval_packing=False,
        ),
        train_dataset=data.rows,
        eval_dataset=data.held_out,
        processing_class=tokenizer,
        peft_config=peft_config,
    )


def run(
    trainer: transformers.Trainer, job: TrainJob, data: Lessons, options: ValidatedOptions
) -> Watch:
    """Train, and watch the loss; see :func:`steelyard.trainers.loops.training.run`."""
    counted: int | None = None if options.packs else len(data.rows)
    return training.run(trainer, job, counted, early=options.early_stop)

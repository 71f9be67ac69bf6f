"""What the supervised methods share: the kinds of data they learn, and the library that trains.

A row is a prompt with its completion, a chat (``messages``), or a text. Only completions and the
assistant's turns are learnt; of a text, every token. Decoders train under TRL, encoder-decoders
under transformers' own sequence-to-sequence trainer.
"""

from __future__ import annotations

from dataclasses import replace

from steelyard.harness.errors import TrainingError
from steelyard.harness.plugins import TrainJob
from steelyard.trainers.loops import training
from steelyard.trainers.loops.lessons import Lessons
from steelyard.trainers.loops.libraries import peft, torch, transformers, trl
from steelyard.trainers.loops.options import ValidatedOptions
from steelyard.trainers.loops.sequence_to_sequence import seq2seq_trainer
from steelyard.trainers.loops.watch import Watch

#: By how much of its largest logit a row may differ in a pack: rounding differs by 1e-6.
ROW_TOLERANCE = 1e-3


def sft_trainer(
    options: ValidatedOptions,
    job: TrainJob,
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerBase,
    data: Lessons,
    peft_config: peft.PeftConfig | None = None,
) -> transformers.Trainer:
    """TRL's SFTTrainer over the lessons, or transformers' own for an encoder-decoder.

    Raises ``TrainingError`` where TRL or PEFT refuse the model, or packing would mix rows.
    """
    held_out = data.held_out
    data = replace(
        data,
        rows=training.begun_once(data.rows, tokenizer),
        held_out=None if held_out is None else training.begun_once(held_out, tokenizer),
    )
    if getattr(model.config, "is_encoder_decoder", False):
        with training.in_one_line(job):
            return seq2seq_trainer(options, job, model, tokenizer, data, peft_config)
    if options.packs:
        _require_rows_apart(model, job)
    with training.in_one_line(job):
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


def _require_rows_apart(model: transformers.PreTrainedModel, job: TrainJob) -> None:
    """Raise ``TrainingError`` where packed rows see one another, as in a recurrent model."""
    rows = int(model.get_input_embeddings().weight.shape[0])
    ids = torch.arange(1, 13, device=model.device).remainder(rows)[None]
    positions = torch.tensor([[*range(6), *range(6)]], device=model.device)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        alone = model(input_ids=ids[:, 6:], use_cache=False).logits
        try:
            packed = model(input_ids=ids, position_ids=positions, use_cache=False).logits[:, 6:]
        except TypeError:  # it takes no positions
            packed = torch.full_like(alone, torch.nan)
    model.train(was_training)
    if not bool((packed - alone).abs().max() <= ROW_TOLERANCE * alone.abs().max()):
        raise TrainingError(
            f"candidate '{job.candidate}': packed rows would see one another in a "
            f"{type(model).__name__}",
            fix="leave packing out",
        )


def run(
    trainer: transformers.Trainer, job: TrainJob, data: Lessons, options: ValidatedOptions
) -> Watch:
    """Train, and watch the loss; see :func:`steelyard.trainers.loops.training.run`."""
    counted: int | None = None if options.packs else len(data.rows)
    return training.run(trainer, job, counted, early=options.early_stop)

"""What prompt and prefix tuning share: learned positions in front of the input; no weight moves."""

from __future__ import annotations

from collections.abc import Callable

from steelyard.harness.checkpoints import finish, load_model, save_adapter
from steelyard.harness.environment import quiet
from steelyard.harness.errors import CheckpointError, TrainingError
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.lessons import lessons
from steelyard.trainers.loops.libraries import peft, transformers
from steelyard.trainers.loops.options import ValidatedOptions
from steelyard.trainers.loops.supervised import run, sft_trainer
from steelyard.trainers.loops.training import prepare


def tuned(
    options: ValidatedOptions,
    job: TrainJob,
    name: str,
    configuration: Callable[[transformers.PreTrainedModel], peft.PeftConfig],
) -> Checkpoint:
    """Tune virtual tokens as PEFT's guide does, under TRL, and store them beside the start.

    ``configuration`` is PEFT's, for a model.

    Raises:
        CheckpointError: the job's start is itself an adapter, or a GGUF file: virtual tokens cannot
            be merged.
        TrainingError, DataError: as any training.
    """
    _require_weights(job, name)
    data = lessons(job, options)
    prepare(job)
    model, tokenizer = load_model(job.start, trainable=True)
    with quiet():
        trainer = sft_trainer(options, job, model, tokenizer, data, configuration(model))
        try:
            watch = run(trainer, job, data, options)
        except RuntimeError as error:  # positions that a model's layers do not expect
            words = " ".join(str(error).split())
            raise TrainingError(
                f"candidate '{job.candidate}': {name} does not fit {type(model).__name__}: {words}",
                fix="use prompt_tuning or lora",
            ) from error
        trained, parameters = trainer.model.get_nb_trainable_parameters()
        save_adapter(trainer.model, job)
    return finish(
        job,
        trainer=options,
        name=name,
        format="adapter",
        steps=watch.steps,
        loss_curve=watch.curve,
        notes=(*data.notes, *watch.notes),
        parameters=parameters,
        parameters_trained=trained,
    )


def _require_weights(job: TrainJob, name: str) -> None:
    """They need weights on the disk to stand on."""
    if job.start.adapter_folder is None and job.start.gguf_file is None:
        return
    raise CheckpointError(
        f"candidate '{job.candidate}': {name} stands on full weights, and its parent "
        f"'{job.start.manifest.candidate}' holds none",
        fix="train the parent with merge: true, or start from the base",
    )

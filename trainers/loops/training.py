"""What the training methods share: rows, arguments, the run itself, and resuming it."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from steelyard.harness.checkpoints import added_tokens
from steelyard.harness.errors import DataError, TrainingError
from steelyard.harness.experiment import Row, duplicates, read_mix
from steelyard.harness.plugins import TrainJob
from steelyard.trainers.loops import early_stop
from steelyard.trainers.loops.callbacks import as_callback
from steelyard.trainers.loops.chat_template import fitted
from steelyard.trainers.loops.early_stop import EarlyStop
from steelyard.trainers.loops.head import right_head
from steelyard.trainers.loops.launching import leave_unless_first
from steelyard.trainers.loops.libraries import datasets, torch, transformers
from steelyard.trainers.loops.marks import marked
from steelyard.trainers.loops.options import TrainingOptions
from steelyard.trainers.loops.own_loss import OwnLoss
from steelyard.trainers.loops.positions import count_positions
from steelyard.trainers.loops.watch import Watch

#: Where states are saved in a job's folder while it trains, where it has no other place for them.
STATES = "states"
#: The columns that a row's text begins with, by TRL's names.
_BEGINNINGS = ("prompt", "text")


def dataset(job: TrainJob, roles: Sequence[str]) -> tuple[datasets.Dataset, list[str]]:
    """The job's rows in memory, and notes on what is odd about them. Raises ``DataError``."""
    return learnable(read_mix(job.data, roles, job.seed), job)


def learnable(rows: Sequence[Row], job: TrainJob) -> tuple[datasets.Dataset, list[str]]:
    """Rows in memory that the start can learn as they stand, and notes on what is odd about them.

    Raises ``DataError``, before the model is loaded, where chats stand beside plain prompts or the
    start's chat template leaves something of a chat out.
    """
    _require_one_kind(rows, job)
    whole, notes = in_memory(fitted(rows, job))
    return whole, [*notes, *marked(rows, job)]


def in_memory(rows: Sequence[Row]) -> tuple[datasets.Dataset, list[str]]:
    """Rows as TRL takes them, and notes on what is odd about them."""
    datasets.disable_progress_bars()
    repeated = duplicates(rows)
    notes = [f"{repeated} of {len(rows)} training rows repeat another"] if repeated else []
    # Not from_list(), which knows the columns of the first row only; and with plain Arrow every
    # message would get the keys of all others, which templates take for calls of tools.
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return datasets.Dataset.from_dict(columns, on_mixed_types="use_json"), notes


def _require_one_kind(rows: Sequence[Row], job: TrainJob) -> None:
    """``DataError`` for chats beside texts: libraries look at one row, and take it for all."""
    if len({isinstance(row.get("prompt"), list) for row in rows}) > 1:
        raise DataError(
            "chats and plain prompts in one candidate",
            file=job.data[0].path,
            fix="train on one kind, or write all of them as one kind",
        )


def begun_once(
    rows: datasets.Dataset, tokenizer: transformers.PreTrainedTokenizerBase
) -> datasets.Dataset:
    """The rows without a BOS written out in front of a text where the tokenizer puts one, too.

    Prompts that a chat template has written begin with one, and would be learnt behind two.
    """
    before = tokenizer.decode(list(added_tokens(tokenizer).before))
    column = next((name for name in _BEGINNINGS if name in rows.column_names), None)
    if not before or column is None:
        return rows
    texts = list(rows[column])
    if not any(isinstance(text, str) and text.startswith(before) for text in texts):
        return rows

    def once(row: Mapping[str, str]) -> dict[str, str]:
        return {column: row[column].removeprefix(before)}

    return rows.map(once)


def prepare(job: TrainJob) -> None:
    """Make the run repeatable: seeds, and deterministic kernels where a GPU has others."""
    transformers.set_seed(job.seed)
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


@contextmanager
def in_one_line(job: TrainJob) -> Iterator[None]:
    """What TRL or PEFT refuse while a trainer is made becomes a line of ours, in their words.

    Raises ``TrainingError``.
    """
    try:
        yield
    except (ValueError, NotImplementedError, AttributeError, TypeError) as error:
        words = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
        fix = "take another method, or name other modules: target_modules"
        raise TrainingError(f"candidate '{job.candidate}': {words}", fix=fix) from error


@contextmanager
def _something_trains(job: TrainJob) -> Iterator[None]:
    """Raise ``TrainingError`` where no parameter that trains takes part in the loss."""
    try:
        yield
    except RuntimeError as error:
        if "does not require grad" not in str(error):
            raise
        raise TrainingError(
            f"candidate '{job.candidate}': nothing that trains takes part in the loss",
            fix="name modules that the model runs: target_modules, layers or pattern",
        ) from error


def arguments(options: TrainingOptions, job: TrainJob) -> dict[str, Any]:
    """Keyword arguments of any TRL config: the options, the seed, and no file but saved states."""
    gpu = torch.cuda.is_available()
    early = options.stops
    looks = {} if early is None else early_stop.arguments(early, options.batch_size)
    return {
        "output_dir": str(job.state_folder or job.folder / STATES),
        "learning_rate": options.learning_rate,
        "num_train_epochs": options.epochs,
        "max_steps": options.steps or -1,
        "per_device_train_batch_size": options.batch_size,
        "gradient_accumulation_steps": options.gradient_accumulation,
        "warmup_steps": options.warmup_ratio,
        "lr_scheduler_type": options.scheduler,
        "weight_decay": options.weight_decay,
        "max_length": options.max_length,
        "seed": job.seed,
        "use_cpu": not gpu,
        # Under accelerate's launcher; without a GPU there is one backend that works.
        "ddp_backend": "gloo" if not gpu and "WORLD_SIZE" in os.environ else None,
        "bf16": options.dtype == "bfloat16" or (options.dtype == "auto" and gpu),
        "activation_checkpointing": False,
        "dataloader_pin_memory": gpu,
        # A step's loss is looked at as it comes; the watch says when a state is saved.
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": True,
        **looks,
    }


def run(
    trainer: transformers.Trainer,
    job: TrainJob,
    rows: int | None,
    *,
    dropped: str = "the prompt alone fills",
    early: EarlyStop | None = None,
) -> Watch:
    """Train, from the last saved state where there is one, and watch the loss.

    ``rows`` is how many rows the trainer was given, before it cut and dropped any (None: it packs
    them, and they cannot be counted); ``dropped`` says why it drops some. With ``early`` the
    weights are those of the best look.

    Raises:
        DataError: cutting to max_length leaves no row with anything to learn.
        TrainingError: the loss is not finite.
    """
    left = len(trainer.train_dataset)
    longest = getattr(trainer.args, "max_length", None)
    if left == 0:
        fix = "raise max_length, or shorten the prompts"
        why = f"in every row {dropped} max_length={longest}: nothing is left to learn"
        raise DataError(why, file=job.data[0].path, fix=fix)
    watch = Watch(job)
    if rows is not None and left < rows:
        watch.notes.append(f"{rows - left} of {rows} rows dropped: {dropped} max_length={longest}")
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.add_callback(as_callback(watch))
    for callback in early_stop.callbacks(early, job, trainer) if early else ():
        trainer.add_callback(callback)
    _keep_precision(trainer)
    count_positions(trainer)
    watch.notes += right_head(trainer)
    own_loss = OwnLoss(trainer)
    with _something_trains(job):
        trainer.train(resume_from_checkpoint=_last_state(job.state_folder))
    own_loss.keep(job.folder)
    _gather(trainer)
    leave_unless_first()
    shutil.rmtree(job.folder / STATES, ignore_errors=True)
    watch.judge()
    if early is not None:
        watch.best_step = early_stop.best_step(trainer.state)
        watch.notes.append(early_stop.note(early, trainer.state))
    return watch


def _gather(trainer: transformers.Trainer) -> None:
    """Have weights that FSDP or DeepSpeed keep in shards saved whole, by accelerate."""
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        return
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    save = trainer.model.save_pretrained
    trainer.model.save_pretrained = functools.partial(save, state_dict=state)


def _keep_precision(trainer: transformers.Trainer) -> None:
    """Have a resumed adapter go on in the precision that it was trained in.

    TRL trains the adapter of a 4-bit base in bfloat16, and PEFT reads it back from a saved state in
    float32: without this the rest of the run would be another computation.
    """
    load = trainer._load_from_checkpoint

    def load_in_its_precision(*positional: object, **named: object) -> None:
        before = {name: weight.dtype for name, weight in trainer.model.named_parameters()}
        load(*positional, **named)
        # Others than before: PEFT makes new ones.
        for name, weight in trainer.model.named_parameters():
            if weight.dtype != before[name]:
                weight.data = weight.data.to(before[name])

    trainer._load_from_checkpoint = load_in_its_precision


def _last_state(folder: Path | None) -> str | None:
    """The last whole state in ``folder``; halves that a kill left are removed.

    The trainer writes ``trainer_state.json`` last, so a state that has it is whole.
    """
    if folder is None:
        return None
    whole: list[tuple[int, Path]] = []
    for state in folder.glob("checkpoint-*"):
        try:
            step = json.loads((state / "trainer_state.json").read_bytes())["global_step"]
            whole.append((int(step), state))
        except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
            shutil.rmtree(state, ignore_errors=True)
    return str(max(whole)[1]) if whole else None

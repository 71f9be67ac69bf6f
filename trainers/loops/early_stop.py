"""Stops where a validation number has not improved, and keeps the best state.

transformers' own ``EarlyStoppingCallback`` and ``load_best_model_at_end`` do it; what is ours is
what the number may be: the loss on rows held out of the training data, or a task's metric.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import Field

from steelyard.harness.checkpoints import LoadedModel, Source
from steelyard.harness.errors import DataError
from steelyard.harness.evaluation import Measured, built, task_value
from steelyard.harness.plugins import TrainJob, ValidationTask
from steelyard.harness.suites import BuiltSuite
from steelyard.trainers.loops.callbacks import as_callback
from steelyard.trainers.loops.libraries import datasets, numpy, torch, transformers

#: The name under which transformers finds a task's metric among its own.
METRIC = "eval_validation"
#: ... and the number as the task gives it, in the log.
LOOK = "validation_value"


class EarlyStop(ValidationTask):
    """When to look, at what, and when to give up.

    Rows are held out of the training data by their prompt, so that a repeated prompt never stands
    on both sides.
    """

    every: int = Field(20, ge=1, description="Steps from one look to the next.")
    patience: int = Field(3, ge=1, description="Looks without an improvement before the stop.")
    holdout: float = Field(0.1, gt=0, lt=1, description="Share of the rows that is not trained on.")
    threshold: float = Field(0.0, ge=0, description="A smaller change is no improvement.")


def arguments(options: EarlyStop, batch_size: int) -> dict[str, Any]:
    """Keyword arguments of any TRL config that make the trainer look, save and come back."""
    return {
        "eval_strategy": "steps",
        "eval_steps": options.every,
        "per_device_eval_batch_size": batch_size,
        "prediction_loss_only": True,
        "save_strategy": "steps",
        "save_steps": options.every,
        "load_best_model_at_end": True,
        "metric_for_best_model": METRIC,
        # Every number is turned so that higher is better before transformers sees it.
        "greater_is_better": True,
        # Patience goes on where a kill left it.
        "restore_callback_states_from_checkpoint": True,
    }


def divided(
    rows: datasets.Dataset, options: EarlyStop | None, job: TrainJob
) -> tuple[datasets.Dataset, datasets.Dataset | None]:
    """The rows to train on, and those held out (None without early stop). Raises ``DataError``."""
    if options is None:
        return rows, None
    trained_on, held_out = split_off(rows, options.holdout, job)
    if len(trained_on) == 0:
        raise DataError(
            f"early_stop holds out {options.holdout:.0%} of {len(rows)} rows, which leaves none",
            file=job.data[0].path,
            fix="give more rows, or a smaller holdout",
        )
    return trained_on, held_out


def split_off(
    rows: datasets.Dataset, share: float, job: TrainJob
) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Rows with a share of them held out, at least one; rows of one prompt stay together.

    Rows of which the first part may be empty: those of one prompt cannot be parted.
    """
    first = "prompt" if "prompt" in rows.column_names else rows.column_names[0]
    keys = [json.dumps(value, sort_keys=True) for value in rows[first]]
    rows_of = Counter(keys)
    order = sorted(rows_of)
    random.Random(f"{job.seed}:held out").shuffle(order)
    wanted = max(1, round(share * len(keys)))
    held: set[str] = set()
    count = 0
    for key in order:
        if count >= wanted:
            break
        held.add(key)
        count += rows_of[key]
    trained_on = [at for at, key in enumerate(keys) if key not in held]
    held_out = [at for at, key in enumerate(keys) if key in held]
    return rows.select(trained_on), rows.select(held_out)


def callbacks(
    options: EarlyStop, job: TrainJob, trainer: transformers.Trainer
) -> list[transformers.TrainerCallback]:
    """What is added to the trainer: the number first, then transformers' own patience."""
    return [
        as_callback(ValidationNumber(options, job, trainer)),
        transformers.EarlyStoppingCallback(options.patience, options.threshold),
    ]


class ValidationNumber:
    """Puts the validation number beside the loss that transformers measured."""

    def __init__(self, options: EarlyStop, job: TrainJob, trainer: transformers.Trainer) -> None:
        self.options = options
        self.job = job
        self.trainer = trainer
        self.suite: BuiltSuite | None = None

    def on_evaluate(
        self,
        args: object,
        state: transformers.TrainerState,
        control: object,
        metrics: dict[str, float],
        **_: object,
    ) -> None:
        """Measure, and note the number as transformers compares it and as the task gives it."""
        number = Measured(float(metrics["eval_loss"]), "held-out loss", False)
        if self.options.task is not None:
            number = self._of_task()
        metrics[METRIC] = number.value if number.higher_is_better else -number.value
        state.log_history[-1].update({LOOK: number.value, "validation": number.name})

    def _of_task(self) -> Measured:
        self.suite = self.suite or built(self.options)
        with _random_state_unmoved():
            return task_value(_as_lm(self.trainer), self.suite, self.options, self.job.start)


def _as_lm(trainer: transformers.Trainer) -> Any:
    """The model in training as lm-eval's own ``hf`` model; a training step sets its mode again."""
    from steelyard.harness.scoring import wrap

    model = trainer.accelerator.unwrap_model(trainer.model)
    encoder_decoder = bool(getattr(model.config, "is_encoder_decoder", False))
    loaded = LoadedModel(
        model, trainer.processing_class, Source("in training", "in training"), encoder_decoder
    )
    return wrap(loaded, max_length=None, parity="steelyard")


@contextmanager
def _random_state_unmoved() -> Iterator[None]:
    """What a task draws must not move what training draws next."""
    states = random.getstate(), numpy.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        numpy.random.set_state(states[1])


def best_step(state: transformers.TrainerState) -> int:
    """The step whose weights are kept."""
    if state.best_model_checkpoint is None:
        return int(state.global_step)
    return int(str(state.best_model_checkpoint).rsplit("-", 1)[-1])


def note(options: EarlyStop, state: transformers.TrainerState) -> str:
    """What was looked at, and which state was kept, for the manifest."""
    looks = {
        entry["step"]: (entry[LOOK], entry["validation"])
        for entry in state.log_history
        if LOOK in entry
    }
    if not looks:
        return f"early stop never looked: {state.max_steps} steps, a look every {options.every}"
    (_, name), *_ = looks.values()
    numbers = ", ".join(f"{value:.4g} at {step}" for step, (value, _) in looks.items())
    ended = "stopped" if state.global_step < state.max_steps else "not stopped before the end"
    return (
        f"early stop by {name}: {ended} ({state.global_step} of {state.max_steps} steps), the "
        f"state of step {best_step(state)} kept; {numbers}"
    )

"""The watch over a training run: progress, the loss and its curve, and when to save a state."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from steelyard.harness.errors import TrainingError
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import LossPoint
from steelyard.trainers.loops.libraries import transformers

#: One entry of transformers' log: the step, and the figures that were logged at it.
Logged = Mapping[str, Any]
CURVE_POINTS = 100
#: A state is saved this often: what a kill costs at most, and rarely enough to cost nothing.
SAVE_EVERY_SECONDS = 120.0
#: Figures that TRL logs beside the loss and that belong into the manifest.
KEPT_METRICS = (
    "mean_token_accuracy",
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "nll_loss",
    "log_odds_ratio",
    "kl",
    "reward",
    "reward_std",
    "frac_reward_zero_std",
    "completions/mean_length",
)


class Watch:
    """Shows the loss with the time left, stops where it is not finite, and saves states."""

    def __init__(self, job: TrainJob) -> None:
        self.job = job
        self.notes: list[str] = []
        self.log: list[Logged] = []
        self.best_step: int | None = None
        """The step that early stop went back to."""
        self._began = self._saved = time.monotonic()
        self._first_step = 0

    def on_train_begin(
        self,
        args: object,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        **_: object,
    ) -> None:
        """Note where a resumed run goes on."""
        self._began = self._saved = time.monotonic()
        self._first_step = state.global_step
        self.log = state.log_history
        if state.global_step:
            self.notes.append(
                f"resumed from a state saved at step {state.global_step}: "
                "time and energy count from there"
            )

    def on_log(
        self,
        args: object,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: object,
    ) -> None:
        """Take one step's loss. Raises ``TrainingError`` where it is not finite."""
        if not logs or "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise TrainingError(
                f"candidate '{self.job.candidate}': the loss is {loss} at step {state.global_step}",
                fix="lower learning_rate, or look for damaged rows in the data",
            )
        left = self._left(state.global_step, state.max_steps)
        self.job.progress(state.global_step, state.max_steps, f"loss {loss:.3f}, {left} left")

    def on_step_end(
        self,
        args: object,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        **_: object,
    ) -> None:
        """Have a state saved where the last one is old, and never at the last step."""
        if self.job.state_folder is None or state.global_step >= state.max_steps:
            return
        if time.monotonic() - self._saved >= SAVE_EVERY_SECONDS:
            control.should_save = True

    def on_save(
        self,
        args: object,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        **_: object,
    ) -> None:
        """Count from the end of saving, so that a slow disk does not fill the run with saves."""
        self._saved = time.monotonic()

    def _left(self, step: int, last: int) -> str:
        done = max(step - self._first_step, 1)
        seconds = (time.monotonic() - self._began) / done * (last - step)
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}:{rest:02d}"

    def judge(self) -> None:
        """Note a loss that exploded, or that never moved."""
        losses = [float(entry["loss"]) for entry in self._steps()]
        if len(losses) < 10:
            return
        tenth = len(losses) // 10
        first, last = sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth
        if last > 2 * first and last - first > 1:
            self.notes.append(f"the loss exploded: {first:.3g} at first, {last:.3g} at the end")
        elif max(losses) - min(losses) < 1e-6 * max(abs(first), 1e-6):
            self.notes.append(f"the loss never moved from {first:.3g}")

    def _steps(self) -> list[Logged]:
        return [entry for entry in self.log if "loss" in entry]

    @property
    def steps(self) -> int:
        """Optimizer steps that the weights have taken."""
        if self.best_step is not None:
            return self.best_step
        steps = self._steps()
        return int(steps[-1]["step"]) if steps else 0

    @property
    def curve(self) -> tuple[LossPoint, ...]:
        """At most 100 points, each the mean since the last one; the first step stands alone."""
        steps = self._steps()
        rest = steps[1:]
        width = max(math.ceil(len(rest) / (CURVE_POINTS - 1)), 1)
        groups = [rest[i : i + width] for i in range(0, len(rest), width)]
        return tuple(_mean_point(group) for group in [steps[:1], *groups] if group)


def _mean_point(group: Sequence[Logged]) -> LossPoint:
    metrics = [key for key in KEPT_METRICS if all(key in entry for entry in group)]
    mean = {key: sum(entry[key] for entry in group) / len(group) for key in ("loss", *metrics)}
    loss = mean.pop("loss")
    return LossPoint(step=group[-1]["step"], loss=loss, metrics=mean)

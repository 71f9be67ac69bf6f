"""What GRPO and RLOO share: sampled completions, rewards, and the distance to the reference."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import datasets
import transformers

from steelyard.harness.errors import DataError
from steelyard.harness.experiment.data_sets import Row, read_mix, roles_for
from steelyard.harness.plugins.protocols import TrainJob
from steelyard.trainers.loops import training
from steelyard.trainers.loops.rewards import needs_answer
from steelyard.trainers.loops.rollout_options import ANSWERED, PROMPTS, RolloutOptions
from steelyard.trainers.loops.watch import Watch


class KlBound(transformers.TrainerCallback):
    """Stops training where the policy has moved too far from its reference."""

    def __init__(self, options: RolloutOptions) -> None:
        self.bound = options.max_kl
        self.notes: list[str] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Look at a step's divergence."""
        kl = (logs or {}).get("kl")
        if self.bound is not None and kl is not None and float(kl) > self.bound:
            control.should_training_stop = True
            self.notes.append(
                f"stopped at step {state.global_step}: the divergence from the start, "
                f"{float(kl):.3g} nats per token, passed max_kl={self.bound:g}"
            )


def arguments(options: RolloutOptions, job: TrainJob) -> dict[str, Any]:
    """Keyword arguments of TRL's GRPO and RLOO configs."""
    given = training.arguments(options, job)
    del given["max_length"]
    return given | {
        "num_generations": options.generations,
        "max_completion_length": options.completion_length,
        "temperature": options.temperature,
        "beta": options.beta,
        "reward_weights": [reward.weight for reward in options.rewards],
    }


def prompts(
    job: TrainJob, options: RolloutOptions, tokenizer: Any
) -> tuple[datasets.Dataset, list[str]]:
    """Rows of prompt (and answer), without those too long to be completed, and notes.

    Raises:
        DataError: a reward needs answers and a source has none, or every prompt is too long.
    """
    rows: list[Row] = []
    for source in job.data:
        roles = roles_for(source, (ANSWERED, PROMPTS))
        if roles == PROMPTS and needs_answer(options.rewards):
            fix = "map completion to the column with the right answers"
            raise DataError("exact_match and contains need an answer", file=source.path, fix=fix)
        for row in read_mix([source], roles, job.seed):
            rows.append({"prompt": row["prompt"], "answer": row.get("completion", "")})
    room = options.max_length - options.completion_length
    kept = [row for row in rows if _tokens(tokenizer, row["prompt"]) <= room]
    if not kept:
        why = f"no prompt leaves room for {options.completion_length} tokens: nothing can be learnt"
        raise DataError(why, file=job.data[0].path, fix="raise max_length")
    dataset, notes = training.in_memory(kept)
    if len(kept) < len(rows):
        notes.append(
            f"{len(rows) - len(kept)} of {len(rows)} rows dropped: the prompt leaves no room for "
            f"{options.completion_length} tokens within max_length={options.max_length}"
        )
    return dataset, notes


@contextmanager
def reference_on_disk(model: Any, job: TrainJob) -> Iterator[None]:
    """The start in a folder of its own, because TRL reads its reference from the model's folder.

    The start's own folder would not do: with an adapter merged in, it holds other weights.
    """
    folder, name = job.folder / "reference", model.config.name_or_path
    model.save_pretrained(folder)
    model.config.name_or_path = str(folder)
    try:
        yield
    finally:
        model.config.name_or_path = name
        shutil.rmtree(folder)


def nothing_to_tell_apart(watch: Watch) -> list[str]:
    """A note where no completion was ever rewarded otherwise than the others of its prompt."""
    # TRL compares a standard deviation with 0 and misses what float32 leaves of it.
    if all(
        point.metrics.get("frac_reward_zero_std") == 1 or point.metrics.get("reward_std", 1) < 1e-6
        for point in watch.curve
    ):
        return ["every completion had the same reward as its neighbours: nothing was learnt"]
    return []


def _tokens(tokenizer: Any, prompt: Any) -> int:
    if isinstance(prompt, str):
        return len(tokenizer(prompt)["input_ids"])
    return len(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False))

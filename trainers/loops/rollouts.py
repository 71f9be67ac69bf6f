"""What GRPO and RLOO share: sampled completions, rewards, and the distance to the reference."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from steelyard.harness.checkpoints import load_model, with_rewards
from steelyard.harness.environment import quiet
from steelyard.harness.errors import DataError
from steelyard.harness.experiment import Row, read_mix, roles_for
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops import training
from steelyard.trainers.loops.callbacks import as_callback
from steelyard.trainers.loops.libraries import datasets, transformers
from steelyard.trainers.loops.method import Method, Training, require_decoder
from steelyard.trainers.loops.preferences import peft_config, stored
from steelyard.trainers.loops.rewards import (
    accuracies,
    doubts,
    functions,
    missing_notes,
    needs_answer,
    tokenizers,
)
from steelyard.trainers.loops.rollout_options import ANSWERED, PROMPTS, RolloutOptions
from steelyard.trainers.loops.watch import Watch


def trained_on_rewards(options: RolloutOptions, job: TrainJob, method: Method) -> Checkpoint:
    """Train as TRL's GRPO and RLOO trainers do, and store the result.

    Raises ``TrainingError``, ``DataError``, or ``ConfigError`` where a reward is not there.
    """
    rewards = functions(options.rewards, job.sources)
    models = accuracies(options.rewards, job.sources)
    for doubt in doubts(models):
        job.progress(0, None, doubt)
    training.prepare(job)
    model, tokenizer = load_model(job.start, trainable=True)
    require_decoder(model, job, method.name)
    rows, notes = prompts(job, options, tokenizer)
    rows = training.begun_once(rows, tokenizer)
    bound = KlBound(options)
    with quiet():
        with reference_on_disk(model, job), training.in_one_line(job):
            trainer = method.trainer(
                model,
                reward_funcs=rewards,
                reward_processing_classes=tokenizers(
                    options.rewards, job.sources, chats=isinstance(rows[0]["prompt"], list)
                ),
                args=method.arguments(**arguments(options, job), **method.own),
                train_dataset=rows,
                processing_class=tokenizer,
                peft_config=peft_config(options),
                callbacks=[as_callback(bound)],
            )
        watch = training.run(trainer, job, len(rows))
        notes = [*doubts(models), *notes, *bound.notes, *nothing_to_tell_apart(watch)]
        training_over = Training(
            job, options, method.name, watch, [*notes, *missing_notes(rewards)]
        )
        return with_rewards(stored(trainer.model, options, training_over), reward_models=models)


class KlBound:
    """Stops training where the policy has moved too far from its reference."""

    def __init__(self, options: RolloutOptions) -> None:
        self.bound = options.max_kl
        self.notes: list[str] = []

    def on_log(
        self,
        args: object,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: object,
    ) -> None:
        """Look at a step's divergence."""
        kl = (logs or {}).get("kl")
        if self.bound is not None and kl is not None and float(kl) > self.bound:
            control.should_training_stop = True
            self.notes.append(
                f"stopped at step {state.global_step}: the divergence from the start, estimated "
                f"at {float(kl):.3g} nats per token, passed max_kl={self.bound:g}"
            )


def arguments(options: RolloutOptions, job: TrainJob) -> dict[str, Any]:
    """Keyword arguments of TRL's GRPO and RLOO configs."""
    shared = training.arguments(options, job)
    del shared["max_length"]
    return shared | {
        "num_generations": options.generations,
        "max_completion_length": options.completion_length,
        "temperature": options.temperature,
        "beta": options.beta,
        "reward_weights": [reward.weight for reward in options.rewards],
    }


def prompts(
    job: TrainJob, options: RolloutOptions, tokenizer: transformers.PreTrainedTokenizerBase
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
            if "tools" in row:
                what = f"{row.place}: tools cannot be called while completions are sampled"
                raise DataError(what, file=source.path, fix="leave the column 'tools' out")
            answer = row.get("completion", "")
            if isinstance(answer, list):  # of a chat, which is compared as the text that it is
                answer = answer[-1]["content"]
            rows.append(row.like({"prompt": row["prompt"], "answer": answer}))
    room = options.max_length - options.completion_length
    fitting = [row for row in rows if _tokens(tokenizer, row["prompt"]) <= room]
    if not fitting:
        why = f"no prompt leaves room for {options.completion_length} tokens: nothing can be learnt"
        raise DataError(why, file=job.data[0].path, fix="raise max_length")
    dataset, notes = training.learnable(fitting, job)
    dropped = len(rows) - len(fitting)
    if dropped:
        notes.append(
            f"{dropped} of {len(rows)} rows dropped: the prompt leaves no room for "
            f"{options.completion_length} tokens within max_length={options.max_length}"
        )
    return dataset, notes


@contextmanager
def reference_on_disk(model: transformers.PreTrainedModel, job: TrainJob) -> Iterator[None]:
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


def _tokens(
    tokenizer: transformers.PreTrainedTokenizerBase, prompt: str | list[dict[str, str]]
) -> int:
    if isinstance(prompt, str):
        return len(tokenizer(prompt)["input_ids"])
    return len(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False))

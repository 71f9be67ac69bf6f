"""A reward model: one number for a text, trained from preferences [Bradley & Terry 1952].

The loss is ``-log sigmoid(r(chosen) - r(rejected))`` [Ouyang et al. 2022, arXiv 2203.02155]. The
checkpoint gives no text and is not scored on a suite; ``grpo`` and ``rloo`` take it as a reward.
Its accuracy is measured on pairs that it was not trained on, and stands in its manifest.
"""

from __future__ import annotations

import json
import math
import shutil
from typing import ClassVar

from pydantic import Field

from steelyard.harness.checkpoints import load_model, read_weights, with_rewards
from steelyard.harness.environment import quiet
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint, HeldOutAccuracy
from steelyard.trainers.loops import early_stop, training
from steelyard.trainers.loops.libraries import datasets, numpy, torch, transformers, trl
from steelyard.trainers.loops.method import Training, store_full
from steelyard.trainers.loops.options import TrainingOptions
from steelyard.trainers.loops.preferences import PAIRS, WHOLE_TEXTS, pairs


class RewardModel(TrainingOptions):
    """Train a model that tells good answers from bad; for grpo and rloo, not for a suite."""

    data_roles: ClassVar[tuple[str, ...]] = PAIRS
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = (WHOLE_TEXTS,)
    libraries: ClassVar[tuple[str, ...]] = ("trl:RewardTrainer",)

    learning_rate: float = Field(1e-5, gt=0, le=1, description="Peak learning rate of AdamW.")
    held_out: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Share of the pairs that it is not trained on: its accuracy is measured on "
        "them. Pairs of one prompt stay together. 0: none, and its accuracy is not known.",
    )
    center: float | None = Field(
        None, ge=0, description="Weight that draws the mean of the rewards to 0; None: none."
    )

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as TRL's RewardTrainer does. Raises ``TrainingError`` or ``DataError``."""
        rows, notes = pairs(job)
        rows, held_out, unmeasured = self._divided(rows, job)
        training.prepare(job)
        with quiet():
            with training.in_one_line(job):
                model, tokenizer = _with_a_score(job)
                rows = training.begun_once(rows, tokenizer)
                if held_out is not None:
                    held_out = training.begun_once(held_out, tokenizer)
                trainer = trl.RewardTrainer(
                    model,
                    args=trl.RewardConfig(
                        **training.arguments(self, job), center_rewards_coefficient=self.center
                    ),
                    train_dataset=rows,
                    eval_dataset=held_out,
                    processing_class=tokenizer,
                )
            watch = training.run(
                trainer, job, len(rows), dropped="an answer with its prompt exceeds"
            )
            accuracy, missing = (None, unmeasured) if held_out is None else _accuracy(trainer)
            notes = [*notes, accuracy.in_words() if accuracy else f"accuracy unknown: {missing}"]
            checkpoint = store_full(model, Training(job, self, "reward", watch, notes))
            return with_rewards(checkpoint, held_out_accuracy=accuracy)

    def _divided(
        self, rows: datasets.Dataset, job: TrainJob
    ) -> tuple[datasets.Dataset, datasets.Dataset | None, str]:
        """The pairs to train on, those held out, and why there are none."""
        if not self.held_out:
            return rows, None, "no pairs were held out (held_out: 0)"
        trained_on, held_out = early_stop.split_off(rows, self.held_out, job)
        if len(trained_on) == 0:
            return rows, None, "all pairs have one prompt, so none can be held out"
        return trained_on, held_out, ""


def _accuracy(trainer: transformers.Trainer) -> tuple[HeldOutAccuracy | None, str]:
    """On the pairs held out, by the trainer's own tokens; or why it cannot be told."""
    from steelyard.harness.stats import score_interval  # listing trainers loads no numpy

    held_out = trainer.eval_dataset
    if len(held_out) == 0:
        return None, "every pair held out is longer than max_length"
    loader = torch.utils.data.DataLoader(
        held_out.select_columns(["chosen_ids", "rejected_ids"]),
        batch_size=trainer.args.per_device_train_batch_size,
        collate_fn=trainer.data_collator,
    )
    model = trainer.model.eval()
    differences: list[float] = []
    with torch.inference_mode():
        for batch in loader:
            inputs = {name: values.to(model.device) for name, values in batch.items()}
            # The collator puts the chosen answers first and the rejected ones after them.
            chosen, rejected = model(**inputs, use_cache=False).logits[:, 0].chunk(2)
            differences += (chosen.float() - rejected.float()).tolist()
    if not all(map(math.isfinite, differences)):
        return None, "a reward is not finite"
    right = numpy.array([[float(difference > 0)] for difference in differences])
    prompts = [json.dumps(prompt, sort_keys=True) for prompt in held_out["prompt"]]
    interval = score_interval(right, kind="accuracy", clusters=prompts)
    accuracy = HeldOutAccuracy(
        value=interval.value,
        low=interval.low,
        high=interval.high,
        n=len(right),
        ties=sum(difference == 0 for difference in differences),
    )
    return accuracy, ""


def _with_a_score(
    job: TrainJob,
) -> tuple[transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase]:
    """The start with a new, seeded head of one number in place of its vocabulary."""
    whole = job.folder / "whole"
    full, tokenizer = load_model(job.start)
    full.config.pad_token_id = tokenizer.pad_token_id
    full.save_pretrained(whole)
    try:
        model = read_weights(
            transformers.AutoModelForSequenceClassification,
            whole,
            with_new_head=True,
            num_labels=1,
            dtype=torch.float32,
        ).model
    finally:
        shutil.rmtree(whole)
    return model.to(full.device).train(), tokenizer

"""KTO: answers labelled good or bad, one by one [Ethayarajh et al. 2024, arXiv 2402.01306]."""

from __future__ import annotations

import random
from typing import ClassVar, Literal

from pydantic import Field

from steelyard.harness.errors import DataError
from steelyard.harness.experiment import Row, read_mix, roles_for
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.libraries import datasets, trl
from steelyard.trainers.loops.method import Method
from steelyard.trainers.loops.preferences import PAIRS, PreferenceOptions, trained_beside_reference
from steelyard.trainers.loops.training import learnable

LABELLED = ("prompt", "completion", "label")


class Kto(PreferenceOptions):
    """Preference tuning from single labelled answers; pairs are taken apart into two of them."""

    data_roles: ClassVar[tuple[str, ...]] = PAIRS
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = (LABELLED,)
    libraries: ClassVar[tuple[str, ...]] = ("trl:KTOTrainer",)

    learning_rate: float = Field(1e-6, gt=0, le=1, description="Peak learning rate of AdamW.")
    batch_size: int = Field(
        8,
        ge=2,
        description="Rows in one forward pass; the distance to the reference is their mean.",
    )
    beta: float = Field(0.1, gt=0, description="How strongly the reference holds the model back.")
    loss_type: Literal["kto", "apo_zero_unpaired"] = Field(
        "kto", description="TRL's name of the loss."
    )
    desirable_weight: float = Field(1.0, ge=0, description="Weight of the good answers' loss.")
    undesirable_weight: float = Field(1.0, ge=0, description="Weight of the bad answers' loss.")

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as TRL's KTOTrainer does. Raises ``TrainingError`` or ``DataError``."""
        own = {
            "beta": self.beta,
            "loss_type": self.loss_type,
            "desirable_weight": self.desirable_weight,
            "undesirable_weight": self.undesirable_weight,
        }
        kto = Method("kto", _kto_trainer(), trl.KTOConfig, own)
        return trained_beside_reference(self, job, kto, *learnable(labelled(job), job))


def _kto_trainer() -> type[trl.KTOTrainer]:
    """TRL's KTOTrainer in which every row's distance is estimated from another row's answer.

    TRL pairs each prompt with the answer before it in its batch, and refuses batches of one row. A
    last batch of one slips through: that row's distance would be its own reward, and cancel it.
    """

    class Kto(trl.KTOTrainer):
        def _prepare_dataset(
            self,
            dataset: datasets.Dataset,
            processing_class: object,
            args: trl.KTOConfig,
            dataset_name: str,
        ) -> datasets.Dataset:
            prepared = super()._prepare_dataset(dataset, processing_class, args, dataset_name)
            last = len(prepared) - 1
            if not self.calculate_KL or last % args.per_device_train_batch_size or last < 1:
                return prepared
            own_answer = prepared[last]["completion_ids"]
            others = (row["completion_ids"] for row in prepared.select(range(last)))
            other = next((answer for answer in others if answer != own_answer), own_answer)
            return prepared.map(
                lambda row, index: {
                    "KL_completion_ids": other if index == last else row["KL_completion_ids"]
                },
                with_indices=True,
            )

    return Kto


def labelled(job: TrainJob) -> list[Row]:
    """Rows of prompt, completion and label in a seeded order, whichever kind each source holds.

    TRL reads them in the order given, because each row's distance to the reference is estimated
    from its neighbours'; unshuffled, all good answers would come first.

    Raises:
        DataError: a source holds neither kind or both, or every answer has the same label.
    """
    rows: list[Row] = []
    for source in job.data:
        roles = roles_for(source, (PAIRS, LABELLED))
        for row in read_mix([source], roles, job.seed):
            if roles == LABELLED:
                rows.append(row)
                continue
            for role, good in (("chosen", True), ("rejected", False)):
                rest = {key: row[key] for key in row if key not in PAIRS}
                labelled = {"prompt": row["prompt"], "completion": row[role], "label": good}
                rows.append(row.like({**labelled, **rest}))
    labels = {row["label"] for row in rows}
    if len(labels) == 1:
        raise DataError(
            f"every answer is labelled {str(labels.pop()).lower()}: there is nothing to tell apart",
            file=job.data[0].path,
            fix="kto needs good and bad answers",
        )
    random.Random(job.seed).shuffle(rows)
    return rows

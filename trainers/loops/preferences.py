"""What the preference methods share: an adapter where a rank is given, and TRL's odd beginnings."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from steelyard.harness.checkpoints import finish, save_full
from steelyard.harness.errors import DataError
from steelyard.harness.experiment.data_sets import Row, read_mix, roles_for
from steelyard.harness.plugins.protocols import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.options import LoraOptions, ValidatedOptions

if TYPE_CHECKING:
    import datasets
    from peft import LoraConfig
    from transformers import PreTrainedTokenizerBase

    from steelyard.trainers.loops.watch import Watch


#: Two answers to a prompt, or two whole texts that begin with one prompt, as in HH-RLHF.
PAIRS = ("prompt", "chosen", "rejected")
WHOLE_TEXTS = ("chosen", "rejected")


class PreferenceOptions(ValidatedOptions):
    """All weights move, or with ``rank`` a low-rank adapter beside frozen ones."""

    rank: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Train a LoRA adapter of this rank; None moves all weights.",
    )
    lora_alpha: float | None = Field(
        None, gt=0, description="With rank: the update's scale times rank; None is 2 x rank."
    )
    target_modules: str | tuple[str, ...] = Field(
        "all-linear", description="With rank: modules that get an adapter."
    )
    merge: bool = Field(False, description="With rank: store merged full weights.")


def pairs(job: TrainJob) -> tuple[datasets.Dataset, list[str]]:
    """The job's preferences with their prompts, and notes. Raises ``DataError``."""
    from steelyard.trainers.loops import training

    rows: list[Row] = []
    for source in job.data:
        roles = roles_for(source, (PAIRS, WHOLE_TEXTS))
        found = read_mix((source,), roles, job.seed)
        if roles == WHOLE_TEXTS:
            found = [with_prompt(row) for row in found]
            lacking = sum(not row["prompt"] for row in found)
            if lacking:
                raise DataError(
                    f"chosen and rejected begin with no common prompt in {lacking} of "
                    f"{len(found)} rows",
                    file=source.path,
                    fix="add a column 'prompt', or drop these rows",
                )
        rows += found
    return training.in_memory(rows)


def with_prompt(row: Row) -> Row:
    """What both texts begin with becomes the prompt: whole messages, or whole words.

    The space between prompt and answer stays with the answers, where a tokenizer expects it.
    """
    chosen, rejected = row["chosen"], row["rejected"]
    both = enumerate(zip(chosen, rejected, strict=False))
    same = next((at for at, (a, b) in both if a != b), min(len(chosen), len(rejected)))
    if isinstance(chosen, str):
        while same and not chosen[same : same + 1].isspace():
            same -= 1
    return {"prompt": chosen[:same], "chosen": chosen[same:], "rejected": rejected[same:]}


def peft_config(options: PreferenceOptions) -> LoraConfig | None:
    """PEFT's configuration where a rank is given."""
    from steelyard.trainers.loops.adapters import lora_config

    if options.rank is None:
        return None
    return lora_config(
        LoraOptions(
            rank=options.rank,
            lora_alpha=options.lora_alpha,
            target_modules=options.target_modules,
        )
    )


def finish_preferences(
    model: Any,
    job: TrainJob,
    options: PreferenceOptions,
    name: str,
    watch: Watch,
    notes: Sequence[str],
) -> Checkpoint:
    """Store what was trained: an adapter where a rank is given, full weights where not."""
    from steelyard.trainers.loops import training
    from steelyard.trainers.loops.adapters import finish_adapter

    if options.rank is not None:
        return finish_adapter(model, job, options, name, watch, notes)
    save_full(model, job)
    return finish(
        job,
        trainer=options,
        name=name,
        format="full",
        steps=watch.steps,
        loss_curve=watch.curve,
        notes=(*notes, *training.merged_note(job), *watch.notes),
        **training.counts(model),
    )


def as_asked(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer for TRL's experimental trainers, which put BOS in front of every row.

    Where the tokenizer itself puts none there, no evaluation would, and the model would learn
    another beginning than it is asked with.
    """
    reading = copy.deepcopy(tokenizer)
    first = reading("a")["input_ids"][:1]
    if reading.bos_token_id is not None and first != [reading.bos_token_id]:
        reading.bos_token = None
    return reading


def has_answers(row: dict[str, list[int]]) -> bool:
    """Whether cutting to max_length left something of both answers."""
    return max(row["chosen_labels"]) >= 0 and max(row["rejected_labels"]) >= 0

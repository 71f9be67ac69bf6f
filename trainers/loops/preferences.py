"""What the preference methods share: an adapter where a rank is given, and TRL's odd beginnings."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence

from pydantic import Field

from steelyard.harness.checkpoints import added_tokens, load_model
from steelyard.harness.environment import quiet
from steelyard.harness.errors import DataError
from steelyard.harness.experiment import Row, read_mix, roles_for
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.harness.texts import is_unspaced
from steelyard.trainers.loops import early_stop, training
from steelyard.trainers.loops.adapters import lora_config, store_adapter
from steelyard.trainers.loops.libraries import datasets, peft, transformers, trl
from steelyard.trainers.loops.method import Method, Training, require_decoder, store_full
from steelyard.trainers.loops.options import LoraOptions, ValidatedOptions

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
    rows: list[Row] = []
    for source in job.data:
        roles = roles_for(source, (PAIRS, WHOLE_TEXTS))
        own_rows = read_mix((source,), roles, job.seed)
        if roles == WHOLE_TEXTS:
            own_rows = [with_prompt(row) for row in own_rows]
            lacking = sum(not row["prompt"] for row in own_rows)
            if lacking:
                raise DataError(
                    f"chosen and rejected begin with no common prompt in {lacking} of "
                    f"{len(own_rows)} rows",
                    file=source.path,
                    fix="add a column 'prompt', or drop these rows",
                )
        rows += own_rows
    return training.learnable(rows, job)


def with_prompt(row: Row) -> Row:
    """What both texts begin with becomes the prompt: whole messages, or whole words.

    Of a script without spaces a character is a word.

    The space between prompt and answer stays with the answers, where a tokenizer expects it.
    """
    chosen, rejected = row["chosen"], row["rejected"]
    both = enumerate(zip(chosen, rejected, strict=False))
    same = next((at for at, (a, b) in both if a != b), min(len(chosen), len(rejected)))
    if isinstance(chosen, str):
        # Back to a space that leaves something of both: one may be the other's beginning.
        while same and not (_begins_answer(chosen, same) and _begins_answer(rejected, same)):
            same -= 1
    apart = {"prompt": chosen[:same], "chosen": chosen[same:], "rejected": rejected[same:]}
    return row.like({**row, **apart}) if isinstance(row, Row) else Row(apart)


def _begins_answer(text: str, at: int) -> bool:
    # A space, or a letter of a script that has none between its words.
    begins = text[at : at + 1].isspace() or is_unspaced(text[at : at + 1])
    return begins and bool(text[at:].strip())


def peft_config(options: PreferenceOptions) -> peft.LoraConfig | None:
    """PEFT's configuration where a rank is given."""
    if options.rank is None:
        return None
    return lora_config(
        LoraOptions(
            rank=options.rank,
            lora_alpha=options.lora_alpha,
            target_modules=options.target_modules,
        )
    )


def trained_beside_reference(
    options: PreferenceOptions,
    job: TrainJob,
    method: Method,
    rows: datasets.Dataset,
    notes: Sequence[str],
) -> Checkpoint:
    """Train as TRL's DPO and KTO trainers do, held near the start, and store the result."""
    rows, held_out = early_stop.divided(rows, options.early_stop, job)
    training.prepare(job)
    model, tokenizer = load_model(job.start, trainable=True)
    require_decoder(model, job, method.name)
    rows = training.begun_once(rows, tokenizer)
    if held_out is not None:
        held_out = training.begun_once(held_out, tokenizer)
    reference = None
    if options.rank is None:  # with an adapter, the model without it is the reference
        reference = copy.deepcopy(model).eval().requires_grad_(False)
    with quiet():
        with training.in_one_line(job):
            trainer = method.trainer(
                model,
                ref_model=reference,
                args=method.arguments(**training.arguments(options, job), **method.own),
                train_dataset=rows,
                eval_dataset=held_out,
                processing_class=tokenizer,
                peft_config=peft_config(options),
            )
        watch = training.run(trainer, job, len(rows), early=options.early_stop)
        return stored(trainer.model, options, Training(job, options, method.name, watch, notes))


def trained_without_reference(
    options: PreferenceOptions, job: TrainJob, method: Method
) -> Checkpoint:
    """Train as TRL's experimental ORPO and CPO trainers do, and store the result."""
    rows, notes = pairs(job)
    rows, held_out = early_stop.divided(rows, options.early_stop, job)
    training.prepare(job)
    model, tokenizer = load_model(job.start, trainable=True)
    are_chats = isinstance(rows[0]["prompt"], list)
    rows = _begun(rows, tokenizer)
    if held_out is not None:
        held_out = _begun(held_out, tokenizer)
    with quiet():
        with training.in_one_line(job):
            trainer = method.trainer(
                model,
                args=method.arguments(
                    **training.arguments(options, job), **method.own, remove_unused_columns=False
                ),
                train_dataset=rows,
                eval_dataset=held_out,
                processing_class=as_asked(tokenizer, are_chats=are_chats),
                peft_config=peft_config(options),
            )
        trainer.train_dataset = trainer.train_dataset.filter(has_answers)
        watch = training.run(trainer, job, len(rows), early=options.early_stop)
        return stored(trainer.model, options, Training(job, options, method.name, watch, notes))


def stored(
    model: transformers.PreTrainedModel, options: PreferenceOptions, training_over: Training
) -> Checkpoint:
    """Store what was trained: an adapter where a rank is given, full weights where not."""
    if options.rank is None:
        return store_full(model, training_over)
    return store_adapter(model, training_over, merge=options.merge)


def as_texts(
    rows: datasets.Dataset, tokenizer: transformers.PreTrainedTokenizerBase
) -> datasets.Dataset:
    """Chats as TRL's own ``apply_chat_template`` writes them; texts as they are.

    TRL's experimental trainers do it by ``Dataset.map``, which gives the texts the type of the
    chats, and hand no tools to the template.
    """
    if not isinstance(rows[0]["prompt"], list):
        return rows
    texts = []
    for row in rows:
        tools = json.loads(row["tools"]) if row.get("tools") else None
        texts.append(trl.apply_chat_template(row, tokenizer, tools=tools))
    return datasets.Dataset.from_list(texts)


def _begun(
    rows: datasets.Dataset, tokenizer: transformers.PreTrainedTokenizerBase
) -> datasets.Dataset:
    """Chats as their template begins them, texts as the tokenizer does.

    TRL's experimental trainers put a BOS there themselves, and no other token (GLM begins every
    text with two of its own): those are written out.
    """
    if isinstance(rows[0]["prompt"], list):
        return as_texts(rows, tokenizer)
    rows = training.begun_once(rows, tokenizer)
    before = list(added_tokens(tokenizer).before)
    if before in ([], [tokenizer.bos_token_id]):
        return rows
    beginning = tokenizer.decode(before)
    return rows.map(lambda row: {"prompt": beginning + row["prompt"]})


def as_asked(
    tokenizer: transformers.PreTrainedTokenizerBase, *, are_chats: bool = False
) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer for TRL's experimental trainers, which put BOS in front of every row.

    Where the tokenizer itself puts none there, no evaluation would, and the model would learn
    another beginning than it is asked with; a chat begins as its template wrote it. They also pad
    with nothing else than a padding token, where TRL's own trainers take EOS.
    """
    reading = copy.deepcopy(tokenizer)
    first = reading("a")["input_ids"][:1]
    if reading.bos_token_id is not None and (are_chats or first != [reading.bos_token_id]):
        reading.bos_token = None
    if reading.pad_token is None:
        reading.pad_token = reading.eos_token
    return reading


def has_answers(row: dict[str, list[int]]) -> bool:
    """Whether cutting to max_length left something of both answers."""
    return max(row["chosen_labels"]) >= 0 and max(row["rejected_labels"]) >= 0

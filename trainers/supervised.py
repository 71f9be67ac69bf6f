"""What the supervised methods share: the kinds of data they learn, and the library that trains.

A row is a prompt with its completion, a chat (``messages``), or a text. Only completions and the
assistant's turns are learnt; of a text, every token. Decoders train under TRL, encoder-decoders
under transformers' own sequence-to-sequence trainer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import DataError
from steelyard.harness.experiment.data_sets import Row, read_mix, roles_for
from steelyard.harness.plugins.protocols import TrainJob
from steelyard.trainers import early_stop, loop
from steelyard.trainers.options import ANSWERS, CHATS, OTHER_KINDS, TEXTS, ValidatedOptions

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class Lessons:
    """What is learnt from, and what early stop looks at."""

    rows: datasets.Dataset
    held_out: datasets.Dataset | None
    notes: list[str]

    @property
    def answers(self) -> bool:
        """Whether there are prompts, whose tokens are not learnt."""
        return "prompt" in self.rows.column_names


def lessons(job: TrainJob, options: ValidatedOptions) -> Lessons:
    """The job's rows as TRL takes them. Raises ``DataError``."""
    rows: list[Row] = []
    kinds = set()
    for source in job.data:
        roles = roles_for(source, (ANSWERS, *OTHER_KINDS))
        found = read_mix((source,), roles, job.seed)
        if roles == CHATS:
            found = [turn for row in found for turn in turns(row["messages"], source.path)]
        chats = roles == CHATS or any(isinstance(row.get("prompt"), list) for row in found)
        kinds.add("texts" if roles == TEXTS else "chats" if chats else "plain prompts")
        rows += found
    if len(kinds) > 1:
        raise DataError(
            f"{' and '.join(sorted(kinds))} in one candidate",
            file=job.data[0].path,
            fix="train on one kind, or write all of them as one kind",
        )
    whole, notes = loop.in_memory(rows)
    return Lessons(*early_stop.divided(whole, options.early_stop, job), notes)


def turns(messages: Any, path: Any) -> list[Row]:
    """A row for every turn of the assistant, with all that was said before as its prompt.

    Raises ``DataError`` where the assistant says nothing, or begins.
    """
    if not isinstance(messages, list):
        fix = "write [{role: user, content: ...}, {role: assistant, content: ...}]"
        raise DataError("'messages' is not a list of messages", file=path, fix=fix)
    spoken = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    if not spoken or spoken[0] == 0:
        what = "begins with the assistant" if spoken else "has no turn of the assistant"
        raise DataError(f"a chat {what}: there is no answer to learn", file=path)
    return [{"prompt": messages[:at], "completion": [messages[at]]} for at in spoken]


def sft_trainer(
    options: ValidatedOptions,
    job: TrainJob,
    model: Any,
    tokenizer: Any,
    data: Lessons,
    peft_config: Any = None,
) -> Any:
    """TRL's SFTTrainer over the lessons, or transformers' own for an encoder-decoder.

    Raises ``DataError`` for chats where the tokenizer has no chat template.
    """
    first = data.rows[0]
    if isinstance(first.get("prompt"), list) and not tokenizer.chat_template:
        raise DataError(
            "chats need a chat template, and the tokenizer has none",
            file=job.data[0].path,
            fix="write them as prompt and completion, or take a base that has one",
        )
    if getattr(model.config, "is_encoder_decoder", False):
        from steelyard.trainers.sequence_to_sequence import seq2seq_trainer

        return seq2seq_trainer(options, job, model, tokenizer, data, peft_config)
    from trl import SFTConfig, SFTTrainer

    return SFTTrainer(
        model,
        args=SFTConfig(
            **loop.arguments(options, job),
            completion_only_loss=data.answers,
            packing=getattr(options, "packing", False),
            eval_packing=False,
        ),
        train_dataset=data.rows,
        eval_dataset=data.held_out,
        processing_class=tokenizer,
        peft_config=peft_config,
    )


def run(trainer: Any, job: TrainJob, data: Lessons, options: ValidatedOptions) -> Any:
    """Train, and watch the loss; see :func:`steelyard.trainers.loop.run`."""
    counted: int | None = None if getattr(options, "packing", False) else len(data.rows)
    return loop.run(trainer, job, counted, early=options.early_stop)

"""What the supervised methods learn from: answers to prompts, chats by turns, or whole texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from steelyard.harness.errors import DataError
from steelyard.harness.experiment import Row, read_mix, roles_for
from steelyard.harness.plugins import TrainJob
from steelyard.trainers.loops import early_stop
from steelyard.trainers.loops.libraries import datasets
from steelyard.trainers.loops.options import ANSWERS, CHATS, OTHER_KINDS, TEXTS, ValidatedOptions
from steelyard.trainers.loops.training import in_memory


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
        own_rows = read_mix((source,), roles, job.seed)
        if roles == CHATS:
            own_rows = [turn for row in own_rows for turn in turns(row["messages"], source.path)]
        chats = roles == CHATS or any(isinstance(row.get("prompt"), list) for row in own_rows)
        kinds.add("texts" if roles == TEXTS else "chats" if chats else "plain prompts")
        rows += own_rows
    if len(kinds) > 1:
        raise DataError(
            f"{' and '.join(sorted(kinds))} in one candidate",
            file=job.data[0].path,
            fix="train on one kind, or write all of them as one kind",
        )
    whole, notes = in_memory(rows)
    return Lessons(*early_stop.divided(whole, options.early_stop, job), notes)


def turns(messages: object, path: Path) -> list[Row]:
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

"""What the supervised methods learn from: answers to prompts, chats by turns, or whole texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from steelyard.harness.errors import DataError, located
from steelyard.harness.experiment import Row, check_learnt, read_mix, roles_for
from steelyard.harness.plugins import TrainJob
from steelyard.trainers.loops import early_stop
from steelyard.trainers.loops.libraries import datasets
from steelyard.trainers.loops.options import ANSWERS, CHATS, OTHER_KINDS, TEXTS, ValidatedOptions
from steelyard.trainers.loops.training import learnable


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
            own_rows = [turn for row in own_rows for turn in _learnt(row, source.path)]
        chats = roles == CHATS or any(isinstance(row.get("prompt"), list) for row in own_rows)
        kinds.add("texts" if roles == TEXTS else "chats" if chats else "plain prompts")
        rows += own_rows
    if len(kinds) > 1:
        raise DataError(
            f"{' and '.join(sorted(kinds))} in one candidate",
            file=job.data[0].path,
            fix="train on one kind, or write all of them as one kind",
        )
    whole, notes = learnable(rows, job)
    return Lessons(*early_stop.divided(whole, options.early_stop, job), notes)


def _learnt(row: Row, path: Path) -> list[Row]:
    """A row of the file as a row for every turn that is learnt, with the tools of all."""
    tools = {"tools": row["tools"]} if "tools" in row else {}
    return [row.like({**turn, **tools}) for turn in turns(row["messages"], path)]


def turns(messages: object, path: Path) -> list[Row]:
    """A row for every turn of the assistant, with all that was said before as its prompt.

    A turn of ``weight: 0`` is part of later prompts and not learnt. Raises ``DataError`` where the
    assistant says nothing, or begins.
    """
    with located(file=path):
        if not isinstance(messages, list):
            fix = "write [{role: user, content: ...}, {role: assistant, content: ...}]"
            raise DataError("'messages' is not a list of messages", fix=fix)
        check_learnt(messages, "messages", "a chat")
    plain = [{key: m[key] for key in m if key != "weight"} for m in messages]
    learnt = [
        at for at, m in enumerate(messages) if m["role"] == "assistant" and m.get("weight") != 0
    ]
    return [Row({"prompt": plain[:at], "completion": [plain[at]]}) for at in learnt]

"""Which of a suite's items stand in an experiment's training data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from steelyard.harness.evaluation.contamination.containment import Contamination, ItemIndex
from steelyard.harness.files import filled, records, template_columns
from steelyard.harness.plugins import DataSource
from steelyard.harness.suites import BuiltSuite, BuiltTask, right_choices

_SHOWN = 160


class Overlaps:
    """A suite's items, looked for in any number of data sources; each is read once."""

    def __init__(self, suite: BuiltSuite) -> None:
        self._suite = suite
        self._searched: dict[str, Contamination] = {}

    @cached_property
    def items(self) -> Mapping[str, list[str]]:
        """Each task's items, in the order of its documents.

        Of a task that asks twice, what it asks first: the second question holds a passage.
        """
        return {
            t.name: [_item(t.first or t, document) for document in t.documents]
            for t in self._suite.tasks
        }

    @cached_property
    def _index(self) -> ItemIndex:
        return ItemIndex([item for task in self.items.values() for item in task])

    def of(self, source: DataSource) -> Iterator[tuple[str, Contamination]]:
        """Each task with how much of its items ``source`` holds. Raises ``DataError``."""
        key = str(source.path)
        if key not in self._searched:
            self._searched[key] = self._index.search(_texts_of_rows(source))
        whole, begin = self._searched[key], 0
        for task, texts in self.items.items():
            part = slice(begin, begin + len(texts))
            begin += len(texts)
            yield task, Contamination(whole.shares[part], whole.documents[part], 0)


def overlaps(suite: BuiltSuite, sources: Sequence[DataSource]) -> list[dict[str, object]]:
    """One row for each data source and task, as JSON values.

    ``contaminated`` of ``items`` are in the data; ``example`` is the closest: the data's row, how
    much of the item it holds, and the item. Raises ``DataError`` for data that cannot be read.
    """
    every = Overlaps(suite)
    rows: list[dict[str, object]] = []
    for source in sources:
        for task, held in every.of(source):
            count = int(held.contaminated.sum())
            texts = every.items[task]
            rows.append(
                {
                    "data": source.name,
                    "task": task,
                    "items": len(texts),
                    "contaminated": count,
                    "example": _example(texts, held) if count else None,
                }
            )
    return rows


def _item(built: BuiltTask, document: object) -> str:
    """The question and its right answer; of a task that asks in ways of its own, all its texts."""
    try:
        return _question(built, document)
    except Exception:  # whatever the Python of a user's task raises outside of scoring
        return " ".join(_strings(document))


def _question(built: BuiltTask, document: object) -> str:
    """The question and its right answer, without few-shot examples."""
    task = built.task
    chooses = built.output_type == "multiple_choice"
    choices = right_choices(task, document) if chooses else []
    if choices:
        target = " ".join(str(task.doc_to_choice(document)[i]) for i in choices)
    else:
        target = str(task.doc_to_target(document))
    if built.output_type == "loglikelihood_rolling":
        return target
    return f"{task.doc_to_text(document)} {target}"


def _texts_of_rows(source: DataSource) -> Iterator[str]:
    """A row's columns, and what its templates make of them: neither alone is all that is learnt."""
    templates = [t for t in source.columns.values() if template_columns(t)]
    for place, record in records(source.path):
        made = [filled(t, record, place) for t in templates if t not in record]
        yield "\n".join(_strings([*made, *record.values()]))


def _strings(value: object) -> Iterator[str]:
    """Every text in a value: columns, and the turns of a chat."""
    if isinstance(value, str):
        chat = _read_out(value)
        if chat is None:
            yield value
        else:
            yield from _strings(chat)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)


def _read_out(text: str) -> object | None:
    """The list or object in a cell that is written as JSON; None for any other text."""
    if not text.lstrip().startswith(("[{", "[ {", '{"')):
        return None
    try:
        return json.loads(text)  # type: ignore[no-any-return]
    except (ValueError, RecursionError):
        return None


def _example(texts: Sequence[str], held: Contamination) -> dict[str, object]:
    best = int(held.shares.argmax())
    return {
        "row": int(held.documents[best]) + 1,
        "share": round(float(held.shares[best]), 3),
        "item": " ".join(texts[best].split())[:_SHOWN],
    }

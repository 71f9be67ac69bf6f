"""A task's documents from a file or a pinned hub data set, in place of those that its YAML names.

    {task: gsm8k, data: {path: ours.csv, fields: {question: q, answer: "{steps} #### {result}"}}}

A field of the task is a column, a template over columns in braces, or a list of either. Columns
that no field names stay as they are. lm-eval is handed a ``custom_dataset``, so that the task's own
prompts, targets and metrics go on as before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from steelyard.harness.errors import DataError, did_you_mean, located
from steelyard.harness.files import check_file, filled, records, template_columns
from steelyard.harness.records import Record
from steelyard.harness.suites.columns import as_written

if TYPE_CHECKING:
    from datasets import Dataset
    from lm_eval.api.task import Task

#: What lm-eval is told the splits are called.
EVALUATED, EXAMPLES = "test", "few_shot"

#: ``1_000`` is a number to Python alone.
_WHOLE = re.compile(r"([+-]?[0-9]+)(?:\.0*)?")

FieldSource = str | tuple[str, ...]
Row = Mapping[str, object]


class TaskData(Record):
    """Where documents come from and which column fills which field of the task."""

    path: str | None = None
    """A JSONL, CSV, TSV or Parquet file, relative to the suite's file."""
    hub: str | None = None
    """A data set of the hub, with ``revision``; the file's place is taken by ``split``."""
    revision: str | None = None
    config: str | None = None
    split: str = "test"
    few_shot: str | None = None
    """A file of few-shot examples (or a split of the hub's data set)."""
    fields: Mapping[str, FieldSource] = Field(default_factory=dict)
    integers: tuple[str, ...] = ()
    """Fields to be read as whole numbers: a CSV file has only text."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("name either path (a file) or hub (a data set)")
        if self.hub is not None and self.revision is None:
            raise ValueError("a hub data set needs its revision: the same items for ever")
        return self

    def relative_to(self, folder: Path) -> TaskData:
        """Itself with absolute paths. Raises ``DataError`` for a file that is missing."""
        if self.path is None:
            return self
        absolute = {"path": str(_beside(folder, self.path))}
        if self.few_shot is not None:
            absolute["few_shot"] = str(_beside(folder, self.few_shot))
        return self.model_copy(update=absolute)


class Documents:
    """lm-eval's ``custom_dataset``: the splits of a task, read when the task is built.

    Named by its class in a task's digest: where the documents lay is no part of what a task is.
    """

    def __init__(self, data: TaskData) -> None:
        self._data = data

    def __call__(self, **_: object) -> Mapping[str, Dataset]:
        """Splits by name. Raises ``DataError``."""
        return _Splits(self._of_file() if self._data.hub is None else self._of_hub(self._data.hub))

    def place_of(self, document: Mapping[str, object]) -> tuple[Path, str] | None:
        """The file and the row that ``document`` was read from; None where that is not known."""
        for name in (self._data.path, self._data.few_shot):
            if self._data.hub is None and name is not None:
                for place, row in records(Path(name)):
                    own = _document(place, row, self._data)
                    if all(document.get(key) == value for key, value in own.items()):
                        return Path(name), place
        return None

    def _of_file(self) -> Iterator[tuple[str, Dataset]]:
        assert self._data.path is not None
        yield EVALUATED, _read(Path(self._data.path), self._data)
        if self._data.few_shot is not None:
            yield EXAMPLES, _read(Path(self._data.few_shot), self._data)

    def _of_hub(self, name: str) -> Iterator[tuple[str, Dataset]]:
        from datasets import load_dataset

        data = self._data
        for split, source in ((EVALUATED, data.split), (EXAMPLES, data.few_shot)):
            if source is None:
                continue
            rows = load_dataset(name, data.config, revision=data.revision, split=source)
            if data.fields or data.integers:
                places = ((f"row {n + 1}", row) for n, row in enumerate(rows))
                with located(file=name):
                    rows = _mapped(places, data)
            yield split, rows


def overrides(data: TaskData) -> dict[str, object]:
    """What lm-eval's configuration of the task is changed by."""
    changed: dict[str, object] = {
        "custom_dataset": Documents(data),
        "dataset_kwargs": None,
        "training_split": None,
        "validation_split": None,
        "test_split": EVALUATED,
    }
    return changed | ({"fewshot_split": EXAMPLES} if data.few_shot else {})


def check_examples(task: Task, name: str, num_fewshot: int) -> None:
    """Few-shot examples must come from the given data too. Raises ``DataError`` where none do."""
    if num_fewshot and not list(task.fewshot_docs() or ()):
        raise DataError(
            f"task '{name}' shows {num_fewshot} examples, and its data have none",
            key="data.few_shot",
            fix="name a file of examples, or num_fewshot: 0",
        )


class _Splits(dict[str, "Dataset"]):
    """A split that the task's YAML names and the data have not is empty."""

    def __missing__(self, name: str) -> Dataset:
        return self[EVALUATED].select([])


def _beside(folder: Path, name: str) -> Path:
    path = folder / Path(name).expanduser()  # an absolute one stays what it is
    check_file(path)
    return path.resolve()


def _read(path: Path, data: TaskData) -> Dataset:
    with located(file=path):
        return _mapped(records(path), data)


def _mapped(rows: Iterable[tuple[str, Row]], data: TaskData) -> Dataset:
    """A data set of (place, row) with the task's fields. Raises ``DataError``."""
    documents = [_document(place, row, data) for place, row in rows]
    if not documents:
        raise DataError("there are no rows", fix="check how it was made")
    # Not from_list(), which knows the columns of the first row only.
    names = dict.fromkeys(name for document in documents for name in document)
    return as_written({n: [document.get(n) for document in documents] for n in names})


def _document(place: str, row: Row, data: TaskData) -> dict[str, object]:
    document = dict(row) | {
        field: _value(field, source, row, place) for field, source in data.fields.items()
    }
    for field in data.integers:
        try:
            document[field] = _whole(document[field])
        except (KeyError, ValueError):
            raise DataError(
                f"{place}: field '{field}' is no whole number", value=document.get(field)
            ) from None
    return document


def _whole(value: object) -> int:
    """A whole number, also as a table with gaps has it: 1.0. Raises ``ValueError``."""
    match = _WHOLE.fullmatch(str(value).strip())
    if match is None:
        raise ValueError("no whole number")
    return int(match[1])


def _value(field: str, source: FieldSource, row: Row, place: str) -> object:
    """What a field holds: a column, a filled template, or a list of either."""
    if isinstance(source, tuple):
        return [_value(field, part, row, place) for part in source]
    if source in row:
        return row[source]
    columns = template_columns(source)
    missing = [name for name in columns or [source] if name not in row]
    if missing:
        raise DataError(
            f"{place}: field '{field}' needs the column '{missing[0]}'",
            fix=did_you_mean(missing[0], row),
        )
    empty = [name for name in columns if row[name] is None]
    if empty:
        raise DataError(
            f"{place}: the template of field '{field}' needs a value in the column '{empty[0]}'",
            fix="fill it, or leave the row out",
        )
    return filled(source, row, place)

"""A task's documents from a file or a pinned hub data set, in place of those that its YAML names.

    {task: gsm8k, data: {path: ours.csv, fields: {question: q, answer: "{steps} #### {result}"}}}

A field of the task is a column, a template over columns in braces, or a list of either. Columns
that no field names stay as they are. lm-eval is handed a ``custom_dataset``, so that the task's own
prompts, targets and metrics go on as before.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from steelyard.harness.errors import DataError, did_you_mean
from steelyard.harness.records import Record

#: What lm-eval is told the splits are called.
EVALUATED, EXAMPLES = "test", "few_shot"

FieldSource = str | tuple[str, ...]


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
        found = {"path": str(_beside(folder, self.path))}
        if self.few_shot is not None:
            found["few_shot"] = str(_beside(folder, self.few_shot))
        return self.model_copy(update=found)


class Documents:
    """lm-eval's ``custom_dataset``: the splits of a task, read when the task is built.

    Named by its class in a task's digest: where the documents lay is no part of what a task is.
    """

    def __init__(self, data: TaskData) -> None:
        self._data = data

    def __call__(self, **_: object) -> Mapping[str, Any]:
        """Splits by name. Raises ``DataError``."""
        data = self._data
        if data.hub is None:
            assert data.path is not None
            found = {EVALUATED: _read(Path(data.path), data)}
            if data.few_shot is not None:
                found[EXAMPLES] = _read(Path(data.few_shot), data)
            return _Splits(found)
        from datasets import load_dataset

        wanted = {EVALUATED: data.split} | ({EXAMPLES: data.few_shot} if data.few_shot else {})
        splits = {}
        for name, split in wanted.items():
            rows = load_dataset(data.hub, data.config, revision=data.revision, split=split)
            if data.fields or data.integers:
                places = ((f"row {n + 1}", row) for n, row in enumerate(rows))
                rows = _mapped(places, data, data.hub)
            splits[name] = rows
        return _Splits(splits)


def overrides(data: TaskData) -> dict[str, Any]:
    """What lm-eval's configuration of the task is changed by."""
    changed: dict[str, Any] = {
        "custom_dataset": Documents(data),
        "dataset_kwargs": None,
        "training_split": None,
        "validation_split": None,
        "test_split": EVALUATED,
    }
    return changed | ({"fewshot_split": EXAMPLES} if data.few_shot else {})


def check_examples(task: Any, name: str, num_fewshot: int) -> None:
    """Few-shot examples must come from the given data too. Raises ``DataError`` where none do."""
    if num_fewshot and not list(task.fewshot_docs() or ()):
        raise DataError(
            f"task '{name}' shows {num_fewshot} examples, and its data have none",
            key="data.few_shot",
            fix="name a file of examples, or num_fewshot: 0",
        )


class _Splits(dict[str, Any]):
    """A split that the task's YAML names and the data have not is empty."""

    def __missing__(self, name: str) -> Any:
        return self[EVALUATED].select([])


def _beside(folder: Path, name: str) -> Path:
    path = Path(name).expanduser()
    found = path if path.is_absolute() else folder / path
    from steelyard.harness.files.tables import check_file

    check_file(found)
    return found.resolve()


def _read(path: Path, data: TaskData) -> Any:
    from steelyard.harness.files.tables import records

    return _mapped(records(path), data, path)


def _mapped(rows: Iterable[tuple[str, Mapping[str, Any]]], data: TaskData, file: object) -> Any:
    import pyarrow
    from datasets import Dataset

    documents = [_document(place, dict(row), data, file) for place, row in rows]
    if not documents:
        raise DataError("there are no rows", file=file, fix="check how it was made")
    try:
        # Not from_list(), which knows the columns of the first row only.
        names = dict.fromkeys(name for document in documents for name in document)
        return Dataset.from_dict({n: [document.get(n) for document in documents] for n in names})
    except (pyarrow.ArrowException, TypeError) as error:
        said = str(error).strip().splitlines()[0]
        raise DataError(f"a column holds values of two kinds: {said}", file=file) from error


def _document(place: str, row: dict[str, Any], data: TaskData, file: object) -> dict[str, Any]:
    document = row | {
        field: _value(field, source, row, place, file) for field, source in data.fields.items()
    }
    for field in data.integers:
        try:
            document[field] = int(str(document[field]).strip())
        except (KeyError, ValueError):
            raise DataError(
                f"{place}: field '{field}' is no whole number",
                file=file,
                value=document.get(field),
            ) from None
    return document


def _value(
    field: str, source: FieldSource, row: Mapping[str, Any], place: str, file: object
) -> Any:
    if isinstance(source, tuple):
        return [_value(field, one, row, place, file) for one in source]
    if source in row:
        return row[source]
    columns = [name for _, name, _, _ in string.Formatter().parse(source) if name is not None]
    missing = [name for name in columns or [source] if name not in row]
    if missing:
        raise DataError(
            f"{place}: field '{field}' needs the column '{missing[0]}'",
            file=file,
            fix=did_you_mean(missing[0], row),
        )
    empty = [name for name in columns if row[name] is None]
    if empty:
        raise DataError(
            f"{place}: the template of field '{field}' needs a value in the column '{empty[0]}'",
            file=file,
            fix="fill it, or leave the row out",
        )
    return source.format_map({name: row[name] for name in columns})

"""Local files that a task's own YAML has ``datasets`` read, held against what stands in them.

``dataset_path: csv`` (or ``json``) with ``data_files`` is read by pandas and Arrow, which make 7 of
``007``, nothing of ``NA`` and ``null``, a point in time of ``"2024-01-02"`` and 1.0 of a 1 beside
2.5. What a task would ask is then not what its file says: it is refused by the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import DataError
from steelyard.harness.files import records

if TYPE_CHECKING:
    from lm_eval.api.task import Task

#: The builders of ``datasets`` that guess at types, and what an own reader knows of them.
_BUILDERS = ("csv", "json")


def require_as_written(task: Task, name: str) -> None:
    """``DataError`` for the first row of a local CSV or JSON file that was read as another value.

    Nothing is said of other data sets, and of objects inside a row.
    """
    config: Any = getattr(task, "config", None)
    if getattr(config, "dataset_path", None) not in _BUILDERS:
        return
    if getattr(config, "custom_dataset", None) is not None:
        return
    options = dict(config.dataset_kwargs or {})
    files = options.pop("data_files", None)
    if options:  # such as the separator: then the file is no plain one
        return
    for split in (config.test_split or config.validation_split, config.fewshot_split):
        file = files.get(split) if isinstance(files, Mapping) else files
        if split is None or not isinstance(file, str) or not Path(file).is_file():
            continue
        documents: Any = getattr(task, "dataset", {})
        if split in documents:
            _compare(Path(file), documents[split], name)


def _compare(path: Path, documents: Any, name: str) -> None:
    fix = f"have Steelyard read it: {{task: {name}, data: {{path: {path.name}}}}}"
    for row, document in zip_longest(records(path), documents):
        if row is None or document is None:
            raise DataError("the library datasets reads another number of rows", file=path, fix=fix)
        place, values = row
        for column, value in values.items():
            if not _same(value, document.get(column)):
                what = f"{place}: the library datasets reads '{column}' as {document.get(column)!r}"
                raise DataError(what, file=path, value=value, fix=fix)


def _same(written: object, value: object) -> bool:
    """Whether a value would be asked as the words that stand in the file."""
    if value is None or written is None:
        return written in (None, "") and value in (None, "")
    if isinstance(written, list | dict) or isinstance(value, list | dict):
        return isinstance(written, list | dict) and isinstance(value, list | dict)
    return str(value) == str(written)

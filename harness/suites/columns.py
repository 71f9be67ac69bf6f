"""Columns of documents as a data set of ``datasets`` that gives back what the file holds.

Arrow has one type for a column: beside 2.5 a 1 would come back as 1.0, and an object with the keys
of all the others, with nothing in them. Such columns are kept as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from steelyard.harness.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

Column = Sequence[object]


def as_written(columns: Mapping[str, Column]) -> Dataset:
    """A data set of these columns, each of as many values.

    Raises ``DataError`` where a column mixes kinds of values (texts and numbers, say), or holds a
    whole number of more than 64 bits.
    """
    import pyarrow
    from datasets import Dataset, Features, Json

    features = {}
    for name, values in columns.items():
        try:
            plain = Dataset.from_dict({name: values}).features[name]
        except OverflowError as error:
            what = f"the column '{name}' holds a whole number of more than 64 bits"
            raise DataError(what, fix="write it as text, in quotes") from error
        except (pyarrow.ArrowException, TypeError) as error:
            problem = str(error).strip().splitlines()[0]
            what = f"the column '{name}' holds values of two kinds: {problem}"
            raise DataError(what, fix="write all of them as text") from error
        features[name] = Json() if _changes_in_arrow(values) else plain
    return Dataset.from_dict(dict(columns), features=Features(features))


def _changes_in_arrow(values: Column) -> bool:
    """Whether one Arrow type would change a value: 1 beside 2.5, objects with other keys."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return True
    if kinds == {dict}:
        objects = [value for value in values if isinstance(value, dict)]
        if any(each.keys() != objects[0].keys() for each in objects):
            return True
        return any(_changes_in_arrow([each[key] for each in objects]) for key in objects[0])
    if kinds == {list}:
        return _changes_in_arrow([v for each in values if isinstance(each, list) for v in each])
    return False

"""Which kind of data a file holds, for methods that take more than one kind."""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.harness.errors import DataError
from steelyard.harness.files.tables import records
from steelyard.harness.protocols import DataSource, Plugin


def choices_of(trainer: type[Plugin]) -> tuple[tuple[str, ...], ...]:
    """The sets of roles that a trainer takes: ``data_roles``, then ``other_data_roles``.

    One that may do without data, but takes some, has no empty set here.
    """
    first: tuple[str, ...] = getattr(trainer, "data_roles", ())
    choices = (first, *getattr(trainer, "other_data_roles", ()))
    return tuple(filter(None, choices)) or ((),)


def roles_for(source: DataSource, choices: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Which of several sets of roles the data offer, for methods that take more than one kind.

    What the experiment file maps counts before what the columns happen to be called.

    Raises:
        DataError: the columns offer none of the sets, or more than one.
    """
    if len(choices) == 1:
        return tuple(choices[0])
    _, first = next(records(source.path), ("", {}))
    named = [
        c for c in choices if any(role in source.columns for role in set(c) - _common(choices))
    ]
    there = set(first) | set(source.columns)
    fitting = [c for c in (named or choices) if set(c) <= there]
    # Of kinds that contain one another, such as prompts with and without answers, the fullest.
    fitting = [c for c in fitting if not any(set(c) < set(other) for other in fitting)]
    if len(fitting) == 1:
        return tuple(fitting[0])
    kinds = " or ".join(f"({', '.join(choice)})" for choice in choices)
    if fitting:
        raise DataError(
            f"its columns are both kinds of data at once: {kinds}",
            file=source.path,
            fix="say which is meant by mapping one of its columns, or drop the others",
        )
    raise DataError(
        f"the method needs {kinds}",
        file=source.path,
        fix=f"the columns are: {', '.join(first)}; map one with 'role: COLUMN'",
    )


def _common(choices: Sequence[Sequence[str]]) -> set[str]:
    return set(choices[0]).intersection(*choices[1:])

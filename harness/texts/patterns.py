"""Names chosen by a pattern: a name that exists is meant as it stands, whatever signs it holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase


def matches(pattern: str, name: str) -> bool:
    """Whether ``name`` is what ``pattern`` spells, or one of what it stands for.

    ``t[1]`` is the name of a task as well as a pattern for ``t1``, and only as a pattern it would
    miss the task that is called so.
    """
    return name == pattern or fnmatchcase(name, pattern)


def chosen(pattern: str, names: Iterable[str], *, literal: Collection[str]) -> list[str]:
    """The ``names`` that ``pattern`` selects; where it is one of ``literal``, that one alone.

    ``literal`` are the names that whoever is judged cannot add to: a candidate with a task called
    ``retention/*`` would else take a rule away from all the tasks that the rule is about. A bare
    ``*``, also as a slice's value, stays "all of them", even where one is called so.
    """
    if pattern in literal and pattern.rpartition("=")[2] != "*":
        return [name for name in names if name == pattern]
    return [name for name in names if matches(pattern, name)]

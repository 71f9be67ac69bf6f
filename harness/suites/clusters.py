"""Which samples belong together: by a field of their documents, and where they ask the same thing.

The same question ten times over is one question, whatever ids its copies carry: counted as ten it
would narrow an interval by a factor of three, and turn what cannot be told into a PASS.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

from steelyard.harness.files import digest_json

Content = tuple[str, ...]


def asked_content(prompt: str, target: str, document: Mapping[str, object]) -> Content | None:
    """What a sample asks, whatever its document is called; None where its prompt does not say.

    The choices are in no prompt where a task puts them behind it.
    """
    if not prompt.strip():
        return None
    choices = document.get("choices")
    return prompt, target, "" if choices is None else json.dumps(choices, default=str)


def joined_by_content(
    contents: Sequence[Content | None], declared: Sequence[str | None]
) -> tuple[str | None, ...]:
    """A cluster for each sample: the declared one, joined with those that ask the same.

    ``contents`` and ``declared`` are in the samples' order; None is a sample that says neither.
    Clusters that share a question become one, under the first of their names.
    """
    places: dict[Content, list[int]] = defaultdict(list)
    for i, content in enumerate(contents):
        if content is not None:
            places[content].append(i)
    copies = {content: where for content, where in places.items() if len(where) > 1}
    if not copies:
        return tuple(declared)
    joined = _Joined()
    labels: dict[int, str] = {}
    for content, where in copies.items():
        own = f"asked alike {digest_json(list(content))[:16]}"
        for i in where:
            labels[i] = own
            if (cluster := declared[i]) is not None:
                joined.join(("declared", cluster), ("content", own))
    names = joined.names()
    return tuple(
        names.get(("declared", cluster), cluster)
        if cluster is not None
        else names.get(("content", labels[i]), labels[i])
        if i in labels
        else None
        for i, cluster in enumerate(declared)
    )


class _Joined:
    """Sets of labels that were found to be one; a label is its kind and its name."""

    def __init__(self) -> None:
        self._above: dict[Hashable, Hashable] = {}

    def join(self, first: tuple[str, str], second: tuple[str, str]) -> None:
        for label in (first, second):
            self._above.setdefault(label, label)
        self._above[self._top(first)] = self._top(second)

    def names(self) -> dict[Hashable, str]:
        """Each label's one name: the first declared one of its set."""
        sets: dict[Hashable, list[tuple[str, str]]] = defaultdict(list)
        for label in self._above:
            assert isinstance(label, tuple)
            sets[self._top(label)].append(label)
        return {
            label: min(name for kind, name in labels if kind == "declared")
            for labels in sets.values()
            for label in labels
        }

    def _top(self, label: Hashable) -> Hashable:
        while self._above[label] != label:
            self._above[label] = self._above[self._above[label]]
            label = self._above[label]
        return label

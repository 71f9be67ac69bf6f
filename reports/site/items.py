"""Who did better on which item: the same item, asked the same way, of two models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

from steelyard.harness.records import Rows, Score
from steelyard.reports.site.settings import settings_of
from steelyard.reports.site.standings import Entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RowsOf = Callable[[str], Sequence[Rows]]
"""A run's id -> its rows."""


@dataclass(frozen=True)
class PairItems:
    """What two models won of the items of one task that both answered."""

    a: int
    b: int
    task: str
    won: NDArray[np.float64]
    """What ``a`` won of each item: 1, 0 or, where both did as well, 0.5."""
    clusters: NDArray[np.int64]
    """Which document each item is of, as its place in ``names``."""
    names: tuple[str, ...]
    """The documents; an item that is of none stands for itself."""


def pair_items(
    entries: Sequence[Entry], measures: Sequence[tuple[str, str]], rows_of: RowsOf
) -> Iterator[PairItems]:
    """Every two of ``entries`` on every (task, metric) that can be decided item by item.

    Samples pair by content. Two runs that were asked under other settings are no pair. A corpus
    metric (BLEU) has no winner of a single item and is left out; of a document's log-likelihood
    the higher one wins.
    """
    held = [{(r.task, r.metric): r for r in rows_of(entry.run.id)} for entry in entries]
    for task, metric in measures:
        answers = [
            _answers(rows.get((task, metric)), entry.scores.get((task, metric)))
            for rows, entry in zip(held, entries, strict=True)
        ]
        settings = [settings_of(e.run, e.signatures.get(task)) for e in entries]
        for a, b in combinations(range(len(entries)), 2):
            if settings[a] == settings[b]:
                pair = _paired(answers[a], answers[b])
                if pair is not None:
                    yield PairItems(a, b, task, *pair)


@dataclass(frozen=True)
class _Answers:
    """One model's scored samples of a task: more is better."""

    ids: tuple[str, ...]
    values: NDArray[np.float64]
    documents: tuple[str, ...]

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """Each sample's document as its place in ``names``."""
        import numpy as np

        places = {name: place for place, name in enumerate(self.names)}
        return np.array([places[name] for name in self.documents], dtype=np.int64)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The documents, in order of appearance."""
        return tuple(dict.fromkeys(self.documents))

    def of(self, ids: Sequence[str]) -> _Answers:
        """The same for some samples, in their order."""
        places = {id: place for place, id in enumerate(self.ids)}
        indices = [places[id] for id in ids]
        return _Answers(tuple(ids), self.values[indices], tuple(self.documents[i] for i in indices))


def _paired(
    ours: _Answers | None, theirs: _Answers | None
) -> tuple[NDArray[np.float64], NDArray[np.int64], tuple[str, ...]] | None:
    """What the first won of each common sample, and the samples' documents."""
    if ours is None or theirs is None:
        return None
    if ours.ids != theirs.ids:
        their_ids = set(theirs.ids)
        common = [id for id in ours.ids if id in their_ids]
        if not common:
            return None
        ours, theirs = ours.of(common), theirs.of(common)
    won = (ours.values > theirs.values) + 0.5 * (ours.values == theirs.values)
    return won, ours.codes, ours.names


def _answers(rows: Rows | None, score: Score | None) -> _Answers | None:
    """The scored samples of a metric that has a winner for each; None for other metrics."""
    if rows is None or score is None or not rows.scored.any():
        return None
    width = rows.values.shape[1]
    if score.kind in ("accuracy", "bounded") and width == 1:
        values = rows.values[:, 0] if score.higher_is_better else -rows.values[:, 0]
    elif score.kind == "perplexity" and width == 2:
        values = rows.values[:, 0]  # the log-likelihood of the same text
    else:
        return None
    indices = [i for i, scored in enumerate(rows.scored.tolist()) if scored]
    return _Answers(
        tuple(rows.sample_ids[i] for i in indices),
        values[indices],
        tuple(rows.clusters[i] or f"\0{rows.sample_ids[i]}" for i in indices),
    )

"""Who did better on which item: the same item, asked the same way, of two models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from harness.records import Rows, Score
from reports.site.settings import settings_of
from reports.site.standings import Entry

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
    import numpy as np

    held = [{(r.task, r.metric): r for r in rows_of(entry.run.id)} for entry in entries]
    for task, metric in measures:
        answers = [
            _answers(rows.get((task, metric)), entry.scores.get((task, metric)))
            for rows, entry in zip(held, entries, strict=True)
        ]
        settings = [settings_of(e.run, e.signatures.get(task)) for e in entries]
        for a, b in combinations(range(len(entries)), 2):
            common = [id for id in answers[a] if id in answers[b]]
            if not common or settings[a] != settings[b]:
                continue
            ours = np.array([answers[a][id][0] for id in common])
            theirs = np.array([answers[b][id][0] for id in common])
            names = [answers[a][id][1] or f"\0{id}" for id in common]
            codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
            yield PairItems(
                a,
                b,
                task,
                (ours > theirs) + 0.5 * (ours == theirs),
                np.array([codes[name] for name in names], dtype=np.int64),
                tuple(codes),
            )


def _answers(rows: Rows | None, score: Score | None) -> dict[str, tuple[float, str | None]]:
    """Sample id -> how well it went (more is better) and its document; scored samples alone."""
    if rows is None or score is None or not len(rows.sample_ids):
        return {}
    width = rows.values.shape[1]
    if score.kind in ("accuracy", "bounded") and width == 1:
        values = rows.values[:, 0] if score.higher_is_better else -rows.values[:, 0]
    elif score.kind == "perplexity" and width == 2:
        values = rows.values[:, 0]  # the log-likelihood of the same text
    else:
        return {}
    return {
        id: (float(value), cluster)
        for id, value, scored, cluster in zip(
            rows.sample_ids, values, rows.scored, rows.clusters, strict=True
        )
        if scored
    }

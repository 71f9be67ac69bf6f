"""Win rates of every pair of models, and Bradley-Terry ratings of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steelyard.reports.site.items import PairItems

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.95
DRAWS = 300


@dataclass(frozen=True)
class WinRate:
    """The share of items that one model won of another, a tie as half a win."""

    value: float
    low: float
    high: float
    items: int
    wins: int
    losses: int
    ties: int

    @property
    def turned(self) -> WinRate:
        """The same as the other model sees it."""
        return WinRate(
            1 - self.value, 1 - self.high, 1 - self.low, self.items, self.losses, self.wins,
            self.ties,
        )  # fmt: skip


def win_rate(pairs: Sequence[PairItems]) -> WinRate:
    """Over all items of ``pairs`` (one pair of models on one or more tasks), which count the same.

    The interval is Wilson's on the effective number of items where some share a document; with
    ties as halves it is cautious, since halves vary less than wins and losses.
    """
    import numpy as np

    from steelyard.harness.stats import share_interval

    won = np.concatenate([pair.won for pair in pairs])
    sizes = np.cumsum([0, *(int(pair.clusters.max()) + 1 for pair in pairs)])
    codes = np.concatenate([p.clusters + s for p, s in zip(pairs, sizes[:-1], strict=True)])
    clustered = int(sizes[-1]) < len(won) and int(sizes[-1]) > 1
    low, high = share_interval(won, codes if clustered else None, LEVEL)
    return WinRate(
        float(won.mean()),
        max(0.0, low),
        min(1.0, high),
        len(won),
        int((won == 1).sum()),
        int((won == 0).sum()),
        int((won == 0.5).sum()),
    )


@dataclass(frozen=True)
class Rated:
    """A model's Bradley-Terry rating in points; None where the wins do not bound it."""

    value: float | None
    low: float | None
    high: float | None


def ratings(pairs: Sequence[PairItems], models: int, *, seed: int = 0) -> list[Rated]:
    """Ratings with 95% percentile intervals; documents are resampled within each task.

    An item of every pair counts the same. Raises ``MissingExtraError`` without evalica.
    """
    import numpy as np

    from steelyard.harness.imports import bounded, fitted

    def rated(beats: NDArray[np.float64]) -> NDArray[np.float64] | None:
        xs, ys = np.nonzero(beats > 0)
        won, weights = np.ones(len(xs)), beats[xs, ys]
        if not bounded(xs, ys, won, weights, models):
            return None
        return fitted(xs, ys, won, weights, models)

    value = rated(_totals(pairs, models))
    if value is None:
        return [Rated(None, None, None)] * models
    resampled = map(rated, _resampled(pairs, models, np.random.default_rng(seed)))
    drawn = [strengths for strengths in resampled if strengths is not None]
    if len(drawn) < LEVEL * DRAWS:
        return [Rated(float(v), None, None) for v in value]
    low, high = np.quantile(np.array(drawn), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return [Rated(float(v), float(a), float(b)) for v, a, b in zip(value, low, high, strict=True)]


def _totals(pairs: Sequence[PairItems], models: int) -> NDArray[np.float64]:
    """(models, models): how much the row won of the column."""
    import numpy as np

    beats = np.zeros((models, models))
    for pair in pairs:
        beats[pair.a, pair.b] += pair.won.sum()
        beats[pair.b, pair.a] += len(pair.won) - pair.won.sum()
    return beats


def _resampled(
    pairs: Sequence[PairItems], models: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(DRAWS, models, models) totals; a document is drawn for every pair that has it alike."""
    import numpy as np

    beats = np.zeros((DRAWS, models, models))
    by_task: dict[str, list[PairItems]] = {}
    for pair in pairs:
        by_task.setdefault(pair.task, []).append(pair)
    for members in by_task.values():
        names = {name for pair in members for name in pair.names}
        places = {name: place for place, name in enumerate(sorted(names))}
        counts = rng.multinomial(len(places), np.full(len(places), 1 / len(places)), size=DRAWS)
        won = np.zeros((len(places), 2 * len(members)))
        for i, pair in enumerate(members):
            at = np.array([places[name] for name in pair.names])[pair.clusters]
            np.add.at(won[:, 2 * i], at, pair.won)
            np.add.at(won[:, 2 * i + 1], at, 1 - pair.won)
        drawn = counts @ won
        for i, pair in enumerate(members):
            beats[:, pair.a, pair.b] += drawn[:, 2 * i]
            beats[:, pair.b, pair.a] += drawn[:, 2 * i + 1]
    return beats

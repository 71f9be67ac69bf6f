"""Bradley-Terry ratings with bootstrap intervals, through evalica."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Elo's scale: 400 points are odds of 10 to 1; the geometric mean of all strengths stands at 1000.
POINTS, MIDDLE = 400.0, 1000.0
#: Below this share of usable draws an interval would describe the lucky ones only.
_USABLE = 0.95


@dataclass(frozen=True)
class Battle:
    """One judgment of one prompt: indices of both models, and what ``a`` won: 1, 0.5 or 0."""

    prompt: str
    a: int
    b: int
    won: float


@dataclass(frozen=True)
class Rating:
    """A model's rating in points; None where the battles do not bound it."""

    value: float | None
    low: float | None
    high: float | None
    note: str


def ratings(
    battles: Sequence[Battle], models: int, *, draws: int = 1000, seed: int = 0
) -> list[Rating]:
    """Ratings of ``models`` models from their battles, with 95% percentile intervals.

    Maximum likelihood of Bradley & Terry (1952, Biometrika 39:324-345), ties as half a win each;
    prompts are resampled, so that judgments of one prompt stay together. Where some models never
    lost to the others no finite rating exists (Ford 1957), and none is given.

    Raises ``MissingExtraError`` without evalica.
    """
    import numpy as np

    xs, ys, won = (np.array(c) for c in zip(*((b.a, b.b, b.won) for b in battles), strict=True))
    ones = np.ones(len(battles))
    if not bounded(xs, ys, won, ones, models):
        note = "no rating: some models never lost to the others"
        return [Rating(None, None, None, note)] * models
    value = fitted(xs, ys, won, ones, models)
    prompts = {prompt: i for i, prompt in enumerate(dict.fromkeys(b.prompt for b in battles))}
    place = np.array([prompts[b.prompt] for b in battles])
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        counts = np.bincount(rng.integers(0, len(prompts), len(prompts)), minlength=len(prompts))
        weights = counts[place].astype(np.float64)
        counted = weights > 0
        part = (xs[counted], ys[counted], won[counted], weights[counted])
        if bounded(*part, models):
            drawn.append(fitted(*part, models))
    note = f"{len(battles)} judgments of {len(prompts)} prompts, ties as half"
    if len(drawn) < _USABLE * draws:
        note += "; no interval: too few losses"
        return [Rating(float(v), None, None, note) for v in value]
    low, high = np.quantile(np.array(drawn), [0.025, 0.975], axis=0)
    note += f"; bootstrap of {len(drawn)} draws over prompts"
    return [
        Rating(float(v), float(a), float(b), note) for v, a, b in zip(value, low, high, strict=True)
    ]


def bounded(
    xs: NDArray[Any], ys: NDArray[Any], won: NDArray[Any], weights: NDArray[Any], models: int
) -> bool:
    """Whether every model beat (or tied with) every other, directly or through others."""
    import numpy as np
    from scipy.sparse.csgraph import connected_components

    beats = np.zeros((models, models))
    np.add.at(beats, (xs, ys), won * weights)
    np.add.at(beats, (ys, xs), (1 - won) * weights)
    count, _ = connected_components(beats > 0, directed=True, connection="strong")
    return bool(count == 1)


def fitted(
    xs: NDArray[Any], ys: NDArray[Any], won: NDArray[Any], weights: NDArray[Any], models: int
) -> NDArray[np.float64]:
    """Ratings in points of weighted battles that are ``bounded``; (models,)."""
    import numpy as np

    evalica = _evalica()
    import pandas as pd

    words = {1.0: evalica.Winner.X, 0.5: evalica.Winner.Draw, 0.0: evalica.Winner.Y}
    result = evalica.bradley_terry(
        xs.tolist(),
        ys.tolist(),
        [words[w] for w in won.tolist()],
        index=pd.Index(range(models)),
        weights=weights.tolist(),
        tolerance=1e-9,
        limit=10_000,
    )
    strengths = np.log10(result.scores.reindex(range(models)).to_numpy(dtype=np.float64))
    on_scale: NDArray[np.float64] = MIDDLE + POINTS * (strengths - strengths.mean())
    return on_scale


def _evalica() -> Any:
    try:
        import evalica
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "Bradley-Terry ratings need the package evalica",
            fix="pip install 'steelyard[pairs]', or leave them out with --no-ratings",
        ) from error
    return evalica

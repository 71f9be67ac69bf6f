"""Resampled column sums: everything a bootstrap or a permutation test needs of the rows.

Scores here are functions of column sums, so a draw is one vector of k sums. Three ways, by size:

* up to ``KEPT_CELLS`` rows x draws, the drawn counts depend on (n, draws, seed) alone and are kept,
  so that thousands of tests over equally many samples draw once and are matrix products;
* up to ``EXACT_CELLS``, the same, drawn in chunks and not kept;
* beyond, by blocks: the rows are sorted by their influence on the statistic and cut into ``BLOCKS``
  blocks; a draw picks how many rows of each block (multinomial, or binomial for sign flips: exact),
  and the spread of the rows inside their blocks is added as a normal vector with exactly their
  covariance. Mean and covariance of the drawn sums are then exact, and only the skewness within a
  block, of order 1 / BLOCKS^2 of the whole, is lost.

Counts are single precision; the columns are centred first, so sums are good to about 1e-6 of their
own spread; sums of whole numbers are rounded back to whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from steelyard.harness.stats.rows import Floats

KEPT_CELLS = 32_000_000
EXACT_CELLS = 60_000_000
BLOCKS = 256
_CHUNK_CELLS = 2_000_000
_CACHED_CELLS = 250_000
Counts = NDArray[np.float32]


def bootstrap_sums(columns: Floats, draws: int, seed: int, by: Floats) -> Floats:
    """Sums of n rows drawn with replacement: (n, k) -> (draws, k); ``by``: (n,) influences."""
    n = len(columns)
    rng = np.random.default_rng([seed, 1])
    if n * draws > EXACT_CELLS:
        ordered, starts, sizes = _blocks(columns, by)
        picks = rng.multinomial(n, sizes / n, size=draws).astype(np.float64)
        return _whole(_by_blocks(ordered, starts, sizes, picks, rng), columns)
    centre = columns.mean(axis=0)
    remembered = n * draws <= KEPT_CELLS
    counts = _single(_kept_counts(n, draws, seed)) if remembered else _counts(n, draws, rng)
    # Centred, so that single precision rounds the spread and not the level; a draw has n rows, so
    # the level comes back as n times the centre.
    return _whole(_products(counts, columns - centre) + n * centre, columns)


def sign_flip_sums(columns: Floats, draws: int, seed: int, by: Floats) -> Floats:
    """Sums of n rows, each times a fair random sign: (n, k) -> (draws, k)."""
    n = len(columns)
    rng = np.random.default_rng([seed, 2])
    if n * draws > EXACT_CELLS:
        ordered, starts, sizes = _blocks(columns, by)
        heads = rng.binomial(sizes, 0.5, size=(draws, len(sizes))).astype(np.float64)
        return _by_blocks(ordered, starts, sizes, 2 * heads - sizes, rng)
    remembered = n * draws <= KEPT_CELLS
    signs = _single(_kept_signs(n, draws, seed)) if remembered else _signs(n, draws, rng)
    return _products(signs, columns)


def bootstrap_counts(n: int, draws: int, rng: np.random.Generator) -> Counts:
    """How often each of n rows is drawn, (draws, n); every line sums to n."""
    picks = rng.integers(0, n, size=(draws, n), dtype=np.int64)
    # Each draw counts in n cells of its own, so one bincount serves all of them.
    picks += np.arange(draws)[:, None] * n
    return np.bincount(picks.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float32)


def random_signs(n: int, draws: int, rng: np.random.Generator) -> Counts:
    """Fair signs, -1 or +1, (draws, n)."""
    packed = np.frombuffer(rng.bytes(draws * -(-n // 8)), dtype=np.uint8).reshape(draws, -1)
    signs = np.unpackbits(packed, axis=1, count=n).astype(np.float32)
    signs *= 2
    signs -= 1
    return signs


def chunk_sizes(n: int, draws: int, cells: int = _CHUNK_CELLS) -> list[int]:
    """Draws per chunk so that a (chunk, n) table has about ``cells`` cells."""
    step = max(1, cells // n)
    return [min(step, draws - start) for start in range(0, draws, step)]


def _products(weights: Iterable[Counts], columns: Floats) -> Floats:
    """weights @ columns in single precision; columns of zeros cost nothing, few go one by one."""
    active = np.flatnonzero((columns != 0).any(axis=0))
    single = np.ascontiguousarray(columns[:, active].T, dtype=np.float32)
    parts = []
    for lines in weights:
        sums = np.zeros((len(lines), columns.shape[1]))
        if len(active) > 2:
            sums[:, active] = lines @ single.T
        else:
            for index, column in zip(active, single, strict=True):
                sums[:, index] = lines @ column
        parts.append(sums)
    return np.vstack(parts)


def _whole(sums: Floats, columns: Floats) -> Floats:
    """Sums of whole numbers are whole: sacreBLEU, for one, cuts its statistics off to integers."""
    counts = (columns == np.rint(columns)).all(axis=0)
    sums[:, counts] = np.rint(sums[:, counts])
    return sums


def _counts(n: int, draws: int, rng: np.random.Generator) -> Iterator[Counts]:
    return (bootstrap_counts(n, size, rng) for size in chunk_sizes(n, draws))


def _signs(n: int, draws: int, rng: np.random.Generator) -> Iterator[Counts]:
    return (random_signs(n, size, rng) for size in chunk_sizes(n, draws))


@lru_cache(maxsize=8)
def _kept_counts(n: int, draws: int, seed: int) -> NDArray[np.int8]:
    # A byte holds them: nothing is drawn over 127 times but with a chance below 1e-200.
    counts = _counts(n, draws, np.random.default_rng([seed, 1]))
    return np.vstack([np.minimum(lines, 127).astype(np.int8) for lines in counts])


@lru_cache(maxsize=8)
def _kept_signs(n: int, draws: int, seed: int) -> NDArray[np.int8]:
    signs = _signs(n, draws, np.random.default_rng([seed, 2]))
    return np.vstack([lines.astype(np.int8) for lines in signs])


def _single(table: NDArray[np.int8]) -> Iterator[Counts]:
    """In pieces that stay in the processor's cache: bytes travel, not words."""
    step = max(1, _CACHED_CELLS // table.shape[1])
    return (table[start : start + step].astype(np.float32) for start in range(0, len(table), step))


def _blocks(columns: Floats, by: Floats) -> tuple[Floats, NDArray[np.intp], NDArray[np.intp]]:
    starts = np.linspace(0, len(columns), BLOCKS, endpoint=False).astype(np.intp)
    sizes = np.diff(np.append(starts, len(columns)))
    return columns[np.argsort(by, kind="stable")], starts, sizes


def _by_blocks(
    ordered: Floats,
    starts: NDArray[np.intp],
    sizes: NDArray[np.intp],
    weights: Floats,
    rng: np.random.Generator,
) -> Floats:
    means = np.add.reduceat(ordered, starts, axis=0) / sizes[:, None]
    inside = ordered - np.repeat(means, sizes, axis=0)
    # A normal vector with the covariance of the rows inside their blocks: X'X = V diag(values) V',
    # so standard normals times sqrt(values), turned by V. Rounding may leave a value below 0.
    values, vectors = np.linalg.eigh(inside.T @ inside)
    noise = rng.standard_normal((len(weights), len(values))) * np.sqrt(np.maximum(values, 0.0))
    result: Floats = weights @ means + noise @ vectors.T
    return result

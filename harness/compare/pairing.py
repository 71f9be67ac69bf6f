"""Pairs the rows of two runs by content, and counts every row that has no partner.

A sample's id is the digest of its document, prompt and target, so a reworded prompt is another
sample, and the order of rows means nothing. Pairs come in the order of their ids: the seeded
resampling that follows then sees the same rows whatever order they were scored in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

from steelyard.harness.compare.problems import Problem
from steelyard.harness.records import Flag, Rows, Score, flags_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Flags of unscored samples that say that the model is broken, and not that a document has no
#: answer: the same log-likelihood on every choice (the first would win), or no number at all.
BROKEN = {
    Flag.TIED: "give every choice the same log-likelihood",
    Flag.ONE_ANSWER: "are answered alike, whatever was asked",
    Flag.NOT_FINITE: "have a log-likelihood that is NaN or infinite",
    Flag.NOT_A_NUMBER: "have a log-likelihood or score that is not a number",
}


@dataclass(frozen=True)
class Paired:
    """The rows of both runs on the same samples: ``baseline`` and ``candidate`` are (n, k)."""

    sample_ids: tuple[str, ...]
    baseline: NDArray[np.float64]
    candidate: NDArray[np.float64]
    clusters: tuple[str, ...] | None
    """One label a sample; a sample without a cluster stands alone. None: all stand alone."""
    unscored_in_both: int


@dataclass(frozen=True)
class _Ids:
    """Sample ids in canonical order; ``order`` says where each stands among the rows."""

    ids: tuple[str, ...]
    order: NDArray[np.intp]
    copies: int


@lru_cache(maxsize=128)
def _canonical(ids: tuple[str, ...]) -> _Ids:
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return _Ids(
        tuple(ids[i] for i in order), np.array(order, dtype=np.intp), len(ids) - len(set(ids))
    )


def pair(baseline: Rows, candidate: Rows) -> tuple[Paired, list[Problem]]:
    """Rows of one metric of one task, paired by sample id, and what stands in the way."""
    before = _canonical(baseline.sample_ids)
    after = before
    if candidate.sample_ids != baseline.sample_ids:
        after = _canonical(candidate.sample_ids)
    texts = [
        *_own_faults(baseline, before.copies, "baseline"),
        *_own_faults(candidate, after.copies, "candidate"),
    ]
    ids, old, new = before.ids, before.order, after.order
    if before.ids != after.ids or before.copies:
        ids, old, new, lost = _partners(before, after)
        texts += lost
    both = baseline.scored[old] & candidate.scored[new]
    neither = int((~baseline.scored[old] & ~candidate.scored[new]).sum())
    texts += _one_sided(baseline.scored[old], candidate.scored[new])
    texts += _other_widths(baseline, candidate)
    if not both.any() and not texts:
        texts.append(f"none of {len(old)} samples is scored in both runs")
    if not both.all():
        ids, old, new = tuple(compress(ids, both)), old[both], new[both]
    paired = Paired(
        sample_ids=ids,
        baseline=baseline.values[old],
        candidate=candidate.values[new],
        clusters=_clusters(baseline, old) or _clusters(candidate, new),
        unscored_in_both=neither,
    )
    task, metric = baseline.task, baseline.metric
    return paired, [Problem("rows", text, task, metric) for text in texts]


@dataclass(frozen=True)
class Alone:
    """One run's scored rows, (n, k), for a bound that needs no other run."""

    values: NDArray[np.float64]
    clusters: tuple[str, ...] | None
    faults: tuple[str, ...]


def alone(rows: Rows, score: Score, side: str) -> Alone:
    """The rows of one metric of one run, and what is wrong with them."""
    ids = _canonical(rows.sample_ids)
    order = ids.order[rows.scored[ids.order]]
    faults = [*_own_faults(rows, ids.copies, side)]
    faults += [problem.text for problem in against_score(rows, score, side)]
    if not len(order) and not faults:
        faults.append(f"none of {len(rows.sample_ids)} samples of the {side} is scored")
    return Alone(rows.values[order], _clusters(rows, order), tuple(faults))


def against_score(rows: Rows, score: Score, side: str) -> list[Problem]:
    """Whether a run's rows still are what its score was made from."""
    texts = []
    scored = int(rows.scored.sum())
    if (scored, len(rows.sample_ids) - scored) != (score.n, score.unscored):
        texts.append(
            f"the {side} was scored on {score.n} samples ({score.unscored} unscored), but "
            f"{scored} rows ({len(rows.sample_ids) - scored} unscored) are left"
        )
    elif score.kind in ("accuracy", "bounded") and score.value is not None and scored:
        mean = float(rows.values[rows.scored].mean())
        if not np.isclose(mean, score.value, rtol=1e-6, atol=1e-9):
            texts.append(f"the {side}'s score is {score.value:.6g}, but its rows give {mean:.6g}")
    return [Problem("rows", text, score.task, score.metric) for text in texts]


def other_lengths(paired: Paired, score: Score) -> list[Problem]:
    """Whether a perplexity's log-likelihoods are shared out over other lengths than before.

    The length of a text (in words, bytes or tokens) is the document's: twice the words for one
    log-likelihood would read as half the loss.
    """
    shapes = paired.baseline.shape[1:], paired.candidate.shape[1:]
    if score.kind != "perplexity" or shapes != ((2,), (2,)):
        return []
    before, after = paired.baseline[:, 1], paired.candidate[:, 1]
    count = int((~np.isclose(before, after, rtol=1e-6, atol=1e-9)).sum())
    if not count:
        return []
    first = int(np.argmax(~np.isclose(before, after, rtol=1e-6, atol=1e-9)))
    text = (
        f"{count} of {len(before)} samples are of another length ({before[first]:g} in the "
        f"baseline, {after[first]:g} in the candidate), so one unit is not the other's"
    )
    return [Problem("signature", text, score.task, score.metric)]


def part_of(rows: Rows, sample_ids: Collection[str]) -> Rows:
    """The rows of these samples, in their own order."""
    wanted = set(sample_ids)
    where = [i for i, id in enumerate(rows.sample_ids) if id in wanted]
    return replace(
        rows,
        sample_ids=tuple(rows.sample_ids[i] for i in where),
        values=rows.values[where],
        scored=rows.scored[where],
        flags=tuple(rows.flags[i] for i in where),
        clusters=tuple(rows.clusters[i] for i in where),
    )


def _own_faults(rows: Rows, copies: int, side: str) -> list[str]:
    texts = []
    total = len(rows.sample_ids)
    if not total:
        texts.append(f"the {side} has no rows")
    if copies:
        texts.append(f"{copies} of {total} rows of the {side} are duplicates of another sample")
    bad = int((~np.isfinite(rows.values[rows.scored]).all(axis=1)).sum()) if total else 0
    if bad:
        texts.append(f"{bad} of {total} scored rows of the {side} hold NaN or infinity")
    counts = _broken(rows) if any(rows.flags) else Counter()
    for flag, words in BROKEN.items():
        if counts[flag]:
            texts.append(f"{counts[flag]} of {total} samples of the {side} {words}")
    return texts


def _broken(rows: Rows) -> Counter[Flag]:
    counts: Counter[Flag] = Counter()
    for scored, flags in zip(rows.scored, rows.flags, strict=True):
        if flags and not scored:
            counts.update(flags_in(flags))
    return counts


def _partners(
    before: _Ids, after: _Ids
) -> tuple[tuple[str, ...], NDArray[np.intp], NDArray[np.intp], list[str]]:
    """The samples that stand on both sides, once each, and where; the others are counted."""
    first = dict(zip(reversed(before.ids), reversed(before.order), strict=True))
    place = dict(zip(reversed(after.ids), reversed(after.order), strict=True))
    shared = tuple(sorted(first.keys() & place.keys()))
    lost, extra = len(first) - len(shared), len(place) - len(shared)
    texts = []
    if lost and place:
        texts.append(f"{lost} of {len(first)} baseline samples have no row in the candidate")
    if extra and first:
        texts.append(f"{extra} of {len(place)} candidate samples have no row in the baseline")
    return (
        shared,
        np.array([first[id] for id in shared], dtype=np.intp),
        np.array([place[id] for id in shared], dtype=np.intp),
        texts,
    )


def _other_widths(before: Rows, after: Rows) -> list[str]:
    """A row without a number in it has no width of its own."""
    widths = before.values.shape[1], after.values.shape[1]
    if widths[0] == widths[1] or not (before.scored.any() and after.scored.any()):
        return []
    return [f"a row holds {widths[0]} numbers in the baseline and {widths[1]} in the candidate"]


def _one_sided(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> list[str]:
    texts = []
    for side, other, count in (
        ("candidate", "baseline", int((before & ~after).sum())),
        ("baseline", "candidate", int((~before & after).sum())),
    ):
        if count:
            texts.append(
                f"{count} of {len(before)} samples are unscored in the {side} and scored in the "
                f"{other}"
            )
    return texts


def _clusters(rows: Rows, indices: Sequence[int] | NDArray[np.intp]) -> tuple[str, ...] | None:
    if rows.clusters.count(None) == len(rows.clusters):
        return None
    # The prefix keeps a lone sample's own id apart from every cluster's name.
    return tuple(
        f"sample {rows.sample_ids[i]}" if (name := rows.clusters[i]) is None else f"cluster {name}"
        for i in indices
    )

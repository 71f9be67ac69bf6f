"""One rule's early decision on one task: the committed order, the differences and the two games.

PASS is decided at alpha, FAIL at alpha over the number of blocking hypotheses, each by a test that
may be looked at after every item (``steelyard.harness.stats.SequentialTest``).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from steelyard.harness.errors import StatisticsError
from steelyard.harness.gate import wording
from steelyard.harness.gate.hypotheses import Hypothesis
from steelyard.harness.gate.policy import Claim
from steelyard.harness.records import Score, metric_name
from steelyard.harness.stats import SequentialTest

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bounded metrics whose rows reach beyond 1.
_UPPER_BOUNDS = {"brier": 2.0, "brier_score": 2.0}
#: Items whose worth the assumed variance of 0.1 and a difference of 0 keep in the forecast.
_PRIOR_ITEMS = 20


def committed_order(
    sample_ids: Sequence[str], clusters: Sequence[str] | None, seed: str
) -> tuple[tuple[str, ...], ...]:
    """Clusters of sample ids in a random order that is fixed before anything is scored.

    The order depends on ``seed`` and the ids alone, so anyone can draw it again.
    """
    groups: dict[str, list[str]] = {}
    for id, label in sorted(zip(sample_ids, clusters or sample_ids, strict=True)):
        groups.setdefault(label, []).append(id)
    names = sorted(groups, key=lambda name: groups[name][0])
    digest = hashlib.sha256("\n".join([seed, *sorted(sample_ids)]).encode()).digest()
    shuffled = np.random.default_rng(list(digest)).permutation(len(names))
    return tuple(tuple(groups[names[i]]) for i in shuffled)


def unfit(hypothesis: Hypothesis) -> str | None:
    """Why a hypothesis is decided on the full run only; None where it may be decided early."""
    rule = hypothesis.rule
    pair = hypothesis.pair
    if rule.max_forgotten is not None:
        return "what was forgotten is counted on the full run"
    if not rule.is_relative or rule.is_absolute or pair is None or pair.paired is None:
        return "a floor or ceiling is decided on the full run"
    score = pair.baseline
    if score.kind == "perplexity":
        if rule.clip is None:
            return "perplexity is decided on the full run (early only with clip: bounds in nats)"
        if score.scale == "bits":
            return "bits are decided on the full run"
        return None
    if score.kind not in ("accuracy", "bounded"):
        return f"{score.kind} scores are decided on the full run"
    upper = _upper_bound(score)
    values = pair.paired.baseline
    if values.min(initial=0.0) < 0 or values.max(initial=0.0) > upper:
        return f"rows outside 0..{upper:g} are decided on the full run"
    return None


def _upper_bound(score: Score) -> float:
    return _UPPER_BOUNDS.get(metric_name(score.metric), 1.0)


@dataclass
class Track:
    """A hypothesis on its way; ``update`` takes the candidate's rows in the committed order."""

    hypothesis: Hypothesis
    claim: Claim
    alpha: float
    family: int
    """Blocking questions of the gate: FAIL is decided at alpha / family."""
    decided: Literal["pass", "fail"] | None = None
    decided_after: int = 0
    refused: str | None = None
    """Why it can no longer be decided early."""
    clipped: int = 0
    _baseline: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    _labels: dict[str, str] = field(default_factory=dict)
    _differences: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        pair = self.hypothesis.pair
        assert pair is not None and pair.paired is not None
        paired, subset = pair.paired, self.hypothesis.subset
        chosen = range(len(paired.sample_ids)) if subset is None else subset
        self._baseline = {paired.sample_ids[i]: paired.baseline[i] for i in chosen}
        labels = paired.clusters or paired.sample_ids
        self._labels = {paired.sample_ids[i]: labels[i] for i in chosen}
        lengths = [float(row[-1]) for row in self._baseline.values()]
        self._mean_length = sum(lengths) / len(lengths)
        self._passing, self._failing = (
            self._test(level) for level in (self.alpha, self.alpha / max(self.family, 1))
        )

    def _test(self, alpha: float) -> SequentialTest:
        sizes = list(Counter(self._labels.values()).values())
        bound = self.bound
        return SequentialTest(
            self.total,
            margin=self.margin,
            alpha=alpha,
            low=-bound,
            high=bound,
            claim=self.claim,
            clusters=len(sizes),
            largest=max(sizes, default=1),
        )

    @property
    def score(self) -> Score:
        """The baseline's score."""
        assert self.hypothesis.pair is not None
        return self.hypothesis.pair.baseline

    @property
    def bound(self) -> float:
        """No difference of one sample is larger."""
        clip = self.hypothesis.rule.clip
        if self.score.kind == "perplexity" and clip is not None:
            return clip
        return _upper_bound(self.score)

    @property
    def margin(self) -> float:
        """The margin in the unit of the differences."""
        rule = self.hypothesis.rule
        if rule.max_ratio is not None:
            return math.log(rule.max_ratio)
        assert rule.margin is not None
        return math.log1p(rule.margin) if self.score.kind == "perplexity" else rule.margin

    @property
    def total(self) -> int:
        """Samples that the hypothesis is about."""
        return len(self._baseline)

    @property
    def used(self) -> int:
        """Samples taken so far."""
        return len(self._differences)

    @property
    def delta(self) -> float | None:
        """Mean difference of the samples taken so far; positive is better."""
        return float(np.mean(self._differences)) if self._differences else None

    @property
    def open(self) -> bool:
        """Whether more samples could decide it early."""
        return self.decided is None and self.refused is None and self.used < self.total

    def update(
        self, chunk: Sequence[Sequence[str]], values: Mapping[str, NDArray[np.float64]]
    ) -> None:
        """Take whole clusters of samples, in the committed order; decided stays decided."""
        if not self.open:
            return
        sums, sizes = [], []
        for cluster in chunk:
            ids = [id for id in cluster if id in self._baseline]
            if ids:
                differences = [self._difference(self._baseline[id], values[id]) for id in ids]
                self._differences += differences
                sums.append(sum(differences))
                sizes.append(len(ids))
        try:
            self._passing.update(sums, sizes)
            self._failing.update(sums, sizes)
        except StatisticsError as error:
            self.refused = f"decided on the full run: {error.message}"
            return
        self.decided, self.decided_after = self._decision()

    def _decision(self) -> tuple[Literal["pass", "fail"] | None, int]:
        """The earlier of both games; a PASS at the stricter level is a PASS too."""
        ends: list[tuple[int, Literal["pass", "fail"]]] = [
            (test.used, "pass") for test in (self._passing, self._failing) if test.verdict == "pass"
        ]
        if self._failing.verdict == "fail":
            ends.append((self._failing.used, "fail"))
        if not ends:
            return None, self.used
        used, decided = min(ends)
        return decided, used

    def _difference(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
        if self.score.kind == "perplexity":
            return self._log_likelihood_gain(before, after)
        sign = 1.0 if self.score.higher_is_better else -1.0
        return sign * float(after[0] - before[0])

    def _log_likelihood_gain(
        self, before: NDArray[np.float64], after: NDArray[np.float64]
    ) -> float:
        """Nats gained on a sample per unit of the mean sample: they average to the full delta."""
        gain = float(after[0] - before[0]) / self._mean_length
        clipped = min(max(gain, -self.bound), self.bound)
        self.clipped += clipped != gain
        return clipped

    def expected_items(self) -> float:
        """A forecast of how many more samples decide it, from what was seen (at least 1)."""
        seen = np.asarray(self._differences)
        weight = self.used + _PRIOR_ITEMS
        mean = float(seen.sum()) / weight
        variance = (float((seen**2).sum()) + 0.1 * _PRIOR_ITEMS * self.bound**2) / weight
        distance = max(abs(mean + self.margin), 0.25 * self.margin, 1 / self.total)
        needed = 2 * math.log(1 / self.alpha) * variance / distance**2
        # Without replacement, the last items weigh as much as all before.
        needed = needed / (1 + needed / self.total)
        return max(1.0, min(needed, self.total) - self.used)

    def why(self, low: float, high: float) -> str:
        """The line of an early decision, or of an undecided rule, with its ``interval``."""
        taken = self.decided_after if self.decided else self.used
        text = f"{self._where()}: after {taken} of {self.total} samples "
        if self.delta is None:
            return f"{text}nothing is known"
        ends = " and ".join(wording.amount(self.score, end) for end in (low, high))
        text += f"{wording.amount(self.score, self.delta)} (between {ends} at any stop)"
        text += f", {wording.allowance(self.score, self.margin)}"
        if self.clipped:
            text += f", {self.clipped / self.used:.1%} clipped at {self.bound:g} nats"
        return text

    def interval(self) -> tuple[float, float]:
        """What the mean difference may still be, at 1 - 2 alpha, valid at any stop."""
        return self._passing.interval()

    def _where(self) -> str:
        place = f"{self.hypothesis.task}: {self.hypothesis.metric}"
        return f"{place} [{self.hypothesis.slice}]" if self.hypothesis.slice else place

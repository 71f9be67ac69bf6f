"""Rules on forgetting: of what the baseline had right, how much may be wrong now.

A score can stay as it was while a tenth of its right answers is lost and another tenth gained.
``max_forgotten`` looks at the first tenth alone. Given which samples the baseline had right, how
many of them are wrong now is a binomial count, so the test is exact: a PASS needs that so few
would be wrong with probability at most alpha were the share just the bound, a FAIL that so many
would (Clopper and Pearson 1934, Biometrika 26:404-413). Samples that share a document count as one
unit of a mean besides, and then both tests must agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats as distributions

from steelyard.harness.compare import Paired, Settings, run_test
from steelyard.harness.errors import ConfigError
from steelyard.harness.gate.hypotheses import Hypothesis
from steelyard.harness.gate.policy import Claim
from steelyard.harness.records import RuleVerdict, Score

#: Two-sided, of the interval that is shown.
_SHOWN = 0.05


@dataclass(frozen=True)
class Forgotten:
    """How many of the baseline's right answers are wrong now, and at which levels that decides."""

    wrong: int
    right: int
    """Samples that the baseline had right and both runs have scored."""
    bound: float
    """The largest share that may be wrong."""
    clustered: Callable[[float], str] | None = None
    """The verdict of the test over clusters at a one-sided level; None: samples stand alone."""

    @property
    def share(self) -> float:
        """Wrong now, of what was right."""
        return self.wrong / self.right

    def passes(self, level: float) -> bool:
        """Whether the share is at most the bound, but for an error of ``level``."""
        few = float(distributions.binom.cdf(self.wrong, self.right, self.bound)) <= level
        return few and (self.clustered is None or self.clustered(level) in ("better", "not_worse"))

    def fails(self, level: float) -> bool:
        """Whether the share is above the bound, but for an error of ``level``."""
        many = float(distributions.binom.sf(self.wrong - 1, self.right, self.bound)) <= level
        return many and (self.clustered is None or self.clustered(level) == "worse")

    def interval(self) -> tuple[float, float]:
        """The 95% Clopper-Pearson interval of the share."""
        exact = distributions.binomtest(self.wrong, self.right).proportion_ci(1 - _SHOWN)
        return float(exact.low), float(exact.high)

    def fewest(self, level: float) -> int | None:
        """How many right answers it takes for a pass where none is wrong; None: no number does."""
        if self.bound <= 0:
            return None
        return math.ceil(math.log(level) / math.log1p(-self.bound))


def require_forgettable(hypothesis: Hypothesis, score: Score) -> None:
    """Raises ``ConfigError`` where "right" means nothing, or where the bound could never fail."""
    bound = hypothesis.rule.max_forgotten
    assert bound is not None
    where = f"{hypothesis.task}: {score.metric}"
    if score.kind != "accuracy" or score.parts:
        what = "the score of a group" if score.parts else "no 0/1 metric"
        fix = "name its tasks in rules of their own" if score.parts else "give it a margin"
        raise ConfigError(
            f"{where} is {what}, so none of its samples is right or wrong",
            key="max_forgotten",
            value=bound,
            fix=fix,
        )
    asked = hypothesis.rule.higher_is_better
    if asked is not None and asked != score.higher_is_better:
        own = "higher" if score.higher_is_better else "lower"
        raise ConfigError(
            f"{where} has a direction of its own: {own} is better",
            key="higher_is_better",
            value=asked,
            fix="leave it out",
        )
    if hypothesis.rule.tier == "block" and score.chance and bound >= 1 - score.chance:
        raise ConfigError(
            f"{where}: a model that guesses has {1 - score.chance:.3g} of it wrong and would pass",
            key="max_forgotten",
            value=bound,
            fix=f"the largest bound that guards something is just below {1 - score.chance:.3g}",
        )


def forgotten(
    hypothesis: Hypothesis, score: Score, paired: Paired, settings: Settings
) -> Forgotten:
    """The count of one 0/1 metric, on all pairs or on the rule's slice."""
    bound = hypothesis.rule.max_forgotten
    assert bound is not None
    good = 1.0 if score.higher_is_better else 0.0
    rows = range(len(paired.sample_ids)) if hypothesis.subset is None else hypothesis.subset
    right = tuple(i for i in rows if paired.baseline[i, 0] == good)
    wrong = int((paired.candidate[np.asarray(right, dtype=np.intp), 0] != good).sum())
    if paired.clusters is None:
        return Forgotten(wrong, len(right), bound)

    def clustered(level: float) -> str:
        return run_test(score, paired, settings, margin=bound, alpha=level, subset=right).verdict

    return Forgotten(wrong, len(right), bound, clustered)


def decided(count: Forgotten, claim: Claim, alpha: float) -> tuple[RuleVerdict, str]:
    """The verdict and its words."""
    if claim == "benchmark":
        if count.share <= count.bound:
            return "pass", f"PASS on these {count.right} samples"
        return "fail", "FAIL"
    if count.passes(alpha):
        return "pass", "PASS"
    if count.fails(alpha):
        return "fail", "FAIL"
    needed = count.fewest(alpha)
    if needed is None:
        return "inconclusive", (
            "INCONCLUSIVE (no number of samples shows that nothing is lost on others like these: "
            "say claim: benchmark, or allow a share above 0)"
        )
    if needed > count.right:
        return "inconclusive", (
            f"INCONCLUSIVE (too few: this bound takes {needed} samples that the baseline had "
            "right, even where none of them is wrong now)"
        )
    return "inconclusive", "INCONCLUSIVE (the interval holds the bound)"


def in_words(count: Forgotten) -> str:
    """``9 of 300 that the baseline had right are wrong now (3.0%, 95% interval ...)``."""
    low, high = count.interval()
    return (
        f"{count.wrong} of {count.right} samples that the baseline had right are wrong now "
        f"({count.share:.1%}, 95% interval {low:.1%} to {high:.1%}), at most {count.bound:.3g} of "
        "them may be"
    )

"""What holding two runs against each other gives: differences, flips, rules and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from steelyard.harness.records.record import Record
from steelyard.harness.records.words import DeltaVerdict, Kind, RuleVerdict, Scale, Tier


class Difference(Record):
    """One signature field in which two runs differ on a task."""

    task: str
    field: str
    baseline: str | None
    candidate: str | None
    voids: bool
    """Whether this difference makes the numbers not comparable."""


class Delta(Record):
    """The paired difference of one metric on one task; positive is better, whatever the metric."""

    task: str
    metric: str
    family: str
    kind: Kind
    scale: Scale | None = None
    primary: bool
    higher_is_better: bool
    baseline: float | None
    candidate: float | None
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    """Two-sided 95% interval of ``delta``."""
    p_value: float | None = None
    p_adjusted: float | None = None
    verdict: DeltaVerdict | None = None
    mde: float | None = None
    """Minimum detectable effect at 80% power, in the unit of ``delta``."""
    n: int = 0
    method: str | None = None
    reason: str | None = None
    """Why this test was taken: what the rows are, and what an unseen one is taken to change."""
    unit: str | None = None
    slice: str | None = None
    """``field=value`` where this is a slice of the task."""
    note: str | None = None


class Flip(Record):
    """A sample that went right -> wrong (``lost``) or wrong -> right (``gained``)."""

    task: str
    metric: str
    sample_id: str
    direction: Literal["lost", "gained"]
    prompt: str
    target: str
    baseline_response: str
    candidate_response: str
    slices: Mapping[str, str] = Field(default_factory=dict)
    flips_in_every_candidate: bool = False


class FlipCount(Record):
    """How many samples of a task flipped, and the forgetting rate P(wrong now | right before)."""

    task: str
    metric: str
    lost: int
    gained: int
    n: int
    right_before: int
    forgetting_rate: float | None


class BackwardTransfer(Record):
    """The mean change of accuracy over the retention tasks (Lopez-Paz and Ranzato 2017, BWT)."""

    value: float
    low: float | None = None
    high: float | None = None
    """A 95% interval that takes the tasks as independent of each other."""
    tasks: tuple[str, ...]


class Comparison(Record):
    """One candidate run against one baseline run."""

    baseline_id: str
    baseline: str
    candidate_id: str
    candidate: str
    comparable: bool
    problems: tuple[str, ...] = ()
    """Each a line that says why some number may not be compared (exit 3)."""
    differences: tuple[Difference, ...] = ()
    deltas: tuple[Delta, ...] = ()
    slices: tuple[Delta, ...] = ()
    flip_counts: tuple[FlipCount, ...] = ()
    flips: tuple[Flip, ...] = ()
    backward_transfer: BackwardTransfer | None = None
    """None where no 0/1 metric of a retention task could be compared."""
    claim: str = "these checkpoints on items like these; not the recipe (one seed)"


class RuleResult(Record):
    """One gate rule after it was held against one candidate."""

    rule: str
    """The rule in words, as in ``known: correct, margin 0.02``."""
    candidate: str
    tier: Tier
    verdict: RuleVerdict
    why: str
    task: str | None = None
    metric: str | None = None
    margin: float | None = None
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    mde: float | None = None
    n: int | None = None
    method: str | None = None
    """The test behind the interval and the p-value; None where nothing was tested."""
    reason: str | None = None
    """Why this test was taken."""
    claim: Literal["benchmark", "population"] = "population"
    exit_code: int = 0
    """What this rule alone asks the gate to exit with; 0: it does not block."""


class Verdict(Record):
    """What the gate says of one candidate; ``exit_code`` as documented in
    ``steelyard.harness.errors``.
    """

    candidate: str
    candidate_id: str | None = None
    """The run's id: two runs may have one name."""
    baseline: str
    verdict: RuleVerdict
    exit_code: int
    rules: tuple[RuleResult, ...]
    summary: str
    attempt: int = 1
    """Which checkpoint of this candidate's name it is, of those that were tried at this suite."""
    attempts: int = 1
    """How many of them there are."""

    @property
    def attempt_words(self) -> str:
        """``the 4th attempt at this gate``, ``the 2nd of 4 attempts``; empty where it is alone."""
        if self.attempts < 2:
            return ""
        if self.attempt == self.attempts:
            return f"the {_ordinal(self.attempt)} attempt at this gate"
        return f"the {_ordinal(self.attempt)} of {self.attempts} attempts at this gate"


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"

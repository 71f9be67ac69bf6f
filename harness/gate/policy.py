"""The gate's rules: the ``gate:`` block of an experiment file, or a policy file of its own.

```yaml
baseline: base                 # a candidate, a run, or a baseline file
alpha: 0.05                    # one-sided, per rule
rules:
  - {task: gsm8k, margin: 0.02}
  - {task: "retention/*", margin: 0.01, tier: warn}
  - {task: known, slice: "subject=*", margin: 0.1, tier: report}
  - {task: dialogsum, metric: rougeL, min: 0.3}
  - {metric: energy_kwh, max_ratio: 1.2, tier: report}
```
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from steelyard.harness.records import Tier

Claim = Literal["benchmark", "population"]
OnInconclusive = Literal["block", "pass"]
OnMissing = Literal["not_comparable", "fail", "pass"]
Scope = Literal["all", "rules"]

#: What a rule may hold besides scores: one number a run, judged by ``max_ratio`` or ``max``.
COSTS = ("energy_kwh", "co2e_g", "size_bytes", "parameters", "peak_memory_bytes", "seconds")


class Rule(BaseModel):
    """One rule: what it selects, what it allows, and what follows.

    ``margin`` is how much worse the candidate may be, in the metric's own units (0.02 is two
    points of accuracy; for perplexity it is relative: 0.02 allows 2% more). ``max_ratio`` allows a
    cost or a perplexity to grow by a factor. ``max_forgotten`` is how much of what the baseline
    had right may be wrong now. ``min`` and ``max`` are absolute floors and ceilings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    task: str | None = None
    """A task's name, or a pattern such as ``retention/*``."""
    suite: str | None = None
    """A pattern of suite names: every task of a run of that suite."""
    slice: str | None = None
    """``field=value``, the value may be a pattern: ``subject=*``."""
    metric: str | None = None
    """Default: the task's primary metric."""
    margin: float | None = None
    max_ratio: float | None = Field(default=None, gt=0)
    max_forgotten: float | None = Field(default=None, ge=0, lt=1)
    """Of the samples that the baseline had right, the largest share that may be wrong now."""
    min: float | None = None
    max: float | None = None
    higher_is_better: bool | None = None
    """Default: the metric's own direction."""
    tier: Tier = "block"
    on_inconclusive: OnInconclusive | None = None
    """Default: ``block`` in tier block, else ``pass``."""
    on_missing: OnMissing = "not_comparable"
    claim: Claim | None = None
    """Default: the gate's."""
    clip: float | None = Field(default=None, gt=0)
    """Perplexity, decided early: bounds of one sample's change, in nats per unit."""
    phase: Literal["score", "train", "total"] = "score"
    """Of energy_kwh, co2e_g and seconds: which part of the run's cost is held."""

    @property
    def is_cost(self) -> bool:
        """Whether the rule holds a number of the whole run, not a score."""
        return self.metric in COSTS and self.task is None and self.suite is None

    @property
    def inconclusive_blocks(self) -> bool:
        """Whether "can't tell" stops the release."""
        default = "block" if self.tier == "block" else "pass"
        return self.tier == "block" and (self.on_inconclusive or default) == "block"

    @property
    def is_relative(self) -> bool:
        """Whether the rule holds the candidate against the baseline, and not against a number."""
        bounds = (self.margin, self.max_ratio, self.max_forgotten)
        return any(bound is not None for bound in bounds)

    @property
    def is_absolute(self) -> bool:
        """Whether the rule holds the candidate's own score against a number."""
        return self.min is not None or self.max is not None

    @property
    def label(self) -> str:
        """The rule in words."""
        if self.name:
            return self.name
        what = ": ".join(p for p in (self.task or self.suite, self.slice, self.metric) if p)
        return ", ".join([what, *self.bounds])

    @property
    def bounds(self) -> tuple[str, ...]:
        """What the rule allows, in words."""
        margin = () if self.margin is None else (f"margin {self.margin:g}",)
        ratio = () if self.max_ratio is None else (f"at most x{self.max_ratio:g}",)
        share = self.max_forgotten
        forgotten = () if share is None else (f"at most {share:g} forgotten",)
        return (*margin, *ratio, *forgotten, *self.absolute_bounds)

    @property
    def absolute_bounds(self) -> tuple[str, ...]:
        """The numbers that the candidate's own score is held against, in words."""
        named = (("at least", self.min), ("at most", self.max))
        return tuple(f"{word} {value:g}" for word, value in named if value is not None)

    @field_validator("margin", "max_ratio", "max_forgotten", "min", "max", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        if isinstance(value, bool) or (value is not None and not isinstance(value, int | float)):
            raise ValueError("expected a number, as in 0.02")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("expected a finite number")
        return value

    @field_validator("margin")
    @classmethod
    def _margin(cls, value: float | None) -> float | None:
        if value is not None and value < 0:
            raise ValueError("a margin is how much worse is still allowed, so 0 or more")
        return value

    @field_validator("slice")
    @classmethod
    def _slice(cls, value: str | None) -> str | None:
        if value is not None and "=" not in value:
            raise ValueError("expected field=value, as in subject=anatomy or subject=*")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not (self.task or self.suite or self.metric):
            raise ValueError("selects nothing: name a task, a suite or a metric")
        if not self.bounds:
            raise ValueError(
                "allows everything: give a margin, a max_ratio, a max_forgotten, a min or a max"
            )
        if self.margin is not None and self.max_ratio is not None:
            raise ValueError("has both a margin and a max_ratio: keep one")
        if self.max_forgotten is not None and len(self.bounds) > 1:
            raise ValueError("has max_forgotten and another bound: make it a rule of its own")
        if self.is_cost and self.max_forgotten is not None:
            raise ValueError(f"{self.metric} takes a max_ratio or a max")
        if self.is_cost and (self.margin is not None or self.slice or self.min is not None):
            raise ValueError(f"{self.metric} takes a max_ratio or a max")
        if self.slice and (self.min is not None or self.max is not None):
            raise ValueError("a slice takes a margin, not a min or max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max: nothing can pass")
        return self


class Gate(BaseModel):
    """A release policy: rules, and how sure one must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    extends: str | None = None
    """A policy file whose keys hold where this one is silent; its rules come first."""
    baseline: str | None = None
    alpha: float = Field(default=0.05, ge=1e-4, lt=0.5)
    """At least what 10,000 draws can tell."""
    rules: tuple[Rule, ...] = Field(min_length=1)
    sequential: bool = False
    claim: Claim | None = None
    """Default: ``population``, or ``benchmark`` with ``sequential``."""
    scope: Scope = "all"
    """``all``: a task or row that the candidate lost counts even where no rule looks."""
    contaminated_share: float = Field(default=0.01, ge=0, le=1)
    """A task of which more than this share (and more than one item) is in a candidate's training
    data decides nothing. Not 0: the search finds a few items that only resemble a training row."""
    waive_contamination: Mapping[str, str] = Field(default_factory=dict)
    """Task (or pattern) -> the reason why it may be gated on all the same."""
    measured_share: float = Field(default=0.8, gt=0, le=1)
    """Energy and carbon are judged only where at least this share of the energy was measured."""
    draws: int = Field(default=10_000, ge=1000, le=1_000_000)

    seed: None = None
    """No policy has one: what it would change could be tried until it passes."""

    @field_validator("seed", mode="before")
    @classmethod
    def _no_seed(cls, value: object) -> None:
        raise ValueError(
            "a policy has no seed: the order of the samples and what is drawn follow from the "
            "baseline and the candidate; leave it out"
        )

    @field_validator("waive_contamination")
    @classmethod
    def _reasons(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        if bare := [task for task, reason in value.items() if not reason.strip()]:
            raise ValueError(f"'{bare[0]}' is waived without a reason")
        return value

    def claim_of(self, rule: Rule) -> Claim:
        """The claim that ``rule`` makes."""
        return rule.claim or self.claim or ("benchmark" if self.sequential else "population")

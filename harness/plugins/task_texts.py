"""What a metric is told of a task's texts, and numbers that say how they were made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

from steelyard.harness.texts import written_without_spaces


@dataclass(frozen=True)
class TaskTexts:
    """A task's right answers, all of them, before any model has answered.

    A metric with a verb ``for_task`` is given them once and returns itself as it measures this
    task: one tokenizer for all of its samples, the same for every model and every part of it.
    """

    references: tuple[str, ...] = ()
    language: str | None = None
    """The language of the answers as the task names it, e.g. ``zh``; None: it names none."""
    like_lm_eval: bool = False
    """Whether lm-eval's own numbers are asked for, which take no language into account."""

    @cached_property
    def ascii_only(self) -> bool:
        """Whether no right answer holds a character that is not ASCII."""
        return all(map(str.isascii, self.references))

    @cached_property
    def without_spaces(self) -> bool:
        """Whether the right answers are written without spaces between words."""
        return written_without_spaces(self.references)

    @cached_property
    def unspaced(self) -> int:
        """How many right answers, each by itself, are written without spaces between words."""
        return sum(written_without_spaces([reference]) for reference in self.references)

    @property
    def primary_language(self) -> str | None:
        """The language without script and region: ``zh`` of ``zh-Hans`` and of ``zh_CN``."""
        return None if self.language is None else self.language.replace("_", "-").split("-")[0]


class Signed(float):
    """A number of a task's own that says by which rules it was made; a number wherever it goes."""

    rules: str

    def __new__(cls, value: float, rules: str) -> Self:
        """``value``, made by ``rules``."""
        number = super().__new__(cls, value)
        number.rules = rules
        return number

    def __getnewargs__(self) -> tuple[float, str]:  # type: ignore[override]
        return float(self), self.rules

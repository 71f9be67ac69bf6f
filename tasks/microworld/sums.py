"""Sums and differences of numbers below thirty; a fixed fifth is never shown in pretraining."""

import random
from dataclasses import dataclass
from functools import cache

LARGEST = 29


@dataclass(frozen=True)
class Sum:
    """One question, for instance 18 plus 15."""

    left: int
    operation: str  # "plus" or "minus"
    right: int

    @property
    def result(self) -> int:
        """The right answer."""
        return self.left + self.right if self.operation == "plus" else self.left - self.right

    def prompt(self) -> str:
        """Ask for the result, which follows after one space."""
        return f"Question : what is {self.left} {self.operation} {self.right} ?\nAnswer :"


@cache
def sums(seed: int = 0) -> tuple[tuple[Sum, ...], tuple[Sum, ...]]:
    """(shown in pretraining, held out), in random order; no result is negative."""
    numbers = range(LARGEST + 1)
    every = [Sum(a, "plus", b) for a in numbers for b in numbers]
    every += [Sum(a, "minus", b) for a in numbers for b in numbers if a >= b]
    random.Random(f"microworld:{seed}:sums").shuffle(every)
    cut = len(every) // 5
    return tuple(every[cut:]), tuple(every[:cut])

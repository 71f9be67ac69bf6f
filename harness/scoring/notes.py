"""What happens while a model is scored that the record of its run must say."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Events:
    """Counts and notes of one opened model.

    Attributes:
        out_of_memory: how often a batch was halved because it did not fit.
        notes: one line for each rule by which requests were handled.
    """

    out_of_memory: int = 0
    notes: dict[str, str] = field(default_factory=dict)

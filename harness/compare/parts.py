"""Parts of two models that differ beside what a training changes: tokenizer and chat template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steelyard.harness.records import Digests, Run

_PARTS = {"tokenizer": "tokenizer", "chat_template": "chat template"}


def part_notes(baseline: Run, candidates: Sequence[Run]) -> list[str]:
    """One line for every such difference, with the candidates that it is of.

    A candidate carries its start's tokenizer, so that another one is another model, or a file that
    changed in its folder. What came from another tool does not say what it read.
    """
    if baseline.imported_from is not None:
        return []
    names: dict[str, list[str]] = {}
    for candidate in candidates:
        if candidate.imported_from is not None:
            continue
        changed = _changed(baseline.checkpoint.digests, candidate.checkpoint.digests)
        if parts := " and ".join(changed):
            names.setdefault(parts, []).append(candidate.candidate)
    return [f"Another {parts} than the baseline's: {', '.join(of)}." for parts, of in names.items()]


def _changed(before: Digests, after: Digests) -> Iterator[str]:
    for field, part in _PARTS.items():
        if getattr(before, field) != getattr(after, field):
            yield part

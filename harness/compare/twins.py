"""A run made here beside one imported from lm-eval: the same samples under one name.

A run made here names samples by their content, an import by lm-eval's hashes; each of them keeps
the other name with its samples (``twin_id``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from steelyard.harness.compare.scored import Scored
from steelyard.harness.records import Rows, SampleRecord


def named_alike(
    before: Rows, after: Rows, baseline: Scored, candidate: Scored
) -> tuple[Rows, Rows]:
    """Both runs' rows, those of one run by its samples' other names where no name is in both."""
    if before.sample_ids == after.sample_ids or not _strangers(before, after):
        return before, after
    renamed = _renamed(after, candidate.samples_of(after.task))
    if not _strangers(before, renamed):
        return before, renamed
    renamed = _renamed(before, baseline.samples_of(before.task))
    return (before, after) if _strangers(renamed, after) else (renamed, after)


def by_every_name(samples: Mapping[str, SampleRecord]) -> Mapping[str, SampleRecord]:
    """The samples by either of their names."""
    twins = {s.twin_id: s for s in samples.values() if s.twin_id is not None}
    return {**twins, **samples}


def _strangers(before: Rows, after: Rows) -> bool:
    return set(before.sample_ids).isdisjoint(after.sample_ids)


def _renamed(rows: Rows, samples: Mapping[str, SampleRecord]) -> Rows:
    twins = {sample.sample_id: sample.twin_id for sample in samples.values()}
    return replace(rows, sample_ids=tuple(twins.get(id) or id for id in rows.sample_ids))

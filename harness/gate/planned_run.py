"""A candidate before it is scored: the samples that it will be asked, without an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from steelyard.harness.compare import Scored
from steelyard.harness.records import Rows, Run, SampleRecord


def planned_run(
    baseline: Scored,
    candidate: Run,
    sample_ids: Mapping[str, Sequence[str]],
    samples: Mapping[tuple[str, str], SampleRecord] | None,
) -> Scored:
    """The candidate as it will be asked, so that what differs shows before it is scored.

    Its rows stand in for the baseline's own: only their ids are looked at.
    """
    scores, rows = [], {}
    for score in baseline.run.scores:
        if score.parts and all(part in sample_ids for part in score.parts):
            # Its rows are those of its tasks.
            scores.append(score.model_copy(update={"value": None}))
            continue
        held = baseline.rows.get((score.task, score.metric))
        if score.task not in sample_ids or held is None:
            continue
        asked = _rows_as_asked(held, tuple(sample_ids[score.task]))
        n_scored = int(asked.scored.sum())
        counts = {"value": None, "n": n_scored, "unscored": len(asked.sample_ids) - n_scored}
        rows[score.task, score.metric] = asked
        scores.append(score.model_copy(update=counts))
    return Scored(candidate.model_copy(update={"scores": tuple(scores)}), rows, samples)


def _rows_as_asked(held: Rows, ids: tuple[str, ...]) -> Rows:
    place = {id: i for i, id in enumerate(held.sample_ids)}
    where = [place.get(id, -1) for id in ids]
    has_row = np.array([i >= 0 for i in where], dtype=bool)
    values = np.where(has_row[:, None], held.values[where], 0.0)
    return replace(
        held,
        sample_ids=ids,
        values=values,
        scored=np.where(has_row, held.scored[where], True),
        flags=tuple("" if i < 0 else held.flags[i] for i in where),
        clusters=tuple(None if i < 0 else held.clusters[i] for i in where),
    )

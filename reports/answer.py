"""The answer of a comparison as plain rows, for programs: one a score, beside the gate's rules.

What ``--format json`` and ``report.json`` hold beside the page; docs/json.md says each key. Numbers
are those of the records, at full precision; what is missing is ``None``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steelyard.harness.records import Comparison, Delta, DeltaVerdict, Record, Run, Score


class ScoreRow(Record):
    """One metric of one task, or of one slice of it, for one run; with its difference, where it was
    held against the baseline.
    """

    candidate: str
    run: str
    """The run's id."""
    is_baseline: bool
    suite: str
    task: str
    slice: str | None = None
    """``field=value`` where the row is of a slice of the task."""
    metric: str
    family: str
    kind: str
    """Of the metric: accuracy, bounded, corpus, perplexity, calibration or ratio."""
    unit: str | None = None
    higher_is_better: bool
    primary: bool
    value: float | None
    low: float | None = None
    high: float | None = None
    """The interval of ``value``, at the level ``confidence``; a slice has none."""
    confidence: float | None = None
    n: int
    """Samples behind ``value``; of a slice, pairs behind ``difference``."""
    unscored: int = 0
    difference: float | None = None
    """Candidate minus baseline, turned so that positive is better."""
    difference_low: float | None = None
    difference_high: float | None = None
    """Two-sided 95% interval of ``difference``."""
    p_value: float | None = None
    p_adjusted: float | None = None
    """Adjusted over the candidates and tasks of the whole comparison."""
    word: DeltaVerdict | None = None
    """What the page says of the difference."""
    mde: float | None = None
    """The smallest difference that these samples find with 80% power."""
    note: str | None = None


def score_rows(
    runs: Sequence[Run], comparisons: Sequence[Comparison], baseline: str
) -> tuple[ScoreRow, ...]:
    """A row for each score of each run, then one for each slice that was compared.

    Args:
        runs: one a candidate, the baseline's among them, no two of one name.
        comparisons: of which those against ``baseline`` give the differences.
        baseline: the candidate that everything is held against.
    """
    against = {each.candidate: each for each in comparisons if each.baseline == baseline}
    return tuple(
        row
        for run in runs
        for row in _rows_of(run, against.get(run.candidate), run.candidate == baseline)
    )


def _rows_of(run: Run, comparison: Comparison | None, is_baseline: bool) -> Iterator[ScoreRow]:
    deltas = {(d.task, d.metric): d for d in comparison.deltas} if comparison else {}
    for score in run.scores:
        yield _score_row(run, score, deltas.get((score.task, score.metric)), is_baseline)
    for delta in comparison.slices if comparison else ():
        yield _slice_row(run, delta)


def _score_row(run: Run, score: Score, delta: Delta | None, is_baseline: bool) -> ScoreRow:
    row = _row(run, score, is_baseline).model_copy(
        update={
            "value": score.value,
            "low": score.low,
            "high": score.high,
            "confidence": score.confidence,
            "unscored": score.unscored,
        }
    )
    return row if delta is None else row.model_copy(update=_difference(delta))


def _slice_row(run: Run, delta: Delta) -> ScoreRow:
    update = {"slice": delta.slice, "value": delta.candidate, **_difference(delta)}
    return _row(run, delta, is_baseline=False).model_copy(update=update)


def _row(run: Run, of: Score | Delta, is_baseline: bool) -> ScoreRow:
    """Whose number it is and what it means; the number itself is still missing."""
    return ScoreRow(
        candidate=run.candidate,
        run=run.id,
        is_baseline=is_baseline,
        suite=run.suite,
        task=of.task,
        metric=of.metric,
        family=of.family,
        kind=of.kind,
        unit=of.unit,
        higher_is_better=of.higher_is_better,
        primary=of.primary,
        value=None,
        n=of.n,
        note=of.note,
    )


def _difference(delta: Delta) -> dict[str, object]:
    return {
        "difference": delta.delta,
        "difference_low": delta.low,
        "difference_high": delta.high,
        "p_value": delta.p_value,
        "p_adjusted": delta.p_adjusted,
        "word": delta.verdict,
        "mde": delta.mde,
    }

"""Records -> cells. Nothing is computed here but sums of energy and bytes."""

from __future__ import annotations

from collections.abc import Iterable

from steelyard.harness.energy import known_seconds, total
from steelyard.harness.records import Comparison, Delta, Energy, Run, Score
from steelyard.reports.document import Change, Column, Normalised, Number, Text
from steelyard.reports.material import Material, MetricKey
from steelyard.reports.words import DELTA_WORDS, NOT_COMPARABLE, metric_title, plain, task_title


def change_of(comparison: Comparison, delta: Delta) -> Change:
    """A delta as a change, with the words for its verdict."""
    word, sense = DELTA_WORDS[delta.verdict] if delta.verdict else NOT_COMPARABLE
    path = f"comparisons/{comparison.baseline_id}/{comparison.candidate_id}"
    where = f"slices/{delta.task}/{delta.metric}/{delta.slice}" if delta.slice else ""
    return Change(
        against=comparison.baseline,
        delta=delta.delta,
        low=delta.low,
        high=delta.high,
        p_value=delta.p_value,
        p_adjusted=delta.p_adjusted,
        mde=delta.mde,
        n=delta.n,
        method=delta.method,
        reason=delta.reason,
        word=word,
        sense=sense,
        unit="log ratio" if _is_ratio(delta) else delta.unit,
        note=_said(delta, word),
        source=f"{path}/{where or f'deltas/{delta.task}/{delta.metric}'}",
    )


def _said(delta: Delta, word: str) -> str | None:
    """The delta's own note; and why a word may not say what an interval by itself would."""
    notes = [delta.note] if delta.note and delta.note != word else []
    if delta.low is None or delta.high is None or delta.p_adjusted is None:
        return "; ".join(notes) or None
    zero_inside = delta.low <= 0 <= delta.high
    if delta.verdict in ("better", "worse") and zero_inside:
        notes.append("by the test alone")
    if delta.verdict == "inconclusive" and not zero_inside:
        notes.append(f"p = {delta.p_adjusted:.2g} among all that was asked here")
    return "; ".join(notes) or None


def _is_ratio(delta: Delta) -> bool:
    """Whether a difference is the logarithm of a ratio, as of perplexities and of energies."""
    perplexity = delta.kind == "perplexity" and delta.scale != "bits"
    return perplexity or delta.kind == "ratio"


def score_cell(material: Material, run: Run, key: MetricKey) -> Number:
    """One score with its interval and its changes; an empty number where there is no score."""
    score = run.score(key.task, key.metric)
    if score is None:
        return Number(value=None, unit=key.unit, note="not scored")
    changes = tuple(change_of(c, d) for c, d in material.deltas(run, key.task, key.metric))
    return score_number(run, score, changes)


def score_number(
    run: Run,
    score: Score,
    changes: tuple[Change, ...] = (),
    *,
    normalised: Normalised | None = None,
    first: str = "",
) -> Number:
    """One score with its interval; ``first`` is said before its peculiarities."""
    notes = [part for part in (first, _peculiarities(score)) if part]
    return Number(
        value=score.value,
        low=score.low,
        high=score.high,
        unit=score.unit,
        changes=changes,
        normalised=normalised,
        note="; ".join(notes) or None,
        source=f"runs/{run.id}/scores/{score.task}/{score.metric}",
    )


def _peculiarities(score: Score) -> str | None:
    if not (score.unscored or score.flags or score.note):
        return None
    parts = [f"{score.unscored} of {score.n + score.unscored} unscored"] if score.unscored else []
    parts += [f"{count} {flag}" for flag, count in score.flags.items()]
    parts += [score.note] if score.note else []
    return "; ".join(parts) or None


def metric_column(key: MetricKey, *, with_count: bool = True) -> Column:
    """The heading of a metric: task above, metric, direction and floor below, and its n."""
    parts = [
        metric_title(key.metric),
        "higher is better" if key.higher_is_better else "lower is better",
    ]
    if key.chance is not None:
        parts.append(f"chance {plain(key.chance)}")
    if key.majority is not None:
        parts.append(f"majority {plain(key.majority)}")
    return Column(
        title=task_title(key.task),
        detail=" · ".join([*parts, f"n = {key.n}"] if with_count else parts),
        numeric=True,
        primary=key.primary,
        higher_is_better=key.higher_is_better,
        family=key.family,
    )


def run_heading(run: Run) -> Text:
    """The first cell of a candidate's row."""
    note = run.checkpoint.trainer if run.checkpoint.trainer != "none" else "not trained here"
    if run.imported_from:
        note = f"imported from {run.imported_from}"
    elif not run.complete:
        note += ", incomplete"
    return Text(text=run.candidate, note=note)


def energy_number(energies: Iterable[tuple[str, Energy]], none: str | None = None) -> Number:
    """The sum of energies in kWh, graded as its weakest part; unknown where a part is unknown.

    Args:
        energies: (source, energy) pairs.
        none: what is said where there are none.
    """
    records = list(energies)
    if not records:
        return Number(value=None, unit="kWh", note=none)
    added = total([energy for _, energy in records])
    return Number(
        value=added.energy_kwh,
        unit="kWh",
        grade=added.grade,
        note=added.note,
        source=f"{records[0][0]}/energy_kwh" if len(records) == 1 else None,
    )


def carbon_number(energies: Iterable[tuple[str, Energy]]) -> Number:
    """The sum of grams of CO2 equivalent; unknown where a part is unknown."""
    records = list(energies)
    if not records:
        return Number(value=None, unit="g")
    added = total([energy for _, energy in records])
    return Number(
        value=added.co2e_g,
        unit="g",
        grade=added.grade if added.co2e_g is not None else "unavailable",
        source=f"{records[0][0]}/co2e_g" if len(records) == 1 else None,
    )


def time_number(energies: Iterable[tuple[str, Energy]]) -> Number:
    """How long the phases took together; unknown where one of them is."""
    records = [energy for _, energy in energies]
    return Number(value=known_seconds(records) if records else None, unit="seconds")


def phases(run: Run, *names: str) -> list[tuple[str, Energy]]:
    """The run's energy records of the named phases (none named: all), with their sources."""
    return [
        (f"runs/{run.id}/energy/{index}", energy)
        for index, energy in enumerate(run.energy)
        if not names or energy.phase in names
    ]


def size_number(run: Run) -> Number:
    """Bytes on disk; unknown of a model that was scored elsewhere."""
    size = run.checkpoint.size_bytes
    return Number(
        value=None if size is None else float(size),
        unit="bytes",
        note="adapter alone" if run.checkpoint.format == "adapter" else None,
        source=f"runs/{run.id}/checkpoint/size_bytes",
    )

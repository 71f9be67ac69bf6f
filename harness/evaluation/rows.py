"""One task's answers -> samples, rows and scores.

A sample without a row is *unscored*: counted and flagged, never a zero. That is what happens to
NaN, to log-likelihoods that are equal on every choice (argmax would call the first one right), to
a document whose label is not among its choices, and to whatever a metric answers with None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from steelyard.harness.errors import MetricError
from steelyard.harness.evaluation.answers import (
    Answer,
    Entry,
    answer_of,
    json_document,
    without_match,
)
from steelyard.harness.evaluation.measuring import Measured, naming, row_of
from steelyard.harness.evaluation.metric_choice import choose_metrics, replaces_lm_evals
from steelyard.harness.evaluation.scores import score_of
from steelyard.harness.evaluation.window import Window
from steelyard.harness.plugins import Metric, Row, Sample, is_built_in
from steelyard.harness.records import Flag, Rows, SampleRecord, Score, flags_text, metric_name
from steelyard.harness.suites import (
    CHOICE_METRICS,
    BuiltTask,
    TaskMetadata,
    asked_content,
    joined_by_content,
    sample_ids,
)

#: Of fewer documents a sound model may well answer all alike.
_FEWEST_ALIKE = 8


@dataclass(frozen=True)
class ScoredTask:
    """What one task gave for one checkpoint."""

    scores: tuple[Score, ...]
    rows: tuple[Rows, ...]
    samples: tuple[SampleRecord, ...]


@dataclass(frozen=True)
class _Filtered:
    """What a model answered to a task, as one of the task's filters gives it."""

    built: BuiltTask
    name: str
    suffix: str
    """Behind a metric's name where the task has several filters."""
    first: bool
    samples: Sequence[Sample]
    answers: Sequence[Answer]
    all_alike: bool
    """Whether the model gave one and the same text to every prompt."""

    @cached_property
    def clusters(self) -> tuple[str | None, ...]:
        """What each sample belongs to: by the task's field, and where two ask the same."""
        return joined_by_content(
            [asked_content(s.prompt, s.target, s.document) for s in self.samples],
            [self.built.metadata.cluster_of(sample.document) for sample in self.samples],
        )

    def unfit(self, metric: Metric, sample: Sample, answer: Answer) -> Flag | None:
        """Why the metric may not be measured on this answer; None where it may."""
        if answer.unusable is not None:
            return answer.unusable
        if self.all_alike and metric.name in self.built.metadata.needs_variety:
            return Flag.ONE_ANSWER
        # An empty answer equals an empty reference, which says nothing of the model. BLEU, chrF,
        # TER and ROUGE look for themselves: their references come with the values.
        empty = metric.name == "exact_match" and not sample.target.strip()
        if self.built.output_type == "loglikelihood_rolling":
            # lm-eval counts one word in an empty text, and two in one of spaces.
            counts_words = metric.name == "word_perplexity"
            empty = not (sample.target.strip() if counts_words else sample.target)
        return Flag.EMPTY_REFERENCE if empty else None


def score_task(
    built: BuiltTask,
    entries: Sequence[Entry],
    printed: Mapping[str, object],
    window: Window,
    *,
    ids: Sequence[str] | None = None,
) -> ScoredTask:
    """Scores of a task from lm-eval's logged samples.

    ``entries`` are lm-eval's samples (one for each document and filter), ``printed`` its results
    (``"metric,filter"`` -> value), ``window`` how many tokens the model reads. ``ids`` name the
    documents where they are a part of the task, whose duplicates were numbered before.
    """
    names = list(dict.fromkeys(str(entry["filter"]) for entry in entries))
    scores: list[Score] = []
    rows: list[Rows] = []
    records: tuple[SampleRecord, ...] = ()
    for name in names:
        own = [entry for entry in entries if entry["filter"] == name]
        words = built.words_for_nothing(name)
        answers = [without_match(answer_of(built, e, window), e, words) for e in own]
        filtered = _Filtered(
            built=built,
            name=name,
            suffix=f",{name}" if len(names) > 1 else "",
            first=name == names[0],
            samples=_samples(built, own, answers, ids),
            answers=answers,
            all_alike=_all_alike(built, answers),
        )
        for metric in choose_metrics(built, filtered.samples):
            measured = _measured(metric, filtered).as_rows(filtered.clusters)
            theirs = printed.get(f"{_source(metric)},{name}")
            score, table = _scored(metric, filtered, measured, theirs)
            scores.append(score)
            rows += [] if table is None else [table]
        if filtered.first:
            twins = _twin_ids(built, own)
            records = tuple(
                _answered_sample(built, sample, answer).model_copy(update={"twin_id": twin})
                for sample, answer, twin in zip(filtered.samples, answers, twins, strict=True)
            )
    return ScoredTask(_with_a_primary(scores, built), tuple(rows), records)


def _samples(
    built: BuiltTask,
    entries: Sequence[Entry],
    answers: Sequence[Answer],
    ids: Sequence[str] | None,
) -> list[Sample]:
    contents = [
        (entry["doc"], answer.prompt, answer.target)
        for entry, answer in zip(entries, answers, strict=True)
    ]
    return [
        Sample(
            task=built.name,
            sample_id=sample_id,
            document=entry["doc"] if isinstance(entry["doc"], Mapping) else {"text": entry["doc"]},
            prompt=answer.prompt,
            target=answer.target,
            values={name: entry[name] for name in entry["metrics"]},
        )
        for entry, answer, sample_id in zip(
            entries, answers, ids or sample_ids(contents), strict=True
        )
    ]


def _twin_ids(built: BuiltTask, entries: Sequence[Entry]) -> Sequence[str | None]:
    """The samples' ids by lm-eval's own hashes, as its samples files name them."""
    if built.first is not None or not all("doc_hash" in entry for entry in entries):
        return [None] * len(entries)
    hashes = [(e["doc_hash"], str(e["prompt_hash"]), str(e["target_hash"])) for e in entries]
    return sample_ids(hashes)


def _answered_sample(built: BuiltTask, sample: Sample, answer: Answer) -> SampleRecord:
    return SampleRecord(
        task=built.name,
        sample_id=sample.sample_id,
        prompt=answer.prompt,
        target=answer.target,
        responses=answer.shown,
        document=json_document(sample.document),
        slices=built.metadata.slices_of(sample.document),
        cluster=built.metadata.cluster_of(sample.document),
    )


def _measured(metric: Metric, filtered: _Filtered) -> Measured:
    """Rows of one metric; a sample whose answer is unusable has none, whatever it would score."""
    rows: list[Row | None] = []
    flags: list[str] = []
    for sample, answer in zip(filtered.samples, filtered.answers, strict=True):
        flag = filtered.unfit(metric, sample, answer)
        row = None if flag else row_of(metric, sample, answer.raw)
        if row is not None and not all(map(math.isfinite, row)):
            row, flag = None, Flag.NOT_A_NUMBER
        elif row is None:
            flag = flag or _reason(metric, sample)
        rows.append(row)
        cut = Flag.PROMPT_CUT if answer.prompt_cut else None
        unmatched = Flag.NO_MATCH if answer.unmatched else None
        # Whatever a choice's length is divided by, other choices tie.
        tied = answer.first_of_tied and row is not None and metric.name == "acc"
        first = Flag.FIRST_OF_TIED if tied else None
        marks = (flag, Flag.LENGTH_LIMIT if answer.cut else None, cut, unmatched, first)
        flags.append(flags_text(mark for mark in marks if mark is not None))
    _require_one_width(metric, filtered.built.name, rows)
    name = metric.name + filtered.suffix
    return Measured(filtered.built.name, name, filtered.samples, rows, flags)


def _reason(metric: Metric, sample: Sample) -> Flag:
    """Why the metric left a sample without a row, where it can say."""
    reason: Callable[[Sample], Flag | None] | None = getattr(metric, "reason", None)
    return (reason(sample) if reason is not None else None) or Flag.UNSCORED


def _require_one_width(metric: Metric, task: str, rows: Sequence[Row | None]) -> None:
    widths = {len(row) for row in rows if row is not None}
    with naming(metric, task, "its rows are not alike"):
        if len(widths) > 1:
            raise MetricError(f"they hold {' and '.join(map(str, sorted(widths)))} numbers")


def _all_alike(built: BuiltTask, answers: Sequence[Answer]) -> bool:
    """Whether a model gives one and the same text to every prompt of enough documents."""
    if built.output_type != "generate_until" or len(answers) < _FEWEST_ALIKE:
        return False
    return len({str(text).strip() for answer in answers for text in answer.raw}) == 1


def _scored(
    metric: Metric, filtered: _Filtered, rows: Rows, theirs: object
) -> tuple[Score, Rows | None]:
    """The score of one metric's rows as the task's metadata describes it, and the rows.

    ``theirs`` is the value that lm-eval printed for it. Rows that do not give it are left out.
    """
    meta = filtered.built.metadata
    with naming(metric, filtered.built.name, f"its {rows.scored.sum()} rows give no score"):
        score = score_of(metric, rows, filtered.samples)
    aggregate = _number(theirs) if rows.scored.all() else None
    is_theirs = is_built_in(metric) and score.kind != "calibration"
    table: Rows | None = rows
    if aggregate is None or not is_theirs or _same(score.value, aggregate):
        pass
    elif _stands_for_lm_evals(metric, filtered.built):
        # lm-eval knows neither the language nor that documents may have more or fewer references.
        plain = f"lm-eval's own {metric.name} of the same answers is {aggregate:.4g}"
        note = "; ".join(filter(None, (score.note, plain)))
        score = score.model_copy(update={"note": note})
    else:
        # The task aggregates in a way of its own: its value stands, without rows that would
        # make another one of it. A metric of another package is there to aggregate otherwise.
        note = "the task's own aggregate: no interval and no paired test"
        update = {"value": aggregate, "low": None, "high": None, "note": note}
        score, table = score.model_copy(update=update), None
    base = metric.name
    is_primary = meta.primary in (rows.metric, base if filtered.first else rows.metric)
    floored = is_primary or (base in CHOICE_METRICS and meta.primary in (None, *CHOICE_METRICS))
    described = {
        "family": meta.family,
        "primary": is_primary,
        "chance": meta.chance if floored else meta.chances.get(base),
        "majority": meta.majority if floored else None,
    }
    notes = filter(None, (score.note, _unread_repeats(filtered.built)))
    described["note"] = "; ".join(notes) or None
    return advised(score.model_copy(update=described), meta), table


def _stands_for_lm_evals(metric: Metric, built: BuiltTask) -> bool:
    """Whether the task aggregates by lm-eval's function, in whose place ours stands."""
    if not replaces_lm_evals(metric):
        return False
    from lm_eval.api.registry import AGGREGATION_REGISTRY

    own = (built.task.aggregation() or {}).get(metric.name)
    usual = [name for name in (metric.name, "mean") if name in AGGREGATION_REGISTRY]
    return any(own is AGGREGATION_REGISTRY.get(name) for name in usual)


def _unread_repeats(built: BuiltTask) -> str | None:
    """What a task says that repeats its requests and names no filter to read them."""
    repeats = int(getattr(built.config, "repeats", 1) or 1)
    if repeats < 2 or getattr(built.config, "filter_list", None):
        return None
    return f"of {repeats} answers a document the first counts: the task names no filter for them"


def advised(score: Score, metadata: TaskMetadata) -> Score:
    """The score, marked where its task says that it is shown and never gated on."""
    if not metadata.is_advisory(metric_name(score.metric)):
        return score
    note = "; ".join(filter(None, ("advisory: shown, never gated on", score.note)))
    return score.model_copy(update={"advisory": True, "note": note})


def _with_a_primary(scores: list[Score], built: BuiltTask) -> tuple[Score, ...]:
    """A task whose YAML names no primary metric is represented by its first."""
    if not scores or any(score.primary for score in scores):
        return tuple(scores)
    if built.metadata.primary is not None:
        raise MetricError(
            f"task '{built.name}' gave no metric '{built.metadata.primary}'",
            key="metadata.steelyard.primary",
            fix="it gave " + ", ".join(score.metric for score in scores),
        )
    meta = built.metadata
    head = scores[0].model_copy(
        update={"primary": True, "chance": meta.chance, "majority": meta.majority}
    )
    return (head, *scores[1:])


def _source(metric: Metric) -> str:
    return str(getattr(metric, "source", metric.name))


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever a task's aggregate gives
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _same(ours: float | None, theirs: float) -> bool:
    return ours is not None and math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)

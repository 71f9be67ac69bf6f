"""The lines of lm-eval's ``samples_*.jsonl`` of one task of a run."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence

from steelyard.harness.compare import Scored
from steelyard.harness.errors import MetricError
from steelyard.harness.evaluation import load_metric, metric_for, row_or_none, value_of
from steelyard.harness.plugins import Metric, Sample, plugin_names
from steelyard.harness.records import (
    IN_TRAINING_DATA,
    NO_FILTER,
    Rows,
    SampleRecord,
    filter_name,
    log_likelihoods_in,
    metric_name,
)

Line = dict[str, object]
#: A value for lm-eval from a row and its sample; tried in this order.
_SHAPES: tuple[Callable[[list[float], SampleRecord], object], ...] = (
    lambda row, sample: row[0] if len(row) == 1 else None,
    lambda row, sample: row if len(row) == 2 else None,
    lambda row, sample: [sample.target, sample.responses[0]] if sample.responses else None,
)


def sample_lines(scored: Scored, task: str) -> list[Line]:
    """A line for each sample and filter; [] where no row of the task has a value for lm-eval."""
    held = [r for m in scored.scores_of(task) if (r := scored.rows.get((task, m))) is not None]
    written: dict[str, dict[str, object]] = {}
    ready: list[str] = []
    for metric_rows in held:
        values = _values_by_id(metric_rows, scored)
        if values is None and _aggregates(metric_rows, scored):
            ready.append(metric_name(metric_rows.metric))
            values = _as_rows(metric_rows)
        if values is not None:
            written[metric_rows.metric] = values
    lines: list[Line] = []
    behind = {metric: filter_name(metric) or NO_FILTER for metric in written}
    for one_filter in dict.fromkeys(behind.values()):
        mine = {m: v for m, v in written.items() if behind[m] == one_filter}
        ids = dict.fromkeys(id for values in mine.values() for id in values)
        rows = {r.metric: r for r in held if r.metric in mine}
        flags = {m: dict(zip(r.sample_ids, r.flags, strict=True)) for m, r in rows.items()}
        clusters = {
            id: cluster
            for r in rows.values()
            for id, cluster in zip(r.sample_ids, r.clusters, strict=True)
        }
        for index, id in enumerate(ids):
            rows_of_id = {metric_name(m): v.get(id) for m, v in mine.items()}
            marks = {metric_name(m): flags[m].get(id, "") for m in mine}
            sample = _sample_of(scored, task, id, clusters.get(id))
            lines.append(_sample_line(index, sample, one_filter, rows_of_id, marks, ready))
    return lines


def task_hash(lines: Sequence[Line]) -> str:
    """lm-eval's hash of a task: of its samples' hashes, in order."""
    hashes = ("doc_hash", "prompt_hash", "target_hash")
    return _sha("".join(str(line[name]) for line in lines for name in hashes))


def _values_by_id(rows: Rows, scored: Scored) -> dict[str, object] | None:
    """Sample id -> value; None where no shape of value reads back as the same rows."""
    name = metric_name(rows.metric)
    score = scored.scores_of(rows.task)[rows.metric]
    for shape in _SHAPES:
        metric: Metric | None = None
        values: dict[str, object] = {}
        for id, row, is_scored in zip(rows.sample_ids, rows.values, rows.scored, strict=True):
            if not is_scored:
                values[id] = None
                continue
            sample = _sample_of(scored, rows.task, id, None)
            value = shape(row.tolist(), sample)
            asked = Sample(rows.task, id, {}, sample.prompt, sample.target, {name: value})
            if value is not None and metric is None:
                metric = metric_for(name, score.higher_is_better, asked)
            if value is None or metric is None or _measure_again(metric, asked) != row.tolist():
                break
            values[id] = value
        else:
            return values
    return None


def _aggregates(rows: Rows, scored: Scored) -> bool:
    """Whether a metric plugin of this name makes the score of these rows."""
    score = scored.scores_of(rows.task)[rows.metric]
    name = metric_name(rows.metric)
    if name not in plugin_names("metrics") or score.value is None:
        return False
    try:
        value = value_of(load_metric(name), rows.values[rows.scored], rows.task)
    except MetricError:
        return False
    return math.isclose(value, score.value, rel_tol=1e-9, abs_tol=1e-12)


def _as_rows(rows: Rows) -> dict[str, object]:
    """Sample id -> the row itself: a task may clean texts before it measures them."""
    return {
        id: row.tolist() if is_scored else None
        for id, row, is_scored in zip(rows.sample_ids, rows.values, rows.scored, strict=True)
    }


def _missing(sample: SampleRecord) -> dict[str, str]:
    """Slices that stand in no field of the document, as those of a table do.

    Whether a checkpoint was trained on a sample is no part of the document: two checkpoints would
    have been asked two documents.
    """
    return {
        name: value
        for name, value in sample.slices.items()
        if name not in sample.document and name != IN_TRAINING_DATA
    }


def _measure_again(metric: Metric, sample: Sample) -> list[float] | None:
    row = row_or_none(metric, sample)
    return None if row is None else [float(value) for value in row]


def _sample_of(scored: Scored, task: str, id: str, cluster: str | None) -> SampleRecord:
    """The sample, or its id alone where no texts were kept (a baseline file)."""
    record = scored.samples_of(task).get(id)
    if record is not None:
        return record
    return SampleRecord(
        task=task, sample_id=id, prompt="", target="", responses=(), document={"sample_id": id},
        cluster=cluster,
    )  # fmt: skip


def _sample_line(
    index: int,
    sample: SampleRecord,
    filter_name: str,
    values: Mapping[str, object],
    flags: Mapping[str, str],
    ready: Sequence[str],
) -> Line:
    document = {**sample.document, **_missing(sample)}
    if sample.cluster is not None:
        document["steelyard_cluster"] = sample.cluster
    arguments, answers, target = _request_fields(sample)
    marks = {name: flag for name, flag in flags.items() if flag}
    rows = [name for name in ready if values.get(name) is not None]
    inside = sample.slices.get(IN_TRAINING_DATA)
    return {
        "doc_id": index,
        "doc": document,
        "target": target,
        "arguments": arguments,
        "resps": [[answer] for answer in answers],
        "filtered_resps": answers,
        "filter": filter_name,
        "metrics": [name for name, value in values.items() if value is not None],
        "doc_hash": _sha(json.dumps(document, indent=2, default=str, ensure_ascii=False)),
        "prompt_hash": _sha(sample.prompt),
        "target_hash": _sha(target),
        **({"steelyard_flags": marks} if marks else {}),
        **({"steelyard_rows": rows} if rows else {}),
        **({"steelyard_in_training_data": inside} if inside else {}),
        **{name: value for name, value in values.items() if value is not None},
    }


def _request_fields(sample: SampleRecord) -> tuple[dict[str, object], list[object], str]:
    """Requests, answers and target; of a multiple choice one request for each choice."""
    likelihoods = _likelihoods(sample)
    if not likelihoods:
        return {"gen_args_0": {"arg_0": sample.prompt}}, list(sample.responses), sample.target
    best = likelihoods.index(max(likelihoods, key=float))
    options = sample.document.get("choices")
    choices = [""] * len(likelihoods)
    if isinstance(options, list) and len(options) == len(likelihoods):
        choices = [str(choice) for choice in options]
    choices[best] = sample.responses[0]
    arguments: dict[str, object] = {
        f"gen_args_{i}": {"arg_0": sample.prompt, "arg_1": choice}
        for i, choice in enumerate(choices)
    }
    target = str(choices.index(sample.target)) if sample.target in choices else sample.target
    # Whether a choice was the greedy one is not kept.
    return arguments, [[text, None] for text in likelihoods], target


def _likelihoods(sample: SampleRecord) -> list[str]:
    """The choices' log-likelihoods as text; a task with one choice asks for something else."""
    texts = log_likelihoods_in(sample.responses)
    return list(texts) if len(texts) > 1 else []


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

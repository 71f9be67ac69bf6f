"""A run from a log of inspect_ai: every scorer a metric, every sample a row.

Of a task that asks each sample several times (``epochs``) the row is what inspect_ai reduced the
sample's values to: repeats of one sample are one item, however many there are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from steelyard.harness.errors import DataError, did_you_mean, located
from steelyard.harness.evaluation import json_document, score_of
from steelyard.harness.files import digest_json
from steelyard.harness.imports.foreign_files import laid_out
from steelyard.harness.imports.imported import (
    EXPERIMENT,
    UNKNOWN,
    Imported,
    Model,
    Source,
    imported_run,
    plain_name,
    rows_from,
    unmetered,
)
from steelyard.harness.imports.inspect_log import Log, read_log, text_of, values_of
from steelyard.harness.imports.kinds import table_metric
from steelyard.harness.records import (
    IMPORTED,
    Flag,
    Kind,
    Rows,
    SampleRecord,
    Score,
    TaskSignature,
)
from steelyard.harness.suites import (
    asked_content,
    content_digest,
    documents_digest,
    joined_by_content,
    sample_ids,
)

TOOL = "inspect_ai"
_COPY_IT = "copy the log again from where it was made"
#: Their value is the mean of the samples' values.
_MEANS = ("accuracy", "mean")

Values = dict[str, dict[str, float | None]]
"""Metric -> sample id as the log has it -> value."""


@dataclass(frozen=True)
class _Asked:
    """One sample of the log, without its repeats."""

    key: str
    prompt: str
    target: str
    answer: str
    fields: Mapping[str, Any]


def read_inspect_ai(
    path: Path,
    *,
    name: str | None = None,
    experiment: str = EXPERIMENT,
    cluster: str | None = None,
    slices: Sequence[str] = (),
) -> Imported:
    """The log as a run. Samples pair by id, input and target.

    ``cluster`` and ``slices`` name fields of the samples' metadata. Raises ``DataError`` for a log
    of a run that did not finish, one without samples or scores, a field that no sample has, and a
    score whose samples do not give it.
    """
    with located(file=path), laid_out("a log of inspect_ai", _COPY_IT):
        log = read_log(path)
        about = _about(log)
        asked = _asked(log)
        _require_fields(asked, [*slices, *([cluster] if cluster else [])])
        ids = sample_ids([(a.key, a.prompt, a.target) for a in asked])
        clusters = joined_by_content(
            [asked_content(a.prompt, a.target, a.fields) for a in asked],
            [_field(a, cluster) for a in asked],
        )
        values = _values(log, len(asked))
        task = str(about["task"])
        rows = [_rows(task, name, own, asked, ids, clusters) for name, own in values.items()]
        first = _headline(log, values)
        scores = [_score(held, held.metric == first) for held in rows]
        _require_own_results(log, scores)
        samples = tuple(
            SampleRecord(
                task=task,
                sample_id=id,
                prompt=a.prompt,
                target=a.target,
                responses=(a.answer,),
                document=json_document({"id": a.key, **a.fields}),
                slices={f: value for f in slices if (value := _field(a, f)) is not None},
                cluster=label,
            )
            for a, id, label in zip(asked, ids, clusters, strict=True)
        )
        version = str(_part(about, "packages").get(TOOL, UNKNOWN))
        model = str(about.get("model") or UNKNOWN)
        run = imported_run(
            Source(TOOL, (path,), version),
            candidate=plain_name(name or model),
            experiment=experiment,
            suite=TOOL,
            model=Model(model, versions={TOOL: version}),
            scores=scores,
            signatures=[_signature(about, _part(log, "plan").get("steps"), asked, version)],
            created_at=str(about["created"]) if about.get("created") else None,
            energy=unmetered(_seconds(log)),
            options={"cluster": cluster, "slices": list(slices)},
        )
    return Imported(run, tuple(rows), samples)


def _part(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object within another; empty where something else stands there, or nothing."""
    value = content.get(key)
    return value if isinstance(value, Mapping) else {}


def _about(log: Log) -> Mapping[str, Any]:
    about = log.get("eval")
    if not isinstance(about, Mapping) or not about.get("task"):
        fix = "name a log that inspect_ai wrote (.json or .eval)"
        raise DataError("is no log of inspect_ai: it has no eval.task", fix=fix)
    status = log.get("status")
    if status != "success":
        problem = log.get("error")
        why = problem.get("message") if isinstance(problem, Mapping) else None
        what = f"the run ended as '{status}'" + (f": {str(why)[:200]}" if why else "")
        raise DataError(what, key="status", fix="finish it: inspect eval-retry FILE")
    return about


def _asked(log: Log) -> list[_Asked]:
    """The samples in the log's order, each once."""
    held = log.get("samples")
    if not isinstance(held, list) or not held:
        fix = "write the log with its samples (without --no-log-samples)"
        raise DataError("has no samples", key="samples", fix=fix)
    asked: dict[str, _Asked] = {}
    for place, sample in enumerate(held):
        if not isinstance(sample, Mapping) or sample.get("id") is None:
            raise DataError("has no id", key=f"samples.{place}", fix="copy the log again")
        output = sample.get("output")
        answer = output.get("completion") if isinstance(output, Mapping) else None
        fields = sample.get("metadata")
        choices = {"choices": sample["choices"]} if sample.get("choices") else {}
        one = _Asked(
            key=str(sample["id"]),
            prompt=text_of(sample.get("input")),
            target=text_of(sample.get("target")),
            answer=str(answer or ""),
            fields={**(fields if isinstance(fields, Mapping) else {}), **choices},
        )
        before = asked.setdefault(one.key, one)
        if (before.prompt, before.target) != (one.prompt, one.target):
            raise DataError(
                f"two samples are called '{one.key}' and ask something else",
                key=f"samples.{place}.id",
                fix="give each sample of the dataset an id of its own",
            )
    return list(asked.values())


def _require_fields(asked: Sequence[_Asked], names: Sequence[str]) -> None:
    there = {field for a in asked for field in a.fields}
    for name in names:
        if name not in there:
            fix = did_you_mean(name, sorted(there))
            raise DataError(f"no sample has '{name}' in its metadata", key="metadata", fix=fix)


def _field(asked: _Asked, name: str | None) -> str | None:
    value = None if name is None else asked.fields.get(name)
    return None if value is None else str(value)


def _values(log: Log, count: int) -> Values:
    """What inspect_ai reduced each sample to; the samples' own values where each was asked once."""
    values: Values = {}
    reductions = log.get("reductions")
    if isinstance(reductions, list) and reductions:
        several = len({str(r.get("reducer")) for r in reductions}) > 1
        for reduction in reductions:
            behind = f",{reduction['reducer']}" if several else ""
            for sample in reduction.get("samples") or []:
                for metric, number in values_of(sample.get("value"), str(reduction["scorer"])):
                    values.setdefault(metric + behind, {})[str(sample.get("sample_id"))] = number
    else:
        repeats: dict[str, int] = defaultdict(int)
        for sample in log["samples"]:
            repeats[str(sample["id"])] += 1
            for scorer, score in (sample.get("scores") or {}).items():
                value = score.get("value") if isinstance(score, Mapping) else score
                for metric, number in values_of(value, str(scorer)):
                    values.setdefault(metric, {})[str(sample["id"])] = number
        if max(repeats.values()) > 1:
            fix = "score it again with inspect_ai: inspect score FILE"
            raise DataError("samples were asked several times and never reduced", fix=fix)
    values = {m: held for m, held in values.items() if any(v is not None for v in held.values())}
    if not values:
        fix = "score it: inspect score FILE"
        raise DataError(f"none of its {count} samples has a score that is a number", fix=fix)
    return values


def _rows(
    task: str,
    metric: str,
    values: Mapping[str, float | None],
    asked: Sequence[_Asked],
    ids: Sequence[str],
    clusters: Sequence[str | None],
) -> Rows:
    numbers = [values.get(a.key) for a in asked]
    return rows_from(
        task,
        metric,
        ids,
        [None if number is None else [number] for number in numbers],
        clusters=clusters,
        flags=["" if number is not None else Flag.UNSCORED for number in numbers],
    )


def _score(rows: Rows, primary: bool) -> Score:
    held = rows.values[rows.scored, 0]
    kind: Kind = "accuracy" if bool(((held == 0) | (held == 1)).all()) else "bounded"
    score = score_of(table_metric(rows.metric, kind, True), rows)
    return score.model_copy(update={"primary": primary, "family": IMPORTED, "kind": kind})


def _headline(log: Log, values: Values) -> str:
    named = _part(_part(log, "results"), "headline").get("score")
    return str(named) if named in values else next(iter(values))


def _require_own_results(log: Log, scores: Sequence[Score]) -> None:
    """The means that the log prints are those of its samples."""
    by_name = {score.metric: score for score in scores}
    for result in _part(log, "results").get("scores") or []:
        score = by_name.get(str(result.get("name")))
        if score is None or score.value is None or score.unscored:
            continue
        for name in _MEANS:
            printed = _part(_part(result, "metrics"), name).get("value")
            if isinstance(printed, int | float) and not math.isclose(
                printed, score.value, rel_tol=1e-6, abs_tol=1e-9
            ):
                raise DataError(
                    f"{score.metric}: {name} is {printed:.6g} in its results, and its samples "
                    f"give {score.value:.6g}",
                    key="results.scores",
                    fix="a metric that is no mean, or an edited log: import its items as a table",
                )


def _signature(
    about: Mapping[str, Any], steps: object, asked: Sequence[_Asked], version: str
) -> TaskSignature:
    config = _part(about, "config")
    asked_how = [about.get("task_version"), about.get("task_args"), steps, about.get("scorers"),
                 config.get("epochs"), config.get("epochs_reducer")]  # fmt: skip
    settings = _part(about, "model_generate_config")
    generation = {key: value for key, value in settings.items() if value is not None}
    limit = config.get("limit")
    return TaskSignature(
        task=str(about["task"]),
        task_digest=content_digest(asked_how),
        data_digest=documents_digest(digest_json([a.key, a.prompt, a.target]) for a in asked),
        few_shot=0,
        tokenizer=UNKNOWN,
        dtype=UNKNOWN,
        limit=limit if isinstance(limit, int) else None,
        decoding=content_digest(generation)[:12] if generation else None,
        backend=TOOL,
        parity=None,
        versions={TOOL: version},
    )


def _seconds(log: Log) -> float | None:
    stats = _part(log, "stats")
    try:
        start, end = (
            datetime.fromisoformat(str(stats.get(key))) for key in ("started_at", "completed_at")
        )
        return (end - start).total_seconds()
    except (TypeError, ValueError):
        return None

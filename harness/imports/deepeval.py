"""A run from a test run of deepeval: every metric one, every single-turn test case a row.

Read from the file that deepeval keeps (``.deepeval/.latest_run_full.json``, or ``test_run_*.json``
in ``DEEPEVAL_RESULTS_FOLDER``), by the layout of version 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.harness.errors import DataError, located
from steelyard.harness.evaluation import json_document, score_of
from steelyard.harness.files import digest_json, read_json_object
from steelyard.harness.imports.foreign_files import as_text, laid_out
from steelyard.harness.imports.imported import (
    EXPERIMENT,
    UNKNOWN,
    Imported,
    Model,
    Source,
    imported_run,
    plain_name,
    rows_from,
)
from steelyard.harness.imports.kinds import table_metric
from steelyard.harness.imports.numbers import number
from steelyard.harness.records import IMPORTED, Flag, Kind, Rows, SampleRecord, Score, TaskSignature
from steelyard.harness.suites import (
    asked_content,
    documents_digest,
    joined_by_content,
    sample_ids,
)

TOOL = "deepeval"
_NAME_ONE = "name a test run that deepeval wrote"

Part = Mapping[str, Any]


def read_deepeval(
    path: Path, *, name: str | None = None, experiment: str = EXPERIMENT, task: str = TOOL
) -> Imported:
    """The test run as a run. Test cases pair by input, expected output and context.

    A metric that failed on a case leaves it unscored. Which way a metric is better is read from its
    own verdicts. Raises ``DataError`` for another layout, conversations, verdicts that contradict
    each other, and scores that are not those that deepeval summed up.
    """
    with located(file=path), laid_out("a test run of deepeval", _NAME_ONE):
        content = read_json_object(path, DataError, fix=_NAME_ONE)
        cases = _cases(content)
        asked = [(as_text(c.get("input")), as_text(c.get("expectedOutput"))) for c in cases]
        ids = sample_ids([(c.get("context"), *a) for c, a in zip(cases, asked, strict=True)])
        clusters = joined_by_content(
            [asked_content(*a, {"choices": c.get("context")})
             for c, a in zip(cases, asked, strict=True)],
            [None] * len(cases),
        )  # fmt: skip
        by_metric = _by_metric(cases)
        _require_own_scores(by_metric, content)
        measured = [
            _measured(task, metric, held, ids, clusters) for metric, held in by_metric.items()
        ]
    measured = [
        (score.model_copy(update={"primary": place == 0}), rows)
        for place, (score, rows) in enumerate(measured)
    ]
    run = imported_run(
        Source(TOOL, (path,)),
        candidate=plain_name(name or path.stem),
        experiment=experiment,
        suite=TOOL,
        model=Model(name or path.stem),
        scores=[score for score, _ in measured],
        signatures=[
            TaskSignature(
                task=task,
                task_digest=digest_json(sorted(_judges(cases))),
                data_digest=documents_digest(ids),
                few_shot=0,
                tokenizer=UNKNOWN,
                dtype=UNKNOWN,
                backend=TOOL,
                parity=None,
            )
        ],
        options={"task": task},
    )
    samples = tuple(
        SampleRecord(
            task=task,
            sample_id=id,
            prompt=prompt,
            target=target,
            responses=(as_text(case.get("actualOutput")),),
            document=json_document({"name": case.get("name"), "context": case.get("context")}),
            cluster=label,
        )
        for case, (prompt, target), id, label in zip(cases, asked, ids, clusters, strict=True)
    )
    remarks = tuple(
        f"metric '{s.metric}': {s.unscored} of {s.n + s.unscored} cases unscored: deepeval gave "
        "an error or no score"
        for s, _ in measured
        if s.unscored
    )
    less = tuple(
        f"metric '{s.metric}': less is better, as its verdicts say"
        for s, _ in measured
        if not s.higher_is_better
    )
    return Imported(run, tuple(rows for _, rows in measured), samples, (*remarks, *less))


def _cases(content: Part) -> Sequence[Part]:
    cases = content.get("testCases")
    if not isinstance(cases, list):
        raise DataError("is no test run of deepeval: it has no testCases", fix=_NAME_ONE)
    if content.get("conversationalTestCases"):
        fix = "import their scores as a table: steelyard import items"
        raise DataError("holds conversations", key="conversationalTestCases", fix=fix)
    if not cases:
        raise DataError("has no test cases", key="testCases", fix="run the evaluation")
    return cases


def _judges(cases: Sequence[Part]) -> set[str]:
    """Metric and the model that judged: two judges do not compare."""
    every = (data for case in cases for data in case.get("metricsData") or [])
    return {f"{data['name']}: {data.get('evaluationModel')}" for data in every}


def _by_metric(cases: Sequence[Part]) -> dict[str, dict[int, Part]]:
    """Metric -> the case's place -> what deepeval says of it."""
    by_metric: dict[str, dict[int, Part]] = {}
    for place, case in enumerate(cases):
        for data in case.get("metricsData") or []:
            of_metric = by_metric.setdefault(str(data["name"]), {})
            if place in of_metric:
                raise DataError(
                    f"the metric '{data['name']}' stands twice",
                    key=f"testCases.{place}",
                    fix="give each metric a name of its own",
                )
            of_metric[place] = data
    if not by_metric:
        raise DataError("no case has a metric", key="testCases", fix="run it with metrics")
    return by_metric


def _value(data: Part) -> float | None:
    return None if data.get("error") else number(data.get("score"))


def _is_higher_better(metric: str, held: Mapping[int, Part]) -> bool:
    """By the verdicts: who passes above the threshold, or fails below it, is better for more."""
    ways = set()
    for data in held.values():
        value, threshold = _value(data), number(data.get("threshold"))
        if value is not None and threshold is not None and value != threshold:
            ways.add((value > threshold) == bool(data["success"]))
    if len(ways) > 1:
        raise DataError(
            f"'{metric}' passes on both sides of its threshold: which way is better is not clear",
            fix="import its scores as a table, with --lower where less is better",
        )
    return ways != {False}


def _require_own_scores(by_metric: Mapping[str, Mapping[int, Part]], content: Part) -> None:
    """What deepeval summed up is what stands in its cases: an edited or cut file is no run."""
    for summary in content.get("metricsScores") or []:
        held = by_metric.get(str(summary["metric"]), {})
        ours = sorted(value for d in held.values() if (value := _value(d)) is not None)
        theirs = sorted(v for s in summary.get("scores") or [] if (v := number(s)) is not None)
        if ours != theirs:
            raise DataError(
                f"'{summary['metric']}' has {len(theirs)} scores in its summary, and its cases "
                f"give {len(ours)}, or others",
                key="metricsScores",
                fix="copy the file again from where it was made",
            )


def _measured(
    task: str,
    metric: str,
    held: Mapping[int, Part],
    ids: Sequence[str],
    clusters: Sequence[str | None],
) -> tuple[Score, Rows]:
    values = [_value(data) for data in held.values()]
    rows = rows_from(
        task,
        metric,
        [ids[place] for place in held],
        [None if value is None else [value] for value in values],
        clusters=[clusters[place] for place in held],
        flags=["" if value is not None else Flag.UNSCORED for value in values],
    )
    scored = rows.values[rows.scored, 0]
    kind: Kind = "accuracy" if bool(((scored == 0) | (scored == 1)).all()) else "bounded"
    score = score_of(table_metric(metric, kind, _is_higher_better(metric, held)), rows)
    return score.model_copy(update={"family": IMPORTED, "kind": kind}), rows

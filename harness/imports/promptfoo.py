"""Runs from promptfoo's results: each provider with each prompt is one, every test a row.

    promptfoo eval -o results.json

``pass`` is promptfoo's verdict on a test, ``score`` its weighted score, and every named metric is
one of its own. A test whose provider or grader failed is unscored, for promptfoo writes 0 for it,
and so is one that asserts nothing, for promptfoo passes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steelyard.harness.errors import DataError, did_you_mean, located
from steelyard.harness.evaluation import json_document, score_of
from steelyard.harness.files import digest_json
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
from steelyard.harness.imports.promptfoo_results import (
    PASS,
    SCORE,
    Column,
    Result,
    Results,
    read_results,
)
from steelyard.harness.records import IMPORTED, Flag, Kind, Rows, SampleRecord, Score, TaskSignature
from steelyard.harness.suites import (
    asked_content,
    content_digest,
    documents_digest,
    joined_by_content,
    sample_ids,
)

TOOL = "promptfoo"


@dataclass(frozen=True)
class PromptfooSettings:
    """How the runs are called, and what of the tests' vars and metadata is of use."""

    name: str | None = None
    experiment: str = EXPERIMENT
    task: str = TOOL
    cluster: str | None = None
    slices: tuple[str, ...] = ()
    lower: tuple[str, ...] = ()
    """Named metrics of which less is better; promptfoo knows none."""


@dataclass(frozen=True)
class _Item:
    """A test with its repeats: they ask and assert the same."""

    tests: tuple[Result, ...]

    @property
    def first(self) -> Result:
        return self.tests[0]

    @property
    def asked_metrics(self) -> tuple[str, ...]:
        """Named metrics, in the tests' order."""
        return tuple(dict.fromkeys(m for test in self.tests for m in test.asked_metrics))

    def value(self, metric: str) -> float | None:
        """The mean over the repeats; None where one of them could not be scored."""
        values = [test.values.get(metric) for test in self.tests]
        numbers = [value for value in values if value is not None]
        return sum(numbers) / len(numbers) if len(numbers) == len(values) else None


def read_promptfoo(path: Path, settings: PromptfooSettings | None = None) -> list[Imported]:
    """A run for each provider with each prompt. Tests pair by their vars and assertions.

    Raises ``DataError`` for a file of another layout, one without results, counts that are not
    those of the results, fields and metrics that no test has, and tests that cannot be told apart.
    """
    settings = settings or PromptfooSettings()
    with located(file=path):
        results = read_results(path)
        _require_named(results, settings)
        names = _names(results.columns, settings.name)
        return [
            _imported(path, results, column, name, settings)
            for column, name in zip(results.columns, names, strict=True)
        ]


def _require_named(results: Results, settings: PromptfooSettings) -> None:
    tests = [test for column in results.columns for test in column.results]
    fields = sorted({field for test in tests for field in test.fields})
    metrics = sorted({metric for test in tests for metric in test.values} - {PASS, SCORE})
    wanted = [
        *(("--cluster", name, fields) for name in (settings.cluster,) if name),
        *(("--slice", name, fields) for name in settings.slices),
        *(("--lower", name, metrics) for name in settings.lower),
    ]
    for option, name, there in wanted:
        if name not in there:
            what = "named metric" if option == "--lower" else "var or metadata"
            raise DataError(f"no {what} '{name}'", key=option, fix=did_you_mean(name, there))


def _names(columns: Sequence[Column], name: str | None) -> list[str]:
    """Of several runs each has its provider's name, its prompt's, or both, whichever differ."""
    providers = [column.provider for column in columns]
    prompts = list(dict.fromkeys(column.prompt for column in columns))
    several = len(set(providers)) > 1
    names = []
    for column in columns:
        parts = [name] if name else []
        if several or not name:
            parts.append(column.provider)
        if len(prompts) > 1:
            parts.append(f"prompt{prompts.index(column.prompt) + 1}")
        names.append(plain_name("-".join(parts)))
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        fix = "give each provider a `label` of its own in promptfoo's configuration"
        raise DataError(f"two of its providers are called '{twice}'", fix=fix)
    return names


def _imported(
    path: Path, results: Results, column: Column, name: str, settings: PromptfooSettings
) -> Imported:
    items = _items(column)
    ids = sample_ids([("", *_asked(item.first)) for item in items])
    clusters = joined_by_content(
        [asked_content(*_asked(item.first), {}) for item in items],
        [_field(item.first, settings.cluster) for item in items],
    )
    metrics = list(dict.fromkeys([PASS, SCORE, *(m for i in items for m in i.asked_metrics)]))
    rows = [_rows(settings.task, metric, items, ids, clusters) for metric in metrics]
    shown = tuple(held for held in rows if held.scored.any() or held.metric == PASS)
    samples = tuple(
        SampleRecord(
            task=settings.task,
            sample_id=id,
            prompt=item.first.text,
            target=item.first.assertions,
            responses=tuple(test.output for test in item.tests),
            document=json_document({"vars": dict(item.first.vars)}),
            slices={f: v for f in settings.slices if (v := _field(item.first, f)) is not None},
            cluster=label,
        )
        for item, id, label in zip(items, ids, clusters, strict=True)
    )
    version = results.version or UNKNOWN
    signature = TaskSignature(
        task=settings.task,
        task_digest=content_digest(sorted({item.first.graded_by for item in items})),
        data_digest=documents_digest(digest_json(_asked(item.first)) for item in items),
        few_shot=0,
        tokenizer=UNKNOWN,
        dtype=UNKNOWN,
        backend=TOOL,
        parity=None,
        # Prompts are what promptfoo tries: two may be compared, and the page says that they differ.
        versions={"prompt": content_digest([column.prompt])[:12]},
    )
    run = imported_run(
        Source(TOOL, (path,), results.version),
        candidate=name,
        experiment=settings.experiment,
        suite=TOOL,
        model=Model(column.provider, versions={TOOL: version}),
        scores=[_score(held, settings) for held in shown],
        signatures=[signature],
        created_at=results.created_at,
        options={"settings": repr(settings), "column": column.place},
    )
    return Imported(run, shown, samples, _remarks(name, column, items, len(results.columns)))


def _asked(test: Result) -> tuple[str, str]:
    return test.vars_text, test.assertions


def _items(column: Column) -> list[_Item]:
    """Tests that ask and assert the same are repeats of one item."""
    by_content: dict[tuple[str, str], list[Result]] = {}
    for test in column.results:
        by_content.setdefault(_asked(test), []).append(test)
    for tests in by_content.values():
        other = next((test for test in tests if test.text != tests[0].text), None)
        if other is not None:
            raise DataError(
                f"two tests have the same vars and assertions, and other prompts ({tests[0].place} "
                f"and {other.place})",
                fix="write the results with vars and prompts (without PROMPTFOO_STRIP_...)",
            )
    return [_Item(tuple(tests)) for tests in by_content.values()]


def _field(test: Result, name: str | None) -> str | None:
    value = None if name is None else test.fields.get(name)
    return None if value is None else str(value)


def _rows(
    task: str,
    metric: str,
    items: Sequence[_Item],
    ids: Sequence[str],
    clusters: Sequence[str | None],
) -> Rows:
    """Of a named metric the rows are the tests that ask for it."""
    of_metric = [
        (item.value(metric), id, cluster)
        for item, id, cluster in zip(items, ids, clusters, strict=True)
        if metric in (PASS, SCORE, *item.asked_metrics)
    ]
    return rows_from(
        task,
        metric,
        [id for _, id, _ in of_metric],
        [None if value is None else [value] for value, _, _ in of_metric],
        clusters=[cluster for _, _, cluster in of_metric],
        flags=["" if value is not None else Flag.UNSCORED for value, _, _ in of_metric],
    )


def _score(rows: Rows, settings: PromptfooSettings) -> Score:
    held = rows.values[rows.scored, 0]
    is_verdict = rows.metric == PASS and bool(((held == 0) | (held == 1)).all())
    kind: Kind = "accuracy" if is_verdict else "bounded"
    score = score_of(table_metric(rows.metric, kind, rows.metric not in settings.lower), rows)
    update = {"primary": rows.metric == PASS, "family": IMPORTED, "kind": kind}
    return score.model_copy(update=update)


def _remarks(name: str, column: Column, items: Sequence[_Item], columns: int) -> tuple[str, ...]:
    """What whoever imports should know: which run is which, and which tests are unscored."""
    remarks = []
    if columns > 1:
        remarks.append(f"{name}: {column.provider}, prompt {column.prompt[:80]!r}")
    reasons: dict[str, int] = {}
    for item in items:
        why = next((test.unscored for test in item.tests if test.unscored), None)
        if why is not None:
            reasons[why] = reasons.get(why, 0) + 1
    for why, count in sorted(reasons.items()):
        remarks.append(f"{name}: {count} of {len(items)} tests unscored: {why}")
    threw = sum(any(test.threw for test in item.tests) for item in items)
    if threw:
        what = "an assertion's own code raised an error there, which promptfoo counts as failed"
        remarks.append(f"{name}: {threw} of {len(items)} tests: {what}")
    outside = {
        metric
        for item in items
        for metric in item.asked_metrics
        if (value := item.value(metric)) is not None and not 0 <= value <= 1
    }
    remarks += [
        f"{name}: '{metric}' goes beyond 0 to 1, and more is better; else name it with --lower"
        for metric in sorted(outside)
    ]
    return tuple(remarks)

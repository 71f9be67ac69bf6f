"""A model's texts beside their references, line by line: BLEU, chrF and ROUGE are computed here.

    steelyard import text --hypothesis h.txt --reference r.txt --reference r2.txt

The metrics are the ones that measure a task of ours, so that each score has its signature.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steelyard.harness.errors import DataError, did_you_mean, located
from steelyard.harness.evaluation import json_document, row_of, score_of
from steelyard.harness.files import digest_json, file_digest, open_lines
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
from steelyard.harness.plugins import Metric, Sample, TaskTexts, load_plugin
from steelyard.harness.records import Flag, Rows, SampleRecord, Score, TaskSignature
from steelyard.harness.suites import documents_digest, sample_ids

#: Metrics of (references, hypothesis).
TEXT_METRICS = (
    *("bleu", "chrf", "rouge1", "rouge2", "rougeL"),
    *("chrf++", "ter", "rougeLsum", "exact_match"),
)
USUAL_TEXT_METRICS = TEXT_METRICS[:5]


@dataclass(frozen=True)
class TextSettings:
    """What is measured, and how the run is called."""

    metrics: tuple[str, ...] = USUAL_TEXT_METRICS
    language: str | None = None
    """Of the references, e.g. ``zh``; None: by their script."""
    name: str | None = None
    experiment: str = EXPERIMENT
    task: str = "text"


def read_texts(
    hypothesis: Path, references: Sequence[Path], settings: TextSettings | None = None
) -> Imported:
    """The texts as a run, one item a line. Items pair by line and references.

    An empty hypothesis is an answer and counts; a line without any reference is unscored. Raises
    ``DataError`` for files of unequal numbers of lines, by name, and metrics of other things.
    """
    settings = settings or TextSettings()
    if not references:
        raise DataError("no reference file", key="--reference", fix="name one for each reference")
    for metric in settings.metrics:
        if metric not in TEXT_METRICS:
            fix = did_you_mean(metric, TEXT_METRICS)
            raise DataError(f"'{metric}' is no metric of texts", key="--metric", fix=fix)
    answers = _lines(hypothesis)
    columns = [_lines(path) for path in references]
    for path, column in zip(references, columns, strict=True):
        if len(column) != len(answers):
            what = f"{len(column)} lines, but {hypothesis.name} has {len(answers)}"
            raise DataError(what, file=path, fix="one line an item, in the same order in each file")
    rights = [[text for text in each if text.strip()] for each in zip(*columns, strict=True)]
    samples = _samples(answers, rights, settings)
    with located(file=hypothesis):
        measured = [_measured(name, samples, rights, settings) for name in settings.metrics]
    if not any(rows.scored.any() for _, rows in measured):
        raise DataError("no line has a text", file=references[0], fix="check how it was made")
    run = imported_run(
        Source("text", (hypothesis, *references)),
        candidate=plain_name(settings.name or hypothesis.stem),
        experiment=settings.experiment,
        suite="text",
        model=Model(settings.name or hypothesis.stem),
        scores=[score for score, _ in measured],
        signatures=[
            TaskSignature(
                task=settings.task,
                task_digest=f"language {settings.language or UNKNOWN}",
                data_digest=documents_digest(digest_json(each) for each in rights),
                few_shot=0,
                tokenizer=UNKNOWN,
                dtype=UNKNOWN,
                backend="text",
                parity=None,
            )
        ],
        # Which file is which: a run's identity has their digests without their order.
        options={
            "settings": repr(settings),
            "files": [file_digest(path) for path in (hypothesis, *references)],
        },
    )
    records = tuple(
        SampleRecord(
            task=s.task,
            sample_id=s.sample_id,
            prompt="",
            target=s.target,
            responses=(answer,),
            document=json_document(dict(s.document)),
        )
        for s, answer in zip(samples, answers, strict=True)
    )
    return Imported(run, tuple(rows for _, rows in measured), records)


def _lines(path: Path) -> list[str]:
    """The lines of a file without their ends. Only an end of line ends one, not U+2028."""
    try:
        with located(file=path), open_lines(path) as lines:
            texts = []
            for line in lines:
                if line.endswith("\r"):
                    what = f"line {lines.number} holds a carriage return alone"
                    raise DataError(what, fix="end lines with a line feed, and take out others")
                texts.append(line.rstrip("\r\n"))
    except OSError as error:
        fix = "name a text file"
        raise DataError(f"cannot be read: {error.strerror}", file=path, fix=fix) from None
    if not texts:
        raise DataError("the file is empty", file=path, fix="check how it was made")
    return texts


def _samples(
    answers: Sequence[str], rights: Sequence[Sequence[str]], settings: TextSettings
) -> list[Sample]:
    targets = [json.dumps(each, ensure_ascii=False) for each in rights]
    ids = sample_ids([(number, "", target) for number, target in enumerate(targets, start=1)])
    return [
        Sample(
            task=settings.task,
            sample_id=id,
            document={"line": number, "references": list(each)},
            prompt="",
            target=target,
            values={name: (list(each), answer) for name in settings.metrics},
        )
        for number, (id, each, target, answer) in enumerate(
            zip(ids, rights, targets, answers, strict=True), start=1
        )
    ]


def _measured(
    name: str,
    samples: Sequence[Sample],
    rights: Sequence[Sequence[str]],
    settings: TextSettings,
) -> tuple[Score, Rows]:
    metric: Metric = load_plugin("metrics", name)()
    for_task = getattr(metric, "for_task", None)
    if for_task is not None:
        texts = tuple(text for each in rights for text in each)
        metric = for_task(TaskTexts(references=texts, language=settings.language))
    reason = getattr(metric, "reason", None)
    values: list[Sequence[float] | None] = []
    flags: list[str] = []
    for sample, each in zip(samples, rights, strict=True):
        row = row_of(metric, sample, ()) if each else None
        why = None
        if row is None:
            why = reason(sample) if reason is not None else None
            why = why or (Flag.UNSCORED if each else Flag.EMPTY_REFERENCE)
        values.append(row)
        flags.append(why or "")
    rows = rows_from(settings.task, name, [s.sample_id for s in samples], values, flags=flags)
    scored = [s for s, row in zip(samples, values, strict=True) if row is not None]
    score = score_of(metric, rows, scored)
    return score.model_copy(update={"primary": name == settings.metrics[0]}), rows

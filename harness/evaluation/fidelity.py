"""A checkpoint's divergence from its parent as scores with rows, one row a document."""

from __future__ import annotations

import math
from collections.abc import Sequence

from steelyard.harness.evaluation.measuring import Measured
from steelyard.harness.evaluation.metric_choice import load_metric
from steelyard.harness.evaluation.rows import ScoredTask
from steelyard.harness.evaluation.scores import score_of
from steelyard.harness.evaluation.token_divergence import Divergence, divergence
from steelyard.harness.plugins import Metric, Row, Sample
from steelyard.harness.records import FIDELITY, Flag, Rows, SampleRecord, Score
from steelyard.harness.scoring import Scorer
from steelyard.harness.suites import BuiltTask, sample_ids

#: The first stands for the task.
METRICS = ("kl_per_token", "kl_p99", "top1_agreement", "delta_log_likelihood")


def measured_divergence(child: Scorer, parent: Scorer, built: BuiltTask) -> ScoredTask:
    """Divergence of ``child`` from ``parent`` over the documents of ``built``.

    Raises ``NotComparableError`` where the tokenizers differ, ``ScoringError`` on NaN.
    """
    texts = [_whole_text(built, document) for document in built.documents]
    samples = _samples(built, texts, divergence(child, parent, texts))
    scores: list[Score] = []
    tables: list[Rows] = []
    for name in METRICS:
        metric = load_metric(name)
        rows = [_finite_row(metric, sample) for sample in samples]
        flags = ["" if row is not None else Flag.NOT_FINITE for row in rows]
        table = Measured(FIDELITY, name, samples, rows, flags).as_rows(
            [built.metadata.cluster_of(sample.document) for sample in samples]
        )
        update = {"family": FIDELITY, "primary": name == METRICS[0]}
        scores.append(score_of(metric, table).model_copy(update=update))
        tables.append(table)
    return ScoredTask(tuple(scores), tuple(tables), tuple(map(_moved_sample, samples)))


def _whole_text(built: BuiltTask, document: object) -> str:
    """The document's whole text: what is rolled over, or its prompt with its target."""
    target = str(built.task.doc_to_target(document))
    if built.output_type == "loglikelihood_rolling":
        return target
    delimiter = getattr(built.config, "target_delimiter", " ")
    return f"{built.task.doc_to_text(document)}{delimiter}{target}"


def _samples(
    built: BuiltTask, texts: Sequence[str], divergences: Sequence[Divergence]
) -> list[Sample]:
    ids = sample_ids([("", "", text) for text in texts])
    return [
        Sample(
            task=FIDELITY,
            sample_id=sample_id,
            document=document,
            prompt="",
            target=text,
            values=_values(moved),
        )
        for sample_id, text, moved, document in zip(
            ids, texts, divergences, built.documents, strict=True
        )
    ]


def _values(moved: Divergence) -> dict[str, object]:
    """What the metrics of :data:`METRICS` read: sums over tokens, and how many tokens."""
    gained = moved.child_loglikelihood - moved.parent_loglikelihood
    return {
        "kl_per_token": (moved.kl_sum, moved.tokens),
        "kl_p99": moved.kl_per_token,
        "top1_agreement": (moved.top1_agreements, moved.tokens),
        "delta_log_likelihood": (gained, moved.tokens),
    }


def _finite_row(metric: Metric, sample: Sample) -> Row | None:
    row = metric.measure(sample, ())
    return row if row is not None and all(map(math.isfinite, row)) else None


def _moved_sample(sample: Sample) -> SampleRecord:
    values = sample.values
    kl, tokens = values["kl_per_token"]
    return SampleRecord(
        task=FIDELITY,
        sample_id=sample.sample_id,
        prompt="",
        target=sample.target,
        responses=(f"KL {kl:.6g} nats over {tokens} tokens",),
    )

"""A checkpoint's divergence from its parent as scores with rows, one row a document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steelyard.harness.evaluation.metric_choice import load_metric
from steelyard.harness.evaluation.rows import ScoredTask
from steelyard.harness.evaluation.scores import score_of
from steelyard.harness.plugins.protocols import Sample
from steelyard.harness.records import FIDELITY, Flag, Rows, SampleRecord
from steelyard.harness.scoring import Scorer
from steelyard.harness.suites.built import BuiltTask
from steelyard.harness.suites.identity import sample_ids

#: The first stands for the task.
METRICS = ("kl_per_token", "kl_p99", "top1_agreement", "delta_log_likelihood")


def measured_divergence(child: Scorer, parent: Scorer, built: BuiltTask) -> ScoredTask:
    """Divergence of ``child`` from ``parent`` over the documents of ``built``.

    Raises ``NotComparableError`` where the tokenizers differ, ``ScoringError`` on NaN.
    """
    from steelyard.harness.evaluation.divergence import divergence

    texts = [_text(built, document) for document in built.documents]
    found = divergence(child, parent, texts)
    samples = _samples(built, texts, found)
    scores, kept = [], []
    for name in METRICS:
        metric = load_metric(name)
        rows = _rows(name, built, samples, [metric.measure(sample, ()) for sample in samples])
        update = {"family": FIDELITY, "primary": name == METRICS[0]}
        scores.append(score_of(metric, rows).model_copy(update=update))
        kept.append(rows)
    return ScoredTask(tuple(scores), tuple(kept), tuple(map(_record, samples)))


def _text(built: BuiltTask, document: Any) -> str:
    """The document's whole text: what is rolled over, or its prompt with its target."""
    target = str(built.task.doc_to_target(document))
    if built.output_type == "loglikelihood_rolling":
        return target
    delimiter = getattr(built.config, "target_delimiter", " ")
    return f"{built.task.doc_to_text(document)}{delimiter}{target}"


def _samples(built: BuiltTask, texts: Sequence[str], found: Sequence[Any]) -> list[Sample]:
    ids = sample_ids([("", "", text) for text in texts])
    return [
        Sample(
            task=FIDELITY,
            sample_id=sample_id,
            document=document,
            prompt="",
            target=text,
            values={
                "kl_per_token": (one.kl_sum, one.tokens),
                "kl_p99": one.kl_per_token,
                "top1_agreement": (one.top1_agreements, one.tokens),
                "delta_log_likelihood": (
                    one.child_loglikelihood - one.parent_loglikelihood,
                    one.tokens,
                ),
            },
        )
        for sample_id, text, one, document in zip(ids, texts, found, built.documents, strict=True)
    ]


def _rows(metric: str, built: BuiltTask, samples: Sequence[Sample], found: Sequence[Any]) -> Rows:
    import numpy as np

    width = next((len(row) for row in found if row is not None), 1)
    values = np.full((len(found), width), np.nan)
    for index, row in enumerate(found):
        if row is not None and np.isfinite(row).all():
            values[index] = row
    scored = np.isfinite(values).all(axis=1)
    return Rows(
        task=FIDELITY,
        metric=metric,
        sample_ids=tuple(sample.sample_id for sample in samples),
        values=values,
        scored=scored,
        flags=tuple("" if good else Flag.NOT_FINITE for good in scored),
        clusters=tuple(built.metadata.cluster_of(sample.document) for sample in samples),
    )


def _record(sample: Sample) -> SampleRecord:
    values = sample.values
    kl, tokens = values["kl_per_token"]
    return SampleRecord(
        task=FIDELITY,
        sample_id=sample.sample_id,
        prompt="",
        target=sample.target,
        responses=(f"KL {kl:.6g} nats over {tokens} tokens",),
    )

"""Latency, throughput, memory and energy of answering, as scores with rows.

    passes over the same queries, after a warm-up: one row a query and pass (times), or one row a
    pass (memory, energy: a meter reads whole windows)

Nothing here goes through the journal: a kept response has no latency. Times are positive costs
(kind ``ratio``), so two models are held against each other by the paired logarithm of their ratio,
query by query; the passes are clusters, so that a machine that was slower for a while widens the
interval instead of passing for a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steelyard.harness.environment import PeakMemory, peak_memory
from steelyard.harness.errors import StatisticsError, SteelyardError
from steelyard.harness.evaluation.evaluating import Evaluation
from steelyard.harness.evaluation.serving import Server, Timing
from steelyard.harness.files import digest_json
from steelyard.harness.plugins import Meter
from steelyard.harness.records import COST, Checkpoint, Energy, Failure, Rows, Score, TaskSignature
from steelyard.harness.scoring import Scorer, as_scorer
from steelyard.harness.stats import percentile_interval, score_interval
from steelyard.harness.suites import BuiltSuite

if TYPE_CHECKING:
    from lm_eval.api.model import LM

ENERGY_METRICS = (
    "kwh_per_1k_tokens",
    "kwh_per_1k_queries",
    "co2e_g_per_1k_tokens",
    "co2e_g_per_1k_queries",
)


@dataclass(frozen=True)
class _Pass:
    """Every query once."""

    timings: tuple[Timing, ...]
    energy: Energy
    peak_bytes: int | None
    """The most memory above what was held before the warm-up; None: the system does not tell."""


def measured_cost(
    lm: LM | Scorer, built: BuiltSuite, meter: Callable[[], Meter], checkpoint: Checkpoint
) -> tuple[Evaluation, tuple[Energy, ...]]:
    """The cost scores of ``lm`` under the task ``cost``, and the energy that measuring them took.

    What cannot be measured is a failure of the task; nothing where the suite names no cost.
    """
    lm = as_scorer(lm)
    measure, task = built.suite.cost, built.cost
    if measure is None or task is None:
        return Evaluation(), ()
    try:
        texts = [str(task.task.doc_to_target(document)) for document in task.documents]
        server = Server(lm, measure, texts)
        passes = _passes(server, meter)
    except MemoryError:
        raise
    except Exception as error:  # whatever a model's generate raises: the scores stand all the same
        problem = (
            error.message
            if isinstance(error, SteelyardError)
            else f"{type(error).__name__}: {error}"
        )
        return Evaluation(failures=(Failure(stage=COST, message=problem),)), ()
    scores, rows = _scores(server, passes)
    signature = _signature(lm, server, task.data_digest, checkpoint)
    energies = tuple(each.energy for each in passes)
    return Evaluation(scores=scores, rows=rows, signatures=(signature,)), energies


def _passes(server: Server, meter: Callable[[], Meter]) -> list[_Pass]:
    measure = server.measure
    with peak_memory() as before:
        pass
    for index in range(measure.warmup):
        server.answer(server.batches[index % len(server.batches)])
    passes = []
    for number in range(measure.passes):
        with meter().window(f"cost pass {number + 1}") as reading, peak_memory() as peak:
            timings = tuple(server.answer(batch) for batch in server.batches)
        passes.append(_Pass(timings, reading.energy("score"), _growth(before, peak)))
    return passes


def _growth(before: PeakMemory, peak: PeakMemory) -> int | None:
    """On a GPU what torch allocated, else what the process holds, above what it held before."""
    start, highest = before.bytes, peak.bytes
    if peak.gpu_bytes is not None:
        start, highest = before.gpu_bytes or 0, peak.gpu_bytes
    return None if start is None or highest is None else max(0, highest - start)


def _scores(server: Server, passes: Sequence[_Pass]) -> tuple[tuple[Score, ...], tuple[Rows, ...]]:
    measure = server.measure
    total = np.array([[t.seconds for t in each.timings] for each in passes])
    first = np.array([[t.first_token_seconds for t in each.timings] for each in passes])
    prompt = measure.batch_size * measure.prompt_tokens
    # The first new token comes out of the pass over the prompt; decoding makes the others.
    decoded = measure.batch_size * (measure.new_tokens - 1)
    latency = _rows("latency_p50_seconds", total)
    tables = [
        latency,
        _rows("time_to_first_token_p50_seconds", first),
        _rows("prefill_tokens_per_second", prompt / first),
        _rows("decode_tokens_per_second", decoded / (total - first)),
    ]
    scores = [
        _percentile(latency, total, 50).model_copy(
            update={"primary": True, "note": _conditions(server, total)}
        ),
        _percentile(latency, total, 95).model_copy(
            update={"metric": "latency_p95_seconds", "note": "shown, not tested in pairs"}
        ),
        _percentile(tables[1], first, 50),
        _mean(tables[2], "tokens/s", higher_is_better=True, per_token=True),
        _mean(tables[3], "tokens/s", higher_is_better=True, per_token=True),
    ]
    memory = _memory(server, passes)
    energy = _energy_scores(server, passes)
    for score, rows in (memory, *energy):
        scores.append(score)
        tables += [rows] if rows is not None else []
    return tuple(scores), tuple(tables)


def _rows(metric: str, values: NDArray[np.float64]) -> Rows:
    """Rows of (passes, queries) or (passes,) numbers; the passes are the clusters."""
    grid = values.reshape(len(values), -1)
    names = [
        (f"pass {p + 1}", f"pass {p + 1} query {q + 1}")
        for p in range(len(grid))
        for q in range(grid.shape[1])
    ]
    alone = grid.shape[1] == 1
    return Rows(
        task=COST,
        metric=metric,
        sample_ids=tuple(digest_json([COST, name])[:32] for _, name in names),
        values=grid.reshape(-1, 1).astype(np.float64),
        scored=np.ones(grid.size, dtype=np.bool_),
        flags=("",) * grid.size,
        clusters=tuple(None if alone else cluster for cluster, _ in names),
    )


def _score_without_value(
    metric: str, n: int, unit: str, *, higher_is_better: bool = False, per_token: bool = False
) -> Score:
    return Score(
        task=COST,
        metric=metric,
        value=None,
        n=n,
        kind="ratio",
        higher_is_better=higher_is_better,
        family=COST,
        unit=unit,
        per_token=per_token,
    )


def _percentile(rows: Rows, seconds: NDArray[np.float64], percent: float) -> Score:
    """The median of the passes' percentiles, from (passes, queries), with its interval.

    Queries of one pass share what the machine did meanwhile, so they are no independent sample of
    it: the passes are, and the order statistics are theirs. Fewer than six have no interval.
    """
    interval = percentile_interval(np.percentile(seconds, percent, axis=1), 50)
    numbers = {"value": interval.value, "low": interval.low, "high": interval.high}
    return _score_without_value(rows.metric, len(rows.values), "seconds").model_copy(update=numbers)


def _mean(
    rows: Rows, unit: str, *, higher_is_better: bool = False, per_token: bool = False
) -> Score:
    """The geometric mean of the rows with its interval over passes."""
    plain = _score_without_value(
        rows.metric,
        len(rows.values),
        unit,
        higher_is_better=higher_is_better,
        per_token=per_token,
    )
    clusters = None if rows.clusters[0] is None else [str(c) for c in rows.clusters]
    try:
        interval = score_interval(rows.values, kind="ratio", clusters=clusters)
    except StatisticsError as error:
        return plain.model_copy(update={"n": 0, "note": f"unavailable: {error.message}"})
    numbers = {"value": interval.value, "low": interval.low, "high": interval.high}
    return plain.model_copy(update=numbers)


def _conditions(server: Server, total: NDArray[np.float64]) -> str:
    """Under what the numbers were taken, and how much the passes differ."""
    medians = np.median(total, axis=1)
    apart = medians.max() / medians.min() - 1
    measure = server.measure
    return (
        f"{_query(server)}; {measure.queries} queries x {measure.passes} passes after "
        f"{measure.warmup} to warm up; the passes' medians are {apart:.1%} apart"
    )


def _query(server: Server) -> str:
    measure = server.measure
    return (
        f"batch {measure.batch_size}, {measure.prompt_tokens} prompt and {measure.new_tokens} new "
        f"tokens, greedy, transformers.generate on {server.hardware()}"
    )


def _memory(server: Server, passes: Sequence[_Pass]) -> tuple[Score, Rows | None]:
    name = "serving_memory_bytes"
    peaks = [each.peak_bytes for each in passes]
    if None in peaks:
        return _unavailable(name, "bytes", "the system does not tell"), None
    weights = server.weight_bytes()
    rows = _rows(name, np.array([weights + (peak or 0) for peak in peaks], dtype=np.float64))
    note = "weights, and the most that answering took above what was held before"
    return _mean(rows, "bytes").model_copy(update={"note": note}), rows


def _energy_scores(server: Server, passes: Sequence[_Pass]) -> list[tuple[Score, Rows | None]]:
    """Energy and grams per thousand tokens (prompt and new) and queries, one row a pass."""
    measure = server.measure
    queries = measure.queries * measure.batch_size
    tokens = queries * (measure.prompt_tokens + measure.new_tokens)
    used = [each.energy for each in passes]
    readings = [energy.energy_kwh for energy in used]
    if any(kwh is None or kwh <= 0 for kwh in readings):
        why = next((e.note for e in used if e.note), None) or f"meter {used[0].meter}"
        units = ("kWh", "kWh", "g", "g")
        return [
            (_unavailable(name, unit, why), None)
            for name, unit in zip(ENERGY_METRICS, units, strict=True)
        ]
    scores: list[tuple[Score, Rows | None]] = []
    kwh = np.array(readings, dtype=np.float64)
    standing = _standing(used)
    counts = ((tokens, True), (queries, False))
    for name, (count, per_token) in zip(ENERGY_METRICS[:2], counts, strict=True):
        rows = _rows(name, 1000 * kwh / count)
        scores.append((_mean(rows, "kWh", per_token=per_token).model_copy(update=standing), rows))
    for name, (score, _) in zip(ENERGY_METRICS[2:], tuple(scores), strict=True):
        scores.append((_derived(name, score, used[0]), None))
    return scores


def _standing(used: Sequence[Energy]) -> dict[str, object]:
    """How good the energy's figures are: only what was measured may be gated on."""
    methods = "; ".join(dict.fromkeys(f"{c.name}: {c.method}" for e in used for c in e.components))
    short = next((e.note for e in used if e.too_short), None)
    if short is None and all(e.grade == "measured" for e in used):
        return {"note": f"measured ({methods})"}
    grade = min((e.grade for e in used), key=("estimated", "measured").index)
    parts = (f"advisory: {grade}, shown and never gated on ({methods})", short)
    return {"advisory": True, "note": "; ".join(filter(None, parts))}


def _derived(name: str, energy: Score, record: Energy) -> Score:
    """Grams from kWh: no rows of their own, since they say nothing that the energy does not."""
    if record.intensity is None or energy.value is None:
        return _unavailable(name, "g", "no country, no grams")
    factor = record.pue * record.intensity.g_per_kwh
    update = {
        key: None if number is None else number * factor
        for key, number in (("value", energy.value), ("low", energy.low), ("high", energy.high))
    }
    place = record.intensity
    note = f"advisory: derived from energy by {place.g_per_kwh:g} g/kWh ({place.region})"
    plain = _score_without_value(name, energy.n, "g", per_token=energy.per_token)
    return plain.model_copy(update={**update, "advisory": True, "note": note})


def _unavailable(name: str, unit: str, why: str) -> Score:
    return _score_without_value(name, 0, unit).model_copy(update={"note": f"unavailable: {why}"})


def _signature(
    lm: Scorer, server: Server, data_digest: str, checkpoint: Checkpoint
) -> TaskSignature:
    measure = server.measure
    return TaskSignature(
        task=COST,
        task_digest=digest_json([COST, measure.model_dump(mode="json")]),
        data_digest=data_digest,
        few_shot=0,
        tokenizer=checkpoint.manifest.digests.tokenizer,
        dtype=lm.dtype or str(checkpoint.manifest.dtype),
        decoding=(
            f"batch {measure.batch_size}, {measure.prompt_tokens} + {measure.new_tokens} tokens"
        ),
        hardware=server.hardware(),
        backend=lm.backend,
        parity=None,
    )

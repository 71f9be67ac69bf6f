"""The standings as files: a line a score, with its rank set, settings and fronts."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from steelyard.harness.files import csv_safe
from steelyard.harness.store import whole_text
from steelyard.reports.site.standings import Entry, Placed, Standings
from steelyard.reports.words import base_title, metric_title

if TYPE_CHECKING:
    import pyarrow as pa

_TEXT_COLUMNS = (
    "run", "experiment", "candidate", "suite", "trainer", "base", "created_at", "imported_from",
    "task", "metric", "family", "unit", "rank", "settings", "fronts", "energy_grade",
)  # fmt: skip
_NUMBER_COLUMNS = (
    "value", "low", "high", "confidence", "chance", "normalised", "training_energy_kwh",
)  # fmt: skip
_COUNT_COLUMNS = ("n", "unscored", "ranked", "size_bytes")
_FLAG_COLUMNS = ("higher_is_better", "primary", "complete")


def json_file(standings: Standings) -> str:
    """Runs with their scores by task and metric; what is missing is left out."""
    scores: dict[str, list[dict[str, object]]] = {}
    for key in standings.keys:
        for id, placed in standings.placed[key.task, key.metric].items():
            scores.setdefault(id, []).append(_present(_score_fields(placed)))
    runs = [
        {**_present(_run_fields(entry)), "scores": scores.get(entry.run.id, [])}
        for entry in standings.entries
    ]
    metrics = [
        _present(
            {
                "task": key.task,
                "metric": key.metric,
                "title": metric_title(key.metric),
                "family": key.family,
                "unit": key.unit,
                "higher_is_better": key.higher_is_better,
                "primary": key.primary,
            }
        )
        for key in standings.keys
    ]
    content = {"schema_version": 1, "metrics": metrics, "runs": runs}
    return json.dumps(content, indent=None, separators=(",", ":"), allow_nan=False) + "\n"


def csv_file(table: pa.Table) -> bytes:
    """The same, a line a score; texts that a spreadsheet would run are neutralised."""
    import pyarrow as pa
    from pyarrow import csv

    for place, name in enumerate(table.column_names):
        if name in _TEXT_COLUMNS:
            encoded = table[name].combine_chunks().dictionary_encode()
            words = [csv_safe(word) for word in encoded.dictionary.to_pylist()]
            safe = pa.DictionaryArray.from_arrays(encoded.indices, pa.array(words, pa.string()))
            table = table.set_column(place, name, safe.cast(pa.string()))
    out = io.BytesIO()
    csv.write_csv(table, out)
    return out.getvalue()


def parquet_file(table: pa.Table) -> bytes:
    """The same as Parquet, texts as they are."""
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(table, out, compression="zstd")
    return out.getvalue()


def score_table(standings: Standings) -> pa.Table:
    """A line a score; what is the same for all scores of a run is looked at once a run."""
    import pyarrow as pa

    lines = [p for k in standings.keys for p in standings.placed[k.task, k.metric].values()]
    entries = {entry.run.id: place for place, entry in enumerate(standings.entries)}
    places = pa.array([entries[placed.entry.run.id] for placed in lines])
    runs = _columns([_run_fields(entry) for entry in standings.entries])
    scores = _columns([_score_fields(placed) for placed in lines])
    columns = {**{name: column.take(places) for name, column in runs.items()}, **scores}
    return pa.table(
        {
            name: columns[name]
            for name in (*_TEXT_COLUMNS, *_NUMBER_COLUMNS, *_COUNT_COLUMNS, *_FLAG_COLUMNS)
        }
    )


def _columns(lines: Sequence[dict[str, object]]) -> dict[str, pa.Array]:
    """A column for each name, typed whether or not there is a value in it."""
    import pyarrow as pa

    columns = {}
    for names, type_ in (
        (_TEXT_COLUMNS, pa.string()),
        (_NUMBER_COLUMNS, pa.float64()),
        (_COUNT_COLUMNS, pa.int64()),
        (_FLAG_COLUMNS, pa.bool_()),
    ):
        for name in names:
            if lines and name not in lines[0]:
                continue
            values = [line[name] for line in lines]
            if type_ == pa.string():
                texts = [None if value is None else str(value) for value in values]
                whole = {text: None if text is None else whole_text(text) for text in set(texts)}
                values = [whole[text] for text in texts]
            columns[name] = pa.array(values, type_)
    return columns


def _run_fields(entry: Entry) -> dict[str, object]:
    run, training = entry.run, entry.training
    return {
        "run": run.id,
        "experiment": run.experiment,
        "candidate": run.candidate,
        "suite": run.suite,
        "trainer": run.checkpoint.trainer,
        "base": base_title(run.checkpoint.base),
        "created_at": run.created_at,
        "imported_from": run.imported_from,
        "complete": run.complete,
        "size_bytes": run.checkpoint.size_bytes,
        "training_energy_kwh": None if training is None else training.energy_kwh,
        "energy_grade": None if training is None else training.grade,
    }


def _score_fields(placed: Placed) -> dict[str, object]:
    score = placed.score
    return {
        "task": score.task,
        "metric": score.metric,
        "value": score.value,
        "low": score.low,
        "high": score.high,
        "confidence": score.confidence,
        "n": score.n,
        "unscored": score.unscored,
        "unit": score.unit,
        "family": score.family,
        "chance": score.chance,
        "higher_is_better": score.higher_is_better,
        "primary": score.primary,
        "normalised": None if placed.normalised is None else placed.normalised.value,
        "rank": placed.rank or None,
        "ranked": placed.ranked if placed.rank else None,
        "settings": placed.group.name or None,
        "fronts": " ".join(placed.fronts) or None,
    }


def _present(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}

"""The standings as files: a line a score, with its rank set, settings and fronts."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.hostile import csv_safe
from reports.site.standings import Placed, Standings
from reports.words import base_title, metric_title

if TYPE_CHECKING:
    import pyarrow as pa

_TEXT = (
    "run", "experiment", "candidate", "suite", "trainer", "base", "created_at", "imported_from",
    "task", "metric", "family", "unit", "rank", "settings", "fronts", "energy_grade",
)  # fmt: skip
_NUMBERS = (
    "value", "low", "high", "confidence", "chance", "normalised", "training_energy_kwh",
)  # fmt: skip
_COUNTS = ("n", "unscored", "ranked", "size_bytes")
_FLAGS = ("higher_is_better", "primary", "complete")


def json_file(standings: Standings) -> str:
    """Runs with their scores by task and metric; what is missing is left out."""
    runs = []
    for entry in standings.entries:
        found = (standings.placed[k.task, k.metric].get(entry.run.id) for k in standings.keys)
        placed = [p for p in found if p is not None]
        scores = [_present(_score(p)) for p in placed]
        runs.append({**_present(_run(placed[0])), "scores": scores} if placed else {})
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
    content = {"schema_version": 1, "metrics": metrics, "runs": [run for run in runs if run]}
    return json.dumps(content, indent=None, separators=(",", ":"), allow_nan=False) + "\n"


def csv_file(standings: Standings) -> bytes:
    """The same, a line a score; texts that a spreadsheet would run are neutralised."""
    import pyarrow as pa
    from pyarrow import csv

    table = _table(standings)
    for place, name in enumerate(table.column_names):
        if name in _TEXT:
            encoded = table[name].combine_chunks().dictionary_encode()
            words = [csv_safe(word) for word in encoded.dictionary.to_pylist()]
            safe = pa.DictionaryArray.from_arrays(encoded.indices, pa.array(words, pa.string()))
            table = table.set_column(place, name, safe.cast(pa.string()))
    out = io.BytesIO()
    csv.write_csv(table, out)
    return out.getvalue()


def parquet_file(standings: Standings) -> bytes:
    """The same as Parquet, texts as they are."""
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(_table(standings), out, compression="zstd")
    return out.getvalue()


def _table(standings: Standings) -> pa.Table:
    import pyarrow as pa

    lines = [
        {**_run(placed), **_score(placed)}
        for key in standings.keys
        for placed in standings.placed[key.task, key.metric].values()
    ]
    types = [
        *((name, pa.string()) for name in _TEXT),
        *((name, pa.float64()) for name in _NUMBERS),
        *((name, pa.int64()) for name in _COUNTS),
        *((name, pa.bool_()) for name in _FLAGS),
    ]
    columns = [pa.array([_whole(line[name]) for line in lines], type_) for name, type_ in types]
    return pa.Table.from_arrays(columns, names=[name for name, _ in types])


def _whole(value: Any) -> Any:
    from harness.store.atomic import whole_text

    return whole_text(value) if isinstance(value, str) else value


def _run(placed: Placed) -> dict[str, Any]:
    run, training = placed.entry.run, placed.entry.training
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


def _score(placed: Placed) -> dict[str, Any]:
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


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}

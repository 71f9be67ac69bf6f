"""Runs as plain tables, CSV or Parquet: a line for each score, each row and each energy figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from steelyard.harness.compare import Scored
from steelyard.harness.files import csv_safe
from steelyard.harness.records import Run

RUN_COLUMNS = (
    "run",
    "experiment",
    "candidate",
    "suite",
    "base",
    "trainer",
    "created_at",
    "imported_from",
)
_SCORE = (
    "task", "metric", "value", "low", "high", "confidence", "n", "unscored", "kind",
    "higher_is_better", "family", "primary", "chance", "unit", "note",
)  # fmt: skip
_SIGNATURE = ("task_digest", "data_digest", "few_shot", "template", "tokenizer", "dtype", "limit")
_ENERGY = ("phase", "seconds", "energy_kwh", "grade", "co2e_g", "meter", "note")
#: What each table holds, column by column.
SCORE_COLUMNS = (*RUN_COLUMNS, *_SCORE, *_SIGNATURE)
ENERGY_COLUMNS = (*RUN_COLUMNS, *_ENERGY)
ROW_COLUMNS = ("run", "task", "metric", "sample_id", "values", "scored", "flags", "cluster")
Line = dict[str, object]


def csv_files(runs: Sequence[Scored]) -> Iterator[tuple[str, str]]:
    """(name, text) of ``scores.csv``, ``energy.csv`` and one ``rows_<run>.csv`` a run.

    Texts that a spreadsheet would run are neutralised; numbers stand at full precision.
    """
    yield "scores.csv", _csv(score_lines(runs), SCORE_COLUMNS)
    yield "energy.csv", _csv(energy_lines(runs), ENERGY_COLUMNS)
    for scored in runs:
        lines = ({**line, "values": _numbers(line["values"])} for line in row_lines(scored))
        yield f"rows_{scored.run.id[:12]}.csv", _csv(lines, ROW_COLUMNS)


def _numbers(values: object) -> str:
    return " ".join(map(repr, values)) if isinstance(values, list | tuple) else ""


def parquet_files(runs: Sequence[Scored]) -> Iterator[tuple[str, bytes]]:
    """The same tables as Parquet; a row's k numbers are a list, null where unscored."""
    import pyarrow as pa

    text, number, count, flag = pa.string(), pa.float64(), pa.int64(), pa.bool_()
    types = {
        "value": number, "low": number, "high": number, "confidence": number, "chance": number,
        "n": count, "unscored": count, "few_shot": count, "limit": count,
        "higher_is_better": flag, "primary": flag, "scored": flag,
        "seconds": number, "energy_kwh": number, "co2e_g": number, "values": pa.list_(number),
    }  # fmt: skip

    def table(lines: Iterator[Line], names: Sequence[str]) -> bytes:
        import pyarrow.parquet as pq

        schema = pa.schema([(name, types.get(name, text)) for name in names])
        held = list(lines)
        columns = [pa.array([line.get(n) for line in held], schema.field(n).type) for n in names]
        out = io.BytesIO()
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), out, compression="zstd")
        return out.getvalue()

    yield "scores.parquet", table(score_lines(runs), SCORE_COLUMNS)
    yield "energy.parquet", table(energy_lines(runs), ENERGY_COLUMNS)
    for scored in runs:
        yield f"rows_{scored.run.id[:12]}.parquet", table(row_lines(scored), ROW_COLUMNS)


def _run_columns(run: Run) -> Line:
    return {
        "run": run.id,
        "experiment": run.experiment,
        "candidate": run.candidate,
        "suite": run.suite,
        "base": run.checkpoint.base,
        "trainer": run.checkpoint.trainer,
        "created_at": run.created_at,
        "imported_from": run.imported_from,
    }


def score_lines(runs: Sequence[Scored]) -> Iterator[Line]:
    """A line for each score, with ``SCORE_COLUMNS``."""
    for scored in runs:
        for score in scored.run.scores:
            signature = scored.run.signature(score.task)
            settings = {} if signature is None else {n: getattr(signature, n) for n in _SIGNATURE}
            yield {**_run_columns(scored.run), **{n: getattr(score, n) for n in _SCORE}, **settings}


def energy_lines(runs: Sequence[Scored]) -> Iterator[Line]:
    """A line for each phase of each run, with ``ENERGY_COLUMNS``."""
    for scored in runs:
        for energy in scored.run.energy:
            yield {**_run_columns(scored.run), **{n: getattr(energy, n) for n in _ENERGY}}


def row_lines(scored: Scored) -> Iterator[Line]:
    """A line for each sample of each metric, with ``ROW_COLUMNS``; no values where unscored."""
    for task in scored.tasks:
        for metric in scored.scores_of(task):
            rows = scored.rows.get((task, metric))
            if rows is None:
                continue
            for i, id in enumerate(rows.sample_ids):
                yield {
                    "run": scored.run.id,
                    "task": task,
                    "metric": metric,
                    "sample_id": id,
                    "values": rows.values[i].tolist() if rows.scored[i] else None,
                    "scored": bool(rows.scored[i]),
                    "flags": rows.flags[i],
                    "cluster": rows.clusters[i],
                }


def _csv(lines: Iterator[Line], names: Sequence[str]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="", lineterminator="\r\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({name: _csv_cell(value) for name, value in line.items()})
    return out.getvalue()


def _csv_cell(value: object) -> str:
    return repr(value) if isinstance(value, float) else csv_safe(value)

"""`steelyard export`: runs as files that other tools read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from steelyard.harness.cli.options import DEFAULT_WORKSPACE, Workspace
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.compare import Scored, open_run
from steelyard.harness.files import redacted, write_atomic
from steelyard.harness.imports import plain_name
from steelyard.harness.store import open_store
from steelyard.reports.exports.eval_results import eval_results_files, parse_benchmarks
from steelyard.reports.exports.every_eval_ever import every_eval_ever
from steelyard.reports.exports.lm_eval import lm_eval_files
from steelyard.reports.exports.mlflow_sink import log_run
from steelyard.reports.exports.model_card import model_card
from steelyard.reports.exports.tables import csv_files, parquet_files

app = typer.Typer(add_completion=False)


class Target(StrEnum):
    """Formats of other tools."""

    lm_eval = "lm-eval"
    every_eval = "every-eval"
    model_card = "model-card"
    eval_results = "eval-results"
    mlflow = "mlflow"
    parquet = "parquet"
    csv = "csv"


@app.command(cls=StoreCommand)
def export(
    runs: Annotated[
        list[str],
        typer.Argument(help="Runs: id prefix, `experiment/candidate`, folder or baseline file."),
    ],
    to: Annotated[list[Target], typer.Option("--to", "-t", help="Repeatable.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")] = Path(
        "export"
    ),
    organization: Annotated[
        str, typer.Option("--organization", help="every-eval: who ran the evaluation.")
    ] = "unknown",
    datasets: Annotated[
        list[str] | None,
        typer.Option("--dataset", help="eval-results: `task=org/name:task`, repeatable."),
    ] = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option("--tracking-uri", help="mlflow: default is plain files in OUTPUT/mlruns."),
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Write runs in the formats of other tools.

    Example: `steelyard export microworld-demo/lora --to lm-eval --to model-card -o export/`

    lm-eval: results_*.json and samples_*.jsonl, which lm-eval and `steelyard import` read back.
    every-eval: Every Eval Ever. model-card, eval-results: for the Hugging Face hub.
    mlflow: a run a candidate (extra `mlflow`). parquet, csv: scores, energy, rows.
    """
    store = open_store(workspace)
    opened = [open_run(store, name) for name in runs]
    wanted = list(dict.fromkeys(to))
    for target in wanted:
        if target is Target.mlflow:
            _to_mlflow(opened, tracking_uri or f"file:{(output / 'mlruns').absolute()}")
            continue
        for name, content in _export_files(target, opened, organization, datasets or ()):
            path = output / name
            write_atomic(path, content)
            typer.echo(str(path))


def _export_files(
    target: Target, runs: Sequence[Scored], organization: str, datasets: Sequence[str]
) -> Iterator[tuple[str, str | bytes]]:
    """(path in the output folder, content) of every file of one format."""
    if target is Target.csv:
        yield from csv_files(runs)
    elif target is Target.parquet:
        yield from parquet_files(runs)
    for scored in runs:
        run, folder = scored.run, _export_folder(scored)
        if target is Target.lm_eval:
            yield from lm_eval_files(scored)
        elif target is Target.every_eval:
            record = every_eval_ever(run, organization=organization)
            yield f"{folder}.every_eval_ever.json", json.dumps(record, indent=1) + "\n"
        elif target is Target.model_card:
            yield f"{folder}/README.md", model_card(run)
        elif target is Target.eval_results:
            for name, text in eval_results_files(run, parse_benchmarks(datasets)):
                yield f"{folder}/{name}", text


def _export_folder(scored: Scored) -> str:
    return plain_name(f"{scored.run.experiment}__{scored.run.candidate}")


def _to_mlflow(runs: Sequence[Scored], uri: str) -> None:
    shown = redacted(uri)  # standard output ends in logs
    for scored in runs:
        id = log_run(scored.run, uri)
        state = "already there" if id is None else id
        typer.echo(f"{scored.run.experiment}/{scored.run.candidate}  {state}  {shown}")

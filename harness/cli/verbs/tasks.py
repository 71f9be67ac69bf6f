"""`steelyard tasks check`: is a task fit to be staked a release on?"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from steelyard.harness.checkpoints import open_base, open_tokenizer
from steelyard.harness.cli.console import print_yaml
from steelyard.harness.cli.endings import say
from steelyard.harness.cli.options import Format, OutputFormat
from steelyard.harness.evaluation import (
    TaskCard,
    built_suite,
    task_cards,
    task_of_file,
    try_out,
)
from steelyard.harness.evaluation.contamination import overlaps
from steelyard.harness.experiment import load_experiment
from steelyard.harness.files import console, terminal_safe
from steelyard.harness.records import SampleRecord, Score
from steelyard.harness.suites import build, load_suite

app = typer.Typer(help="Check a task of your own.", no_args_is_help=True, add_completion=False)


@app.callback()
def group() -> None:
    """Check a task of your own."""


@app.command("check")
def check(
    task: Annotated[str, typer.Argument(help="A task's YAML file, or a task by name.")],
    include: Annotated[
        list[Path] | None,
        typer.Option("--include", help="A folder with further task files; repeatable."),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="A model folder whose tokenizer counts the tokens.")
    ] = None,
    format: OutputFormat = Format.terminal,
) -> None:
    """Build a task, show three prompts, count what is wrong with its documents, and score three
    items with the microworld's model. Exit 2 where it cannot be scored or has a fault.

    Example: `steelyard tasks check examples/local_data/halueval_qa.yaml`
    """
    folders = [str(folder) for folder in include or ()]
    file = None
    if task.endswith((".yaml", ".yml")):
        file = Path(task)
        task, folder = task_of_file(file)
        folders.append(str(folder))
    suite = built_suite(task, folders)
    cards = task_cards(suite, examples=3, count_tokens=token_counter(tokenizer), file=file)
    scores, samples = try_out(suite)
    fields = [card_fields(card) | {"tried": _tried(card.task, scores, samples)} for card in cards]
    if format is Format.json:
        typer.echo(json.dumps(fields, indent=2, allow_nan=False))
    else:
        print_yaml(*fields)
    faults = [f"{card.task}: {problem}" for card in cards for problem in card.problems]
    for fault in faults:
        say(f"fault: {fault}", "yellow")
    if faults:
        raise typer.Exit(2)


def card_fields(card: TaskCard) -> dict[str, object]:
    """A card as JSON values, without what it says nothing about."""
    fields = {"task": card.task} | asdict(card)
    return {key: value for key, value in fields.items() if value not in (None, (), [], {})}


def token_counter(folder: str | None) -> Callable[[str], int] | None:
    """Counts the tokens of a text with the tokenizer in ``folder``; None without one.

    Raises ``CheckpointError`` where there is no tokenizer.
    """
    if folder is None:
        return None
    tokenizer = open_tokenizer(open_base(folder).weights_folder)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def _tried(task: str, scores: list[Score], samples: list[SampleRecord]) -> dict[str, object]:
    mine = [score for score in scores if score.task == task]
    return {
        "model": "microworld",
        "scores": {score.metric: score.value for score in mine},
        "unscored": max((score.unscored for score in mine), default=0),
        "answers": [list(s.responses[:1]) for s in samples if s.task == task],
    }


@app.command("contamination")
def contamination(
    experiment: Annotated[Path, typer.Argument(help="An experiment file.")],
    format: OutputFormat = Format.terminal,
) -> None:
    """Look for the suite's items in the experiment's training data; exit 1 where some are there.

    Few-shot examples are left out: an item is its own question with its right answer.

    Example: `steelyard tasks contamination steelyard-demo/experiment.yaml`
    """
    loaded = load_experiment(experiment)
    settings = loaded.settings
    suite = load_suite(
        settings.suite, folder=loaded.folder, limit=settings.limit, parity=settings.parity
    )
    sources = {s.name: s for candidate in loaded.candidates for s in candidate.data}
    built = build(suite)
    rows = overlaps(built, list(sources.values()))
    for failure in built.missing:
        typer.echo(f"not looked for: {failure.message}", err=True)
    if format is Format.json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print_overlaps(rows)
    if any(row["contaminated"] for row in rows):
        raise typer.Exit(1)


def _print_overlaps(rows: list[dict[str, Any]]) -> None:
    table = Table(title="Evaluation items found in training data", box=box.SIMPLE_HEAD)
    for name in ("Data", "Task", "Contaminated", "Items", "For example"):
        table.add_column(name, justify="right" if name in ("Contaminated", "Items") else "left")
    for row in rows:
        example = row["example"] and f"row {row['example']['row']}: {row['example']['item']}"
        cells = (row["data"], row["task"], row["contaminated"], row["items"], example or "–")
        table.add_row(*(terminal_safe(str(cell)) for cell in cells))
    console().print(table)

"""`steelyard import`: other tools' results as runs that every other verb reads."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from steelyard.harness.cli.imported_lines import store_imports
from steelyard.harness.cli.options import DEFAULT_WORKSPACE, Format, Workspace
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.errors import ConfigError, DataError
from steelyard.harness.imports import (
    USUAL_TEXT_METRICS,
    Imported,
    ItemColumns,
    ItemSettings,
    MetricColumn,
    PairSettings,
    PromptfooSettings,
    TextSettings,
    read_codecarbon,
    read_deepeval,
    read_every_eval_ever,
    read_inspect_ai,
    read_items,
    read_lm_eval,
    read_pairs,
    read_promptfoo,
    read_texts,
    with_emissions,
)
from steelyard.harness.store import open_store

app = typer.Typer(help="Other tools' results as runs.", no_args_is_help=True, add_completion=False)

Experiment = Annotated[
    str, typer.Option("--experiment", "-e", help="Runs are called `experiment/candidate`.")
]
Name = Annotated[
    str | None, typer.Option("--name", "-n", help="The candidate's name; default from the file.")
]
Printed = Annotated[Format, typer.Option("--format", "-f", help="`json` where a machine reads it.")]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", help="Items that share this field are not independent."),
]
Slices = Annotated[
    list[str] | None,
    typer.Option("--slice", help="Field by which results are shown apart; repeatable."),
]


@app.callback()
def group() -> None:
    """Other tools' results as runs, marked as imported."""


@app.command("lm-eval", cls=StoreCommand)
def lm_eval(
    paths: Annotated[
        list[Path], typer.Argument(help="lm-eval's output folders, or results files.")
    ],
    name: Name = None,
    experiment: Experiment = "imported",
    cluster: Cluster = None,
    slices: Slices = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    format: Printed = Format.terminal,
) -> None:
    """Import lm-eval results; with their samples beside them they can be gated.

    Example: `steelyard import lm-eval out/base --name base && steelyard import lm-eval out/new
    --name new`

    `samples_TASK_*.jsonl` (lm-eval's --log_samples) pair by content. Results without samples, and
    the old format, are shown and not gated.
    """
    imports = read_lm_eval(
        paths, name=name, experiment=experiment, cluster=cluster, slices=slices or ()
    )
    store_imports(imports, workspace, format)


@app.command("items", cls=StoreCommand)
def items(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL or Parquet, a row for each item.")],
    id: Annotated[str, typer.Option("--id", help="Column with the item's id.")] = "id",
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            "-m",
            help="`name[=column][:kind]`, repeatable; kinds: accuracy, bounded, ratio, perplexity "
            "(two columns: log-likelihood, length). Default: every column of numbers.",
        ),
    ] = None,
    lower: Annotated[
        list[str] | None, typer.Option("--lower", help="A metric of which less is better.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="Column with the task's name. Default: `task`.")
    ] = None,
    task_name: Annotated[
        str, typer.Option("--task-name", help="The task, where no column names it.")
    ] = "items",
    version: Annotated[
        str | None, typer.Option("--task-version", help="Runs of two versions do not compare.")
    ] = None,
    cluster: Cluster = None,
    slices: Slices = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="Column with the prompt. Default: `prompt`.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Column with the target. Default: `target`.")
    ] = None,
    response: Annotated[
        str | None, typer.Option("--response", help="Column with the answer. Default: `response`.")
    ] = None,
    equals: Annotated[
        str | None,
        typer.Option("--equals", help="`prediction,answer`: columns to compute exact_match of."),
    ] = None,
    name: Name = None,
    experiment: Experiment = "imported",
    workspace: Workspace = DEFAULT_WORKSPACE,
    format: Printed = Format.terminal,
) -> None:
    """Import a table with a score for each item.

    Example: `steelyard import items new.csv --metric acc=correct --cluster passage --name new`

    Items pair by id (and by prompt and target, where there are any). An id that stands twice, an
    empty cell and NaN are errors: leave such items out of both files. A column may be a key
    within an object: `--id meta.id`.
    """
    columns = ItemColumns(
        id=id,
        task=task,
        cluster=cluster,
        slices=tuple(slices or ()),
        metrics=tuple(MetricColumn.parse(text) for text in metrics or ()),
        lower=tuple(lower or ()),
        prompt=prompt,
        target=target,
        response=response,
        equals=_pair_of_columns(equals),
    )
    settings = ItemSettings(name, experiment, task_name, version)
    store_imports([read_items(file, columns, settings)], workspace, format)


def _pair_of_columns(text: str | None) -> tuple[str, ...]:
    names = () if text is None else tuple(text.split(","))
    if text is not None and (len(names) != 2 or not all(names)):
        fix = "as in --equals prediction,answer"
        raise ConfigError("not two columns", key="--equals", value=text, fix=fix)
    return names


@app.command("inspect", cls=StoreCommand)
def inspect(
    files: Annotated[list[Path], typer.Argument(help="Logs of inspect_ai, .json or .eval.")],
    name: Name = None,
    experiment: Experiment = "imported",
    cluster: Cluster = None,
    slices: Slices = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    format: Printed = Format.terminal,
) -> None:
    """Import logs of inspect_ai: every scorer a metric, every sample a row, repeats one item.

    Example: `steelyard import inspect logs/base.json --name base --slice subject`

    Samples pair by id, input and target. A log of a run that did not finish is refused.
    """
    if name is not None and len(files) > 1:
        raise DataError(f"--name names one run, but there are {len(files)} files")
    imports = [
        read_inspect_ai(f, name=name, experiment=experiment, cluster=cluster, slices=slices or ())
        for f in files
    ]
    store_imports(imports, workspace, format)


@app.command("promptfoo", cls=StoreCommand)
def promptfoo(
    files: Annotated[list[Path], typer.Argument(help="What `promptfoo eval -o x.json` wrote.")],
    name: Name = None,
    experiment: Experiment = "imported",
    task_name: Annotated[str, typer.Option("--task-name", help="The task's name.")] = "promptfoo",
    lower: Annotated[
        list[str] | None, typer.Option("--lower", help="A named metric of which less is better.")
    ] = None,
    cluster: Cluster = None,
    slices: Slices = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    format: Printed = Format.terminal,
) -> None:
    """Import promptfoo's results: each provider with each prompt a run, every test a row.

    Example: `steelyard import promptfoo base.json --name base && steelyard import promptfoo
    new.json --name new`

    Metrics: `pass`, `score`, and the named ones. Tests pair by vars and assertions; those that
    failed to run, or assert nothing, are unscored.
    """
    if name is not None and len(files) > 1:
        raise DataError(f"--name names one file's runs, but there are {len(files)} files")
    settings = PromptfooSettings(
        name, experiment, task_name, cluster, tuple(slices or ()), tuple(lower or ())
    )
    store_imports([run for f in files for run in read_promptfoo(f, settings)], workspace, format)


@app.command("deepeval", cls=StoreCommand)
def deepeval(
    file: Annotated[Path, typer.Argument(help="A test run that deepeval wrote, JSON.")],
    task_name: Annotated[str, typer.Option("--task-name", help="The task's name.")] = "deepeval",
    name: Name = None,
    experiment: Experiment = "imported",
    workspace: Workspace = DEFAULT_WORKSPACE,
    format: Printed = Format.terminal,
) -> None:
    """Import a test run of deepeval: every metric one, every test case a row.

    Example: `steelyard import deepeval .deepeval/.latest_run_full.json --name new`

    Cases pair by input, expected output and context; a metric that failed is unscored.
    """
    run = read_deepeval(file, name=name, experiment=experiment, task=task_name)
    store_imports([run], workspace, format)


@app.command("text", cls=StoreCommand)
def text(
    hypothesis: Annotated[
        Path, typer.Option("--hypothesis", help="The model's texts, one item a line.")
    ],
    references: Annotated[
        list[Path], typer.Option("--reference", help="The right texts, line by line; repeatable.")
    ],
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", "-m", help="Default: bleu, chrf, rouge1, rouge2, rougeL."),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Of the references, e.g. zh.")
    ] = None,
    task_name: Annotated[str, typer.Option("--task-name", help="The task's name.")] = "text",
    name: Name = None,
    experiment: Experiment = "imported",
    workspace: Workspace = DEFAULT_WORKSPACE,
    format: Printed = Format.terminal,
) -> None:
    """Import a model's texts with their references: BLEU, chrF and ROUGE are computed here.

    Example: `steelyard import text --hypothesis new.txt --reference right.txt --name new`

    One item a line; files of unequal length are refused. An empty hypothesis counts.
    """
    settings = TextSettings(
        metrics=tuple(dict.fromkeys(metrics or USUAL_TEXT_METRICS)),
        language=language,
        name=name,
        experiment=experiment,
        task=task_name,
    )
    store_imports([read_texts(hypothesis, references, settings)], workspace, format)


@app.command("pairs", cls=StoreCommand)
def pairs(
    file: Annotated[
        Path, typer.Argument(help="CSV or JSONL: prompt (or id), model_a, model_b, winner, judge.")
    ],
    baseline: Annotated[
        str | None, typer.Option("--baseline", "-b", help="The model that the others met.")
    ] = None,
    id: Annotated[
        str | None, typer.Option("--id", help="Column that names a prompt. Default: id, prompt.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="Who judged, where no column `judge` says so.")
    ] = None,
    ratings: Annotated[
        bool, typer.Option("--ratings/--no-ratings", help="Bradley-Terry ratings (extra `pairs`).")
    ] = True,
    experiment: Experiment = "imported",
    workspace: Workspace = DEFAULT_WORKSPACE,
    format: Printed = Format.terminal,
) -> None:
    """Import which of two answers won, prompt by prompt: win rates that a gate can hold.

    Example: `steelyard import pairs arena.csv --baseline base --judge human`

    `winner` is a, b, tie, or a model's name. Each candidate's row is 1, 0.5 or 0 a prompt, the
    baseline's 0.5: `{task: pairs, margin: 0.05}` asks that the win rate is not below 45%.
    """
    settings = PairSettings(baseline, id, judge, experiment, ratings)
    store_imports(read_pairs(file, settings), workspace, format)


@app.command("every-eval-ever", cls=StoreCommand)
def every_eval_ever(
    files: Annotated[list[Path], typer.Argument(help="Records of Every Eval Ever, JSON.")],
    name: Name = None,
    experiment: Experiment = "imported",
    workspace: Workspace = DEFAULT_WORKSPACE,
    format: Printed = Format.terminal,
) -> None:
    """Import Every Eval Ever records, to be shown beside runs of ours.

    Example: `steelyard import every-eval-ever record.json`
    """
    if name is not None and len(files) > 1:
        raise DataError(f"--name names one run, but there are {len(files)} files")
    imports = [read_every_eval_ever(file, name=name, experiment=experiment) for file in files]
    store_imports(imports, workspace, format)


class Phase(StrEnum):
    """What the energy was used for."""

    train = "train"
    score = "score"


@app.command("codecarbon", cls=StoreCommand)
def codecarbon(
    file: Annotated[Path, typer.Argument(help="codecarbon's emissions.csv.")],
    run: Annotated[
        str | None, typer.Option("--run", "-r", help="Give the energy to this run.")
    ] = None,
    phase: Annotated[Phase, typer.Option("--phase", help="What it was used for.")] = Phase.train,
    project: Annotated[
        str | None, typer.Option("--project", help="codecarbon's project, where several are in it.")
    ] = None,
    run_id: Annotated[
        str | None,
        typer.Option(
            "--run-id",
            help="codecarbon's run, or how its id begins; where it has none, when it started.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--sum", help="The sum of all its runs, or of all those of --project.")
    ] = False,
    name: Name = None,
    experiment: Experiment = "imported",
    workspace: Workspace = DEFAULT_WORKSPACE,
    format: Printed = Format.terminal,
) -> None:
    """Import codecarbon's emissions: as the energy of a run, or as a run of their own.

    Example: `steelyard import codecarbon emissions.csv --run imported/new --phase train`

    Runs are never changed: `--run` writes another one, which is current where that one was.
    """
    if run is None:
        own = read_codecarbon(
            file,
            phase=phase.value,
            name=name,
            experiment=experiment,
            project=project,
            run_id=run_id,
            every=every,
        )
        store_imports([own], workspace, format)
        return
    store = open_store(workspace)
    before = store.get(run)
    changed = with_emissions(
        before, file, phase=phase.value, project=project, run_id=run_id, every=every
    )
    imported = Imported(changed, store.rows(before.id), store.samples(before.id))
    store_imports([imported], workspace, format, in_place_of=before.id)

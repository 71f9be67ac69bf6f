"""`steelyard show NAME`: everything about one trainer, metric, suite, task or run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from steelyard.harness.cli.console import print_yaml
from steelyard.harness.cli.options import DEFAULT_WORKSPACE, Format, OutputFormat, Workspace
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.cli.verbs.tasks import card_fields, token_counter
from steelyard.harness.errors import UnknownNameError, did_you_mean
from steelyard.harness.evaluation import built_suite, task_cards
from steelyard.harness.plugins import Plugin, Trainer, load_plugin, plugin_names
from steelyard.harness.store import is_there, open_store
from steelyard.harness.suites import (
    list_suites,
    list_tasks,
    lm_eval_names,
    load_suite,
    task_file,
)

app = typer.Typer(add_completion=False)

Fields = dict[str, object]
"""What is shown, as JSON values by name."""

PLUGIN_GROUPS = ("trainers", "metrics", "renderers", "meters", "executors")


@app.command(cls=StoreCommand)
def show(
    name: Annotated[
        str, typer.Argument(help="A trainer, metric, suite, task or run (as `list` shows it).")
    ],
    tokenizer: Annotated[
        str, typer.Option(help="Of a task: the model folder whose tokenizer counts its cost.")
    ] = "microworld",
    include: Annotated[
        list[Path] | None,
        typer.Option("--include", help="Of a task: a folder with its file; repeatable."),
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    format: OutputFormat = Format.terminal,
) -> None:
    """Show one thing in full: a trainer's options, a task's prompt and metrics, a run's scores.

    Example: `steelyard show microworld_known`
    """
    folders = [str(folder) for folder in include or ()]
    fields = (
        _plugin_fields(name)
        or _suite_fields(name)
        or _task_fields(name, folders, tokenizer)
        or _run_fields(name, workspace)
    )
    if format is Format.json:
        typer.echo(json.dumps(fields, indent=2, default=str))
        return
    print_yaml(fields)


def _plugin_fields(name: str) -> Fields | None:
    for group in PLUGIN_GROUPS:
        if name in plugin_names(group):
            return {group.removesuffix("s"): name, **_described(load_plugin(group, name))}
    return None


def _described(plugin: type[Plugin]) -> Fields:
    described: Fields = {"does": (plugin.__doc__ or "").strip()}

    roles, *others = plugin.data_choices() if issubclass(plugin, Trainer) else ((),)
    if roles:
        described["data columns"] = list(roles)
    if others:
        described["or data columns"] = [", ".join(choice) for choice in others]
    if not hasattr(plugin, "model_fields"):  # a meter: its settings are the `energy:` block's
        return described
    described["options"] = {
        option: " ".join(
            part
            for part in (
                f"default {field.get_default(call_default_factory=True)!r}."
                if not field.is_required()
                else "required.",
                field.description,
            )
            if part
        )
        for option, field in plugin.model_fields.items()
    }
    return described


def _suite_fields(name: str) -> Fields | None:
    if name not in list_suites() and not name.endswith((".yaml", ".yml")):
        return None
    suite = load_suite(name, folder=Path(), limit=None)
    return {"suite": name, **suite.model_dump(mode="json", exclude_none=True)}


def _task_fields(name: str, include: list[str], tokenizer: str | None) -> Fields | None:
    if name not in list_tasks(include):
        return None

    path = task_file(name, include)
    counter = token_counter(tokenizer)
    cards = task_cards(built_suite(name, include), count_tokens=counter, file=path)
    shown: Fields = (
        card_fields(cards[0]) if len(cards) == 1 else {"tasks": [*map(card_fields, cards)]}
    )
    return shown | {"definition": path.read_text(encoding="utf-8")}


def _run_fields(name: str, workspace: Path) -> Fields:
    if is_there(workspace):
        try:
            return open_store(workspace).get(name).model_dump(mode="json")
        except UnknownNameError:
            pass
    if name in lm_eval_names():
        raise UnknownNameError(
            f"'{name}' is one of lm-eval's own tasks, whose data come from the hub",
            fix=f"`steelyard tasks check {name}` fetches them and shows it",
        )
    names = [plugin for group in PLUGIN_GROUPS for plugin in plugin_names(group)]
    names += [*list_suites(), *list_tasks()]
    raise UnknownNameError(f"nothing is called '{name}'", fix=did_you_mean(name, names))

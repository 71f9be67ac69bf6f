"""Options that several verbs share, spelt once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from steelyard.harness.errors import ConfigError
from steelyard.harness.files import read_yaml
from steelyard.harness.files.old_names import WORKSPACE, workspace_at
from steelyard.harness.pipeline import Executor as ExecutorPlugin
from steelyard.harness.plugins import load_plugin, require_verbs
from steelyard.harness.records import Parity

Workspace = Annotated[
    Path,
    typer.Option(
        "--workspace",
        "-w",
        help="Where checkpoints, runs and journals are kept.",
        callback=workspace_at,
    ),
]
DEFAULT_WORKSPACE = Path(WORKSPACE)


class Format(StrEnum):
    """What a verb prints."""

    terminal = "terminal"
    json = "json"
    markdown = "markdown"


OutputFormat = Annotated[
    Format, typer.Option("--format", "-f", help="`json` where a machine reads it.")
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Replaces the file's seed.")]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="At most so many samples a task, the same every time."),
]


ParityOption = Annotated[
    Parity | None,
    typer.Option(
        "--parity",
        help="`lm-eval` puts special tokens in as lm-eval does, to hold numbers against its own.",
    ),
]
Executor = Annotated[
    str,
    typer.Option(
        "--executor",
        help="Where stages run: `inline` (this process), `local` (several), `ray` (a cluster).",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Most stages at a time, with `local` and `ray`."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="With `ray`: `auto` (the cluster of this machine), `local` (start one), HOST:PORT.",
    ),
]
RuntimeEnv = Annotated[
    Path | None,
    typer.Option("--runtime-env", help="With `ray`: a YAML file, Ray's runtime environment."),
]


def open_executor(
    name: str,
    workers: int | None = None,
    address: str | None = None,
    runtime_env: Path | None = None,
) -> ExecutorPlugin:
    """The executor called ``name``, with those options that were given.

    Raises ``UnknownNameError`` for another name, ``ConfigError`` for an option that it lacks.
    """
    chosen = load_plugin("executors", name)
    options: dict[str, object] = {"workers": workers, "address": address}
    options["runtime_env"] = None if runtime_env is None else read_yaml(runtime_env)
    options = {key: value for key, value in options.items() if value is not None}
    for key in options:
        if key not in chosen.model_fields:
            option = f"--{key.replace('_', '-')}"
            fix = "choose --executor local or ray" if key == "workers" else "choose --executor ray"
            raise ConfigError(f"executor '{name}' takes no such option", key=option, fix=fix)
    executor: ExecutorPlugin = chosen(**options)
    require_verbs("executors", name, executor, "run")
    return executor


Base = Annotated[
    str | None,
    typer.Option("--base", help="Replaces the file's base: hub id, folder, GGUF or `microworld`."),
]

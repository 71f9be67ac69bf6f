"""Options that several verbs share, spelt once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Workspace = Annotated[
    Path,
    typer.Option("--workspace", "-w", help="Where checkpoints, runs and journals are kept."),
]
DEFAULT_WORKSPACE = Path(".assay")


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
Base = Annotated[
    str | None,
    typer.Option("--base", help="Replaces the file's base: hub id, folder, GGUF or `microworld`."),
]

"""`steelyard compare`: better, worse, or can't tell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelyard.harness.cli.conclude import Page, decide_and_report
from steelyard.harness.cli.console import watching
from steelyard.harness.cli.documents import leave, show
from steelyard.harness.cli.options import DEFAULT_WORKSPACE, Format, OutputFormat, Workspace
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.compare import open_run
from steelyard.harness.errors import EXIT_NOT_COMPARABLE, exit_code_of
from steelyard.harness.store import open_store

app = typer.Typer(add_completion=False)


@app.command(cls=StoreCommand)
def compare(
    baseline: Annotated[
        str,
        typer.Argument(help="A run: id prefix, `experiment/candidate`, folder or baseline file."),
    ],
    candidates: Annotated[list[str], typer.Argument(help="Runs to hold against it.")],
    workspace: Workspace = DEFAULT_WORKSPACE,
    noise: Annotated[
        list[str] | None,
        typer.Option(
            "--noise",
            help="A run of the baseline's own checkpoint under another setting: a smaller "
            "difference is no claim; repeatable.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write an HTML report here.")
    ] = None,
    format: OutputFormat = Format.terminal,
) -> None:
    """Compare runs with a baseline, sample by sample; exit 3 where they cannot be compared.

    Example: `steelyard compare microworld-demo/base microworld-demo/lora`
    """
    store = open_store(workspace)
    page = Page(
        title=f"{', '.join(candidates)} against {baseline}",
        folder=output or workspace / "reports" / "compare",
        formats=("html",) if output else (),
        commands=[f"steelyard compare {baseline} {' '.join(candidates)}"],
    )
    with watching() as listener:
        conclusion = decide_and_report(
            open_run(store, baseline),
            [open_run(store, name) for name in candidates],
            page,
            listener,
            noise=[open_run(store, name) for name in noise or ()],
        )
    lost = [EXIT_NOT_COMPARABLE for c in conclusion.comparisons if not c.comparable]
    code = exit_code_of([conclusion.exit_code, *lost])
    show(conclusion.document.ended(code), format.value)
    leave(code)

"""`steelyard run`: train -> score -> compare -> gate -> report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from steelyard.harness.cli.attempts import failure_recorded
from steelyard.harness.cli.conclude import Conclusion
from steelyard.harness.cli.console import watching
from steelyard.harness.cli.documents import leave, show
from steelyard.harness.cli.experiments import command, run_experiment
from steelyard.harness.cli.options import (
    DEFAULT_WORKSPACE,
    Address,
    Base,
    Executor,
    Format,
    Limit,
    OutputFormat,
    ParityOption,
    RuntimeEnv,
    Seed,
    Workers,
    Workspace,
    open_executor,
)
from steelyard.harness.cli.reading import read_experiment
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.experiment import Experiment
from steelyard.harness.files import terminal_safe
from steelyard.harness.pipeline import Executor as ExecutorPlugin
from steelyard.harness.pipeline import Outcome
from steelyard.harness.records import stage_log
from steelyard.harness.store import FolderStore

app = typer.Typer(add_completion=False)

#: What is shown of a failed stage's log.
LOG_TAIL_BYTES, LOG_TAIL_LINES = 8_192, 20


@app.command(cls=StoreCommand)
def run(
    file: Annotated[Path, typer.Argument(help="An experiment file.", metavar="EXPERIMENT.yaml")],
    workspace: Workspace = DEFAULT_WORKSPACE,
    base: Base = None,
    seed: Seed = None,
    limit: Limit = None,
    parity: ParityOption = None,
    candidate: Annotated[
        list[str] | None,
        typer.Option("--candidate", "-c", help="Only this one and its parents; repeatable."),
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate/--no-gate", help="Exit with the gate's code, or only report.")
    ] = True,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the report files.")
    ] = None,
    executor: Executor = "inline",
    workers: Workers = None,
    address: Address = None,
    runtime_env: RuntimeEnv = None,
    format: OutputFormat = Format.terminal,
) -> None:
    """Train, score, compare, gate and report an experiment; run it again to resume.

    What is done and unchanged is not done again, so a killed run goes on where it was.

    Example: `steelyard run examples/smollm2.yaml --base ../shared/models/smollm2-135m-instruct`

    `--executor local --workers 2` runs stages in two processes of this machine, `--executor ray`
    on a cluster; the numbers are the same. See docs/scaling.md.

    Exit codes: 0 pass, 1 regression, 2 wrong input or a failed candidate,
    3 not comparable or incomplete, 4 inconclusive where a rule blocks on that.
    """
    with failure_recorded(workspace, file):
        chosen = open_executor(executor, workers, address, runtime_env)
        experiment = read_experiment(file, base=base, seed=seed, limit=limit, parity=parity)
    conclusion = run_watched(
        experiment,
        workspace=workspace,
        only=candidate or (),
        gating=gate,
        output=output,
        executor=chosen,
        commands=[command(file, workspace, base, seed, limit, parity)],
    )
    show(conclusion.document, format.value)
    leave(conclusion.exit_code)


def run_watched(
    experiment: Experiment,
    *,
    workspace: Path,
    only: Sequence[str] = (),
    gating: bool = True,
    output: Path | None = None,
    commands: Sequence[str],
    executor: ExecutorPlugin | None = None,
) -> Conclusion:
    """The whole loop, with its progress and the logs of what failed on standard error."""
    with watching() as listener:
        return run_experiment(
            experiment,
            workspace=workspace,
            only=only,
            gating=gating,
            output=output,
            commands=commands,
            executor=executor,
            listener=listener,
            on_outcome=show_logs,
        )


def show_logs(outcome: Outcome, store: FolderStore) -> None:
    """The end of each failed stage's log, where it left one."""
    for failure in outcome.failures:
        path = store.logs.path(stage_log(failure.stage))
        if not path.is_file():
            continue
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            tail = file.read().decode("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:]
        typer.echo(f"--- the end of {path}", err=True)
        for line in tail:
            typer.echo(f"    {terminal_safe(line)}", err=True)

"""`steelyard run`: train -> score -> compare -> gate -> report."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steelyard.harness.cli.options import (
    DEFAULT_WORKSPACE,
    Address,
    Base,
    Executor,
    Format,
    Limit,
    OutputFormat,
    RuntimeEnv,
    Seed,
    Workers,
    Workspace,
    open_executor,
)

#: What is shown of a failed stage's log.
LOG_TAIL_BYTES, LOG_TAIL_LINES = 8_192, 20

if TYPE_CHECKING:
    from steelyard.harness.cli.conclude import Conclusion
    from steelyard.harness.experiment.file import Experiment
    from steelyard.harness.pipeline.executors.executor import Executor as ExecutorPlugin
    from steelyard.harness.pipeline.pipeline import Outcome
    from steelyard.harness.store import FolderStore


def run(
    file: Annotated[Path, typer.Argument(help="An experiment file.", metavar="EXPERIMENT.yaml")],
    workspace: Workspace = DEFAULT_WORKSPACE,
    base: Base = None,
    seed: Seed = None,
    limit: Limit = None,
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
    from steelyard.harness.cli.conclude import leave, show
    from steelyard.harness.experiment.file import load_experiment

    chosen = open_executor(executor, workers, address, runtime_env)
    experiment = load_experiment(file, base=base, seed=seed, limit=limit)
    conclusion = run_experiment(
        experiment,
        workspace=workspace,
        only=candidate or (),
        gating=gate,
        output=output,
        executor=chosen,
        commands=[command(file, workspace, base, seed, limit)],
    )
    show(conclusion.document, format.value)
    leave(conclusion.exit_code)


def run_experiment(
    experiment: Experiment,
    *,
    workspace: Path,
    only: list[str] | tuple[str, ...] = (),
    gating: bool = True,
    output: Path | None = None,
    commands: list[str],
    executor: ExecutorPlugin | None = None,
) -> Conclusion:
    """The whole loop over a validated experiment; writes the reports and returns what they say."""
    from steelyard.harness.cli.conclude import conclude
    from steelyard.harness.cli.console import watching
    from steelyard.harness.cli.session import session

    check(experiment)
    with session(experiment, workspace) as (store, meter), watching() as listener:
        from steelyard.harness.pipeline.executors.inline import Inline
        from steelyard.harness.pipeline.noise import NoiseStage
        from steelyard.harness.pipeline.pipeline import Pipeline

        find_baseline(experiment, store)
        noise = NoiseStage(experiment, store, meter, listener)
        noise.check()
        chosen = executor or Inline()
        outcome = Pipeline(experiment, store, meter, listener, chosen).run(only)
        show_logs(outcome, store)
        return conclude(
            experiment,
            store,
            outcome,
            listener=listener,
            gating=gating,
            noise=noise,
            folder=output or workspace / "reports" / experiment.name,
            commands=commands,
        )


def show_logs(outcome: Outcome, store: FolderStore) -> None:
    """The end of each failed stage's log, where it left one."""
    from steelyard.harness.files.hostile import terminal_safe

    for failure in outcome.failures:
        path = store.log_path(failure.stage.replace(" ", "-"))
        if not path.is_file():
            continue
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            tail = file.read().decode("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:]
        typer.echo(f"--- the end of {path}", err=True)
        for line in tail:
            typer.echo(f"    {terminal_safe(line)}", err=True)


def check(experiment: Experiment) -> None:
    """Find what is wrong with suite and gate before hours of training, not after."""
    from steelyard.harness.experiment.choices import check_choices
    from steelyard.harness.gate import load_gate
    from steelyard.harness.suites.suite import load_suite

    settings = experiment.settings
    check_choices(experiment)
    load_suite(settings.suite, folder=experiment.folder, limit=settings.limit)
    if settings.gate:
        load_gate(settings.gate, file=experiment.file)


def find_baseline(experiment: Experiment, store: FolderStore) -> None:
    """The gate's baseline, where it is not made by this experiment, must be there beforehand.

    Raises ``SteelyardError`` for a run or baseline file that is missing or cannot be read.
    """
    from steelyard.harness.cli.conclude import scored_baseline
    from steelyard.harness.errors import ConfigError, UnknownNameError, did_you_mean
    from steelyard.harness.gate import load_gate

    if not experiment.settings.gate:
        return
    gate = load_gate(experiment.settings.gate, file=experiment.file)
    made = {"base", *(candidate.name for candidate in experiment.candidates)}
    if gate.baseline is None or gate.baseline in made:
        return
    try:
        scored_baseline(gate, store, {}, experiment.folder)
    except UnknownNameError:
        raise ConfigError(
            "no such candidate, run or baseline file",
            file=experiment.file,
            key="gate.baseline",
            value=gate.baseline,
            fix=did_you_mean(gate.baseline, made),
        ) from None


def command(
    file: Path, workspace: Path, base: str | None, seed: int | None, limit: int | None
) -> str:
    """The exact command to type again."""
    words = ["steelyard", "run", str(file)]
    if workspace != DEFAULT_WORKSPACE:
        words += ["--workspace", str(workspace)]
    for name, value in (("--base", base), ("--seed", seed), ("--limit", limit)):
        if value is not None:
            words += [name, str(value)]
    return shlex.join(words)

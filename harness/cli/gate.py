"""`assay gate`: the verdict that a CI job exits with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.options import DEFAULT_WORKSPACE, Format, OutputFormat, Workspace

if TYPE_CHECKING:
    from harness.compare import Scored
    from harness.gate import Gate


def gate(
    candidates: Annotated[
        list[str],
        typer.Argument(
            help="Runs: id prefix, `experiment/candidate`, folder or baseline file; "
            "with --sequential also models, scored here."
        ),
    ],
    policy: Annotated[
        Path,
        typer.Option("--policy", "-p", help="Rules: a policy file, or an experiment file's gate."),
    ],
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", "-b", help="Replaces the policy's baseline: a run or a file."),
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    sequential: Annotated[
        bool | None,
        typer.Option(
            "--sequential/--full",
            help="Score a model only until every rule is decided; default: as the policy says.",
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option("--suite", "-s", help="With --sequential: replaces the baseline's suite."),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Write JUnit XML, one testcase a rule.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write a summary for a step or a comment.")
    ] = None,
    format: OutputFormat = Format.terminal,
) -> None:
    """Hold the rules of a policy against runs; the exit code is the verdict.

    Example: `assay gate microworld-demo/lora --policy policy.yaml --baseline base.assay.json.gz`

    Example: `assay gate ./tuned-model --sequential -p policy.yaml -b base.assay.json.gz`

    Exit codes: 0 pass, 1 regression, 2 wrong input,
    3 not comparable or incomplete, 4 inconclusive where a rule blocks on that.
    """
    from harness.cli.conclude import leave, render, scored, show, write_text
    from harness.cli.sequential_gate import SequentialGate, scored_already
    from harness.errors import ConfigError
    from harness.gate import load_gate
    from harness.store import open_store

    rules = load_gate(policy, file=policy)
    if sequential is not None:
        rules = rules.model_copy(update={"sequential": sequential})
    name = baseline or rules.baseline
    if name is None:
        raise ConfigError("no baseline named", file=policy, key="gate.baseline", fix="--baseline")
    store = open_store(workspace)
    base = scored(store, _baseline_name(name, candidates, policy))
    words = ["assay", "gate", *candidates, "--policy", str(policy), "--baseline", name]
    commands = [shlex.join([*words, *(["--sequential"] if sequential else [])])]
    if rules.sequential and not scored_already(store, candidates, base):
        early = SequentialGate(rules, policy, base, suite, workspace)
        document, code = early.decide(candidates, commands)
    else:
        runs = [scored(store, candidate) for candidate in candidates]
        document, code = _on_full_runs(rules, base, runs, policy, workspace, commands)
    if junit is not None:
        write_text(junit, render(document, "junit"))
    if markdown is not None:
        write_text(markdown, render(document, "markdown"))
    show(document, format.value)
    leave(code)


def _on_full_runs(
    gate: Gate,
    baseline: Scored,
    runs: list[Scored],
    policy: Path,
    workspace: Path,
    commands: list[str],
) -> tuple[Any, int]:
    from harness.cli.conclude import decide_and_report
    from harness.cli.console import watching

    with watching(quiet=True) as listener:
        conclusion = decide_and_report(
            baseline,
            runs,
            gate=gate,
            title=f"gate {policy.name}",
            folder=workspace / "reports" / "gate",
            formats=(),
            commands=commands,
            listener=listener,
        )
    return conclusion.document, conclusion.exit_code


def _baseline_name(name: str, candidates: list[str], policy: Path) -> str:
    """`base` in an experiment's own gate is that experiment's base run; a file may lie beside."""
    beside = policy.parent / name
    if beside.exists():
        return str(beside)
    if "/" not in name and "/" in candidates[0] and not Path(name).exists():
        return f"{candidates[0].partition('/')[0]}/{name}"
    return name

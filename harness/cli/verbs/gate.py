"""`steelyard gate`: the verdict that a CI job exits with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steelyard.harness.cli.options import DEFAULT_WORKSPACE, Format, OutputFormat, Workspace

if TYPE_CHECKING:
    from steelyard.harness.compare import Scored
    from steelyard.harness.gate import Gate


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
        Path | None, typer.Option("--markdown", help="Write the whole report as Markdown.")
    ] = None,
    comment: Annotated[
        Path | None,
        typer.Option("--comment", help="Write Markdown for a pull request's comment, under 64 KB."),
    ] = None,
    github: Annotated[
        bool,
        typer.Option("--github", help="In GitHub Actions: annotations, step summary, outputs."),
    ] = False,
    format: OutputFormat = Format.terminal,
) -> None:
    """Hold the rules of a policy against runs; the exit code is the verdict.

    Example: `steelyard gate microworld-demo/lora -p policy.yaml -b base.steelyard.json.gz`

    Example: `steelyard gate ./tuned-model --sequential -p policy.yaml -b base.steelyard.json.gz`

    Exit codes: 0 pass, 1 regression, 2 wrong input,
    3 not comparable or incomplete, 4 inconclusive where a rule blocks on that.
    """
    from steelyard.harness.cli.conclude import leave
    from steelyard.harness.cli.outlets import Outlets

    outlets = Outlets(policy, format, junit, markdown, comment, github)
    with outlets.telling_errors():
        document, code = _decided(candidates, policy, baseline, workspace, sequential, suite)
    leave(outlets.publish(document, code))


def _decided(
    candidates: list[str],
    policy: Path,
    baseline: str | None,
    workspace: Path,
    sequential: bool | None,
    suite: str | None,
) -> tuple[Any, int]:
    from steelyard.harness.cli.conclude import scored
    from steelyard.harness.cli.verbs.gate_early import SequentialGate, scored_already
    from steelyard.harness.errors import ConfigError
    from steelyard.harness.gate import load_gate
    from steelyard.harness.gate.naming import baseline_name
    from steelyard.harness.store import open_store

    rules = load_gate(policy, file=policy)
    if sequential is not None:
        rules = rules.model_copy(update={"sequential": sequential})
    if suite is not None and not rules.sequential:
        raise ConfigError(
            "runs were scored already", key="--suite", fix="add --sequential to score"
        )
    name = baseline or rules.baseline
    if name is None:
        raise ConfigError("no baseline named", file=policy, key="gate.baseline", fix="--baseline")
    store = open_store(workspace)
    base = scored(store, baseline_name(name, candidates, policy))
    words = ["steelyard", "gate", *candidates, "--policy", str(policy), "--baseline", name]
    commands = [shlex.join([*words, *(["--sequential"] if sequential else [])])]
    if rules.sequential and not scored_already(store, candidates, base):
        early = SequentialGate(rules, policy, base, suite, workspace)
        return early.decide(candidates, commands)
    runs = [scored(store, candidate) for candidate in candidates]
    return _on_full_runs(rules, base, runs, policy, workspace, commands)


def _on_full_runs(
    gate: Gate,
    baseline: Scored,
    runs: list[Scored],
    policy: Path,
    workspace: Path,
    commands: list[str],
) -> tuple[Any, int]:
    from steelyard.harness.cli.conclude import decide_and_report
    from steelyard.harness.cli.console import watching

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
            file=policy,
        )
    return conclusion.document, conclusion.exit_code

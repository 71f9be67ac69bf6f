"""`assay gate`: the verdict that a CI job exits with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import DEFAULT_WORKSPACE, Format, OutputFormat, Workspace


def gate(
    candidates: Annotated[
        list[str],
        typer.Argument(help="Runs: id prefix, `experiment/candidate`, folder or baseline file."),
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

    Exit codes: 0 pass, 1 regression, 2 wrong input,
    3 not comparable or incomplete, 4 inconclusive where a rule blocks on that.
    """
    from harness.cli.conclude import decide_and_report, leave, render, scored, show, write_text
    from harness.cli.console import watching
    from harness.errors import ConfigError
    from harness.gate import load_gate
    from harness.store import open_store

    rules = load_gate(policy, file=policy)
    name = baseline or rules.baseline
    if name is None:
        raise ConfigError("no baseline named", file=policy, key="gate.baseline", fix="--baseline")
    store = open_store(workspace)
    base = scored(store, _baseline_name(name, candidates, policy))
    with watching(quiet=True) as listener:
        conclusion = decide_and_report(
            base,
            [scored(store, candidate) for candidate in candidates],
            gate=rules,
            title=f"gate {policy.name}",
            folder=workspace / "reports" / "gate",
            formats=(),
            commands=[f"assay gate {' '.join(candidates)} --policy {policy} --baseline {name}"],
            listener=listener,
        )
    if junit is not None:
        write_text(junit, render(conclusion.document, "junit"))
    if markdown is not None:
        write_text(markdown, render(conclusion.document, "markdown"))
    show(conclusion.document, format.value)
    leave(conclusion.exit_code)


def _baseline_name(name: str, candidates: list[str], policy: Path) -> str:
    """`base` in an experiment's own gate is that experiment's base run; a file may lie beside."""
    beside = policy.parent / name
    if beside.exists():
        return str(beside)
    if "/" not in name and "/" in candidates[0] and not Path(name).exists():
        return f"{candidates[0].partition('/')[0]}/{name}"
    return name

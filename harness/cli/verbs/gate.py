"""`steelyard gate`: the verdict that a CI job exits with."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from steelyard.harness.cli.conclude import Page, decide_and_report
from steelyard.harness.cli.console import watching
from steelyard.harness.cli.documents import leave
from steelyard.harness.cli.options import DEFAULT_WORKSPACE, Format, OutputFormat, Workspace
from steelyard.harness.cli.outlets import Outlets
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.cli.verbs.gate_early import SequentialGate, scored_already
from steelyard.harness.compare import open_run
from steelyard.harness.errors import ConfigError
from steelyard.harness.gate import Gate, baseline_name, load_gate
from steelyard.harness.store import open_store
from steelyard.reports.document import Document

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Request:
    """What the command line asks of the gate."""

    candidates: list[str]
    policy: Path
    baseline: str | None
    workspace: Path
    sequential: bool | None
    suite: str | None

    def rules(self) -> Gate:
        """The policy, with what the command line replaces of it."""
        rules = load_gate(self.policy)
        if self.sequential is not None:
            rules = rules.model_copy(update={"sequential": self.sequential})
        if self.suite is not None and not rules.sequential:
            raise ConfigError(
                "runs were scored already", key="--suite", fix="add --sequential to score"
            )
        return rules

    def command(self, baseline: str) -> str:
        """What to type to hold the gate again."""
        words = ["steelyard", "gate", *self.candidates, "--policy", str(self.policy)]
        words += ["--baseline", baseline, *(["--sequential"] if self.sequential else [])]
        return shlex.join(words)


@app.command(cls=StoreCommand)
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
    outlets = Outlets(policy, format, junit, markdown, comment, github)
    request = Request(candidates, policy, baseline, workspace, sequential, suite)
    with outlets.telling_errors():
        document, code = _decided(request)
    leave(outlets.publish(document, code))


def _decided(request: Request) -> tuple[Document, int]:
    """The report with the verdicts, and the exit code."""
    rules, policy = request.rules(), request.policy
    name = request.baseline or rules.baseline
    if name is None:
        raise ConfigError("no baseline named", file=policy, key="gate.baseline", fix="--baseline")
    store = open_store(request.workspace)
    baseline = open_run(store, baseline_name(name, request.candidates, policy, store))
    commands = [request.command(name)]
    if rules.sequential and not scored_already(store, request.candidates, baseline):
        early = SequentialGate(rules, policy, baseline, request.suite, request.workspace)
        return early.decide(request.candidates, commands)
    runs = [open_run(store, candidate) for candidate in request.candidates]
    page = Page(f"gate {policy.name}", request.workspace / "reports" / "gate", commands)
    with watching(quiet=True) as listener:
        conclusion = decide_and_report(
            baseline,
            runs,
            page,
            listener,
            gate=rules,
            policy=policy,
            attempts=store.current.gated,
        )
    return conclusion.document, conclusion.exit_code

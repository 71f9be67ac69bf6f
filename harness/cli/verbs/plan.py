"""`steelyard plan`: what training will take, and what a gate needs before it can decide."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich import box
from rich.table import Table

from steelyard.harness.checkpoints import open_base
from steelyard.harness.cli.console import watching
from steelyard.harness.cli.options import DEFAULT_WORKSPACE, Base, Format, OutputFormat, Workspace
from steelyard.harness.cli.session import session
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.compare import open_run
from steelyard.harness.errors import ConfigError
from steelyard.harness.experiment import load_experiment
from steelyard.harness.files import console, read_yaml, terminal_safe
from steelyard.harness.gate import RulePlan, baseline_name, in_policy, load_gate
from steelyard.harness.gate import plan as planned
from steelyard.harness.pipeline import CandidatePlan, Cost, Planner, read_saved, write_saved
from steelyard.harness.store import open_store
from steelyard.reports import words

app = typer.Typer(add_completion=False)

Value = TypeVar("Value")


@app.command(cls=StoreCommand)
def plan(
    policy: Annotated[
        Path,
        typer.Argument(help="An experiment, or a policy: rules alone.", metavar="FILE.yaml"),
    ],
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", "-b", help="Replaces the policy's baseline: a run or a file."),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option("--like", help="A scored run such as will come; its differences are typical."),
    ] = None,
    discordance: Annotated[
        float,
        typer.Option(min=0.001, max=1.0, help="Without --like: the share of samples that change."),
    ] = 0.1,
    power: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="An equal candidate's chance to pass.")
    ] = 0.8,
    trial_steps: Annotated[
        int,
        typer.Option(min=0, help="Steps of each recipe that are tried; 0: past runs alone."),
    ] = 3,
    base_model: Base = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    format: OutputFormat = Format.terminal,
) -> None:
    """Say beforehand what training takes, and how many samples each rule needs.

    Of an experiment: parameters trained, memory, tokens, minutes and energy of each candidate,
    from a few steps tried here or past runs; after `steelyard run`, the actual cost beside them.
    With --baseline or --like, and of a policy: samples, minutes and Wh of each rule, and which
    cannot be decided.

    Example: `steelyard plan experiment.yaml`

    Example: `steelyard plan policy.yaml --baseline base.steelyard.json.gz --like
    microworld-demo/lora`
    """
    training = None
    if "candidates" in read_yaml(policy):
        training = _plan_training(policy, base_model, workspace, trial_steps)
        if baseline is None and like is None:
            if format is Format.json:
                _print_json((), training)
            else:
                _print_training(training)
            return

    gate = load_gate(policy)
    name = baseline or gate.baseline
    if name is None:
        raise ConfigError("no baseline named", file=policy, key="gate.baseline", fix="--baseline")
    store = open_store(workspace)
    base = open_run(store, baseline_name(name, [like] if like else [], policy, store))
    typical = open_run(store, like) if like else None
    with in_policy(policy):
        rules = planned(gate, base, typical, discordance=discordance, power=power)
    if format is Format.json:
        _print_json(rules, training)
    else:
        if training is not None:
            _print_training(training)
        _print_rules(rules, power)


def _plan_training(
    file: Path, base: str | None, workspace: Path, trial_steps: int
) -> list[CandidatePlan]:
    """Estimate, and keep the estimates in the workspace for later."""
    experiment = load_experiment(file, base=base)
    estimates = workspace / "plans" / f"{experiment.name}.json"
    saved = read_saved(estimates)
    opened = open_base(experiment.settings.base, resolve=experiment.resolve)
    store = open_store(workspace)
    with session(experiment, store) as meter, watching() as listener:
        plans = Planner(experiment, store, opened, meter, listener, trial_steps, saved).plan()
    write_saved(estimates, saved, plans)
    return plans


def _print_json(plans: tuple[RulePlan, ...], training: list[CandidatePlan] | None = None) -> None:
    rules = [asdict(rule) for rule in plans]
    if training is None:
        typer.echo(json.dumps(rules, indent=2, allow_nan=False))
        return
    document = {"training": [asdict(candidate) for candidate in training], "rules": rules}
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


def _count(value: int | None) -> str:
    return words.NONE if value is None else f"{value:,}"


def _with_actual(
    plan: CandidatePlan, words_of: Callable[[Value], str], cost: Callable[[Cost], Value]
) -> str:
    """The estimated cost, and the actual one below it where the candidate ran."""
    estimate = words_of(cost(plan.estimate))
    if plan.actual is None:
        return estimate
    return f"{estimate}\nactual {words_of(cost(plan.actual))}"


def _print_training(plans: list[CandidatePlan]) -> None:
    table = Table(
        title="Training: estimate, and actual where it ran",
        box=box.SIMPLE_HEAD, expand=True, title_justify="left",
    )  # fmt: skip
    table.add_column("Candidate", ratio=2)
    for name in ("Parameters trained", "Steps", "Tokens", "Time", "Energy", "Peak memory"):
        table.add_column(name, justify="right", ratio=1)
    table.add_column("From", ratio=2)
    for plan in plans:
        share = _count(plan.parameters_trained)
        if plan.parameters and plan.parameters_trained is not None:
            share += f"\nof {plan.parameters:,}"
        table.add_row(
            terminal_safe(plan.candidate),
            share,
            _count(plan.steps),
            _count(plan.tokens),
            _with_actual(plan, words.seconds, lambda cost: cost.seconds),
            _with_actual(plan, words.energy, lambda cost: cost.energy_kwh),
            _with_actual(plan, words.bytes_, lambda cost: cost.peak_memory_bytes),
            terminal_safe(plan.basis),
        )
    estimates = [plan.estimate for plan in plans]
    seconds = [cost.seconds for cost in estimates if cost.seconds is not None]
    energies = [cost.energy_kwh for cost in estimates if cost.energy_kwh is not None]
    total = f"all estimated: {words.seconds(sum(seconds))}"
    if energies:
        total += f", {words.energy(sum(energies))}"
    screen = console()
    screen.print(table)
    screen.print(f"{total}; scoring is not in it")


def _print_rules(plans: tuple[RulePlan, ...], power: float) -> None:
    title = f"Samples that each rule needs to pass an equal candidate {power:.0%} of the time"
    table = Table(title=title, box=box.SIMPLE_HEAD, expand=True, title_justify="left")
    table.add_column("Rule", ratio=2)
    for name in ("Tier", "Needed", "At hand", "Enough", "Time", "Energy"):
        right = name not in ("Tier", "Enough")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    table.add_column("Why", ratio=2)
    for rule in plans:
        answer = {True: "yes", False: "NO", None: "can't tell"}[rule.decidable]
        table.add_row(
            terminal_safe(rule.rule),
            rule.tier,
            words.NONE if rule.items_needed is None else f"{rule.items_needed:,}",
            f"{rule.items_at_hand:,}" if rule.items_at_hand else words.NONE,
            answer,
            words.seconds(rule.seconds),
            words.energy(rule.energy_kwh),
            terminal_safe(rule.why),
        )
    console().print(table)

"""`steelyard plan`: what training will take, and what a gate needs before it can decide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steelyard.harness.cli.options import DEFAULT_WORKSPACE, Base, Format, OutputFormat, Workspace

if TYPE_CHECKING:
    from steelyard.harness.gate.planning import RulePlan
    from steelyard.harness.pipeline.estimate import CandidatePlan


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
    from steelyard.harness.files.yaml_file import read_yaml

    training = None
    if "candidates" in read_yaml(policy):
        training = _plan_training(policy, base_model, workspace, trial_steps)
        if baseline is None and like is None:
            if format is Format.json:
                _print_json((), training)
            else:
                _print_training(training)
            return
    from steelyard.harness.cli.conclude import scored
    from steelyard.harness.errors import ConfigError
    from steelyard.harness.gate import load_gate
    from steelyard.harness.gate.naming import baseline_name
    from steelyard.harness.gate.planning import plan as planned
    from steelyard.harness.store import open_store

    gate = load_gate(policy, file=policy)
    name = baseline or gate.baseline
    if name is None:
        raise ConfigError("no baseline named", file=policy, key="gate.baseline", fix="--baseline")
    store = open_store(workspace)
    base = scored(store, baseline_name(name, [like] if like else [], policy))
    found = planned(
        gate,
        base,
        scored(store, like) if like else None,
        discordance=discordance,
        power=power,
        file=policy,
    )
    if format is Format.json:
        _print_json(found, training)
    else:
        if training is not None:
            _print_training(training)
        _print_table(found, power)


def _plan_training(
    file: Path, base: str | None, workspace: Path, trial_steps: int
) -> list[CandidatePlan]:
    """Estimate, and keep the estimates in the workspace for later."""
    import json

    from steelyard.harness.checkpoints import open_base
    from steelyard.harness.cli.conclude import write_text
    from steelyard.harness.cli.console import watching
    from steelyard.harness.cli.session import session
    from steelyard.harness.experiment.file import load_experiment
    from steelyard.harness.pipeline.estimate import Planner, as_saved

    experiment = load_experiment(file, base=base)
    kept = workspace / "plans" / f"{experiment.name}.json"
    saved = json.loads(kept.read_text("utf-8")) if kept.is_file() else {}
    opened = open_base(experiment.settings.base, resolve=experiment.resolve)
    with session(experiment, workspace) as (store, meter), watching() as listener:
        found = Planner(experiment, store, opened, meter, listener, trial_steps, saved).plan()
    write_text(kept, json.dumps({**saved, **as_saved(found)}, indent=1) + "\n")
    return found


def _print_json(found: tuple[RulePlan, ...], training: list[CandidatePlan] | None = None) -> None:
    import json
    from dataclasses import asdict

    rules = [asdict(rule) for rule in found]
    if training is None:
        typer.echo(json.dumps(rules, indent=2, allow_nan=False))
        return
    document = {"training": [asdict(one) for one in training], "rules": rules}
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


def _print_training(found: list[CandidatePlan]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from steelyard.harness.files.hostile import terminal_safe
    from steelyard.reports import words

    def number(value: int | None) -> str:
        return words.NONE if value is None else f"{value:,}"

    def both(one: CandidatePlan, words_of: Callable[[Any], str], name: str) -> str:
        first = words_of(getattr(one.estimate, name))
        if one.actual is None:
            return first
        return f"{first}\nactual {words_of(getattr(one.actual, name))}"

    table = Table(
        title="Training: estimate, and actual where it ran",
        box=box.SIMPLE_HEAD, expand=True, title_justify="left",
    )  # fmt: skip
    table.add_column("Candidate", ratio=2)
    for name in ("Parameters trained", "Steps", "Tokens", "Time", "Energy", "Peak memory"):
        table.add_column(name, justify="right", ratio=1)
    table.add_column("From", ratio=2)
    for one in found:
        share = number(one.parameters_trained)
        if one.parameters and one.parameters_trained is not None:
            share += f"\nof {one.parameters:,}"
        table.add_row(
            terminal_safe(one.candidate),
            share,
            number(one.steps),
            number(one.tokens),
            both(one, words.seconds, "seconds"),
            both(one, words.energy, "energy_kwh"),
            both(one, words.bytes_, "peak_memory_bytes"),
            terminal_safe(one.basis),
        )
    seconds = [one.estimate.seconds for one in found if one.estimate.seconds is not None]
    energies = [one.estimate.energy_kwh for one in found if one.estimate.energy_kwh is not None]
    told = f"all estimated: {words.seconds(sum(seconds))}"
    if energies:
        told += f", {words.energy(sum(energies))}"
    console = Console(markup=False, highlight=False)
    console.print(table)
    console.print(f"{told}; scoring is not in it")


def _print_table(found: tuple[RulePlan, ...], power: float) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from steelyard.harness.files.hostile import terminal_safe
    from steelyard.reports import words

    title = f"Samples that each rule needs to pass an equal candidate {power:.0%} of the time"
    table = Table(title=title, box=box.SIMPLE_HEAD, expand=True, title_justify="left")
    table.add_column("Rule", ratio=2)
    for name in ("Tier", "Needed", "At hand", "Enough", "Time", "Energy"):
        right = name not in ("Tier", "Enough")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    table.add_column("Why", ratio=2)
    for rule in found:
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
    Console(markup=False, highlight=False).print(table)

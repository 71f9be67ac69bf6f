"""`assay plan`: what a gate needs before it can decide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import DEFAULT_WORKSPACE, Format, OutputFormat, Workspace

if TYPE_CHECKING:
    from harness.gate.planning import RulePlan


def plan(
    policy: Annotated[
        Path, typer.Argument(help="Rules: a policy file, or an experiment file's gate.")
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
    workspace: Workspace = DEFAULT_WORKSPACE,
    format: OutputFormat = Format.terminal,
) -> None:
    """Say how many samples, minutes and Wh each rule needs, and which cannot be decided.

    Example: `assay plan policy.yaml --baseline base.assay.json.gz --like microworld-demo/lora`
    """
    from harness.cli.conclude import scored
    from harness.errors import ConfigError
    from harness.gate import load_gate
    from harness.gate.naming import baseline_name
    from harness.gate.planning import plan as planned
    from harness.store import open_store

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
        _print_json(found)
    else:
        _print_table(found, power)


def _print_json(found: tuple[RulePlan, ...]) -> None:
    import json
    from dataclasses import asdict

    typer.echo(json.dumps([asdict(rule) for rule in found], indent=2, allow_nan=False))


def _print_table(found: tuple[RulePlan, ...], power: float) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from harness.hostile import terminal_safe
    from reports import words

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

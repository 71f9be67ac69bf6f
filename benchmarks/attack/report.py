"""Outcomes as lines and as a page."""

from __future__ import annotations

import os
import platform
import re
from collections import Counter
from collections.abc import Sequence

from benchmarks.attack.attacks import SEVERITIES, Outcome


def line(outcome: Outcome) -> str:
    """One outcome, for a terminal."""
    reason = f"\n           {outcome.reason}" if outcome.reason else ""
    shown = f"{outcome.verdict:<10} {outcome.seconds:5.1f} s  {outcome.attack.name}: "
    return f"{shown}{outcome.attack.title}{reason}"


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many of each verdict."""
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    words = {"held": "held", "failed": "failed", "not tried": "could not be tried"}
    counts = [f"{verdicts[verdict]} {word}" for verdict, word in words.items()]
    return f"{len(outcomes)} attacks: {', '.join(counts)}."


def page(outcomes: Sequence[Outcome]) -> str:
    """The committed page: a table a kind of harm."""
    parts = [
        "# Attacks",
        "",
        "`python benchmarks/attack`; one row an attack, the worst harm first.",
    ]
    parts += [f"Python {platform.python_version()}, {os.cpu_count()} cores.", "", summary(outcomes)]
    for harm in SEVERITIES:
        of_harm = [outcome for outcome in outcomes if outcome.attack.harm == harm]
        if not of_harm:
            continue
        parts += ["", f"## {harm.capitalize()}", "", "| attack | what is tried | verdict |"]
        parts += ["|---|---|---|", *(_row(outcome) for outcome in of_harm)]
    return "\n".join([*parts, ""])


def _row(outcome: Outcome) -> str:
    reason = f": {outcome.reason}" if outcome.reason else ""
    verdict = re.sub(r"/\S*/attack-\w+", "…", f"{outcome.verdict}{reason}").replace("|", "\\|")
    return f"| {outcome.attack.name} | {outcome.attack.title} | {verdict} |"

"""What a gate's baseline is called: a run, a candidate of the experiment, or a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def baseline_name(name: str, candidates: Sequence[str], policy: Path) -> str:
    """``name`` as a store or a file system knows it.

    A file is looked for from here, then beside the policy; ``base`` in an experiment's own gate is
    that experiment's base run.
    """
    if Path(name).is_file():
        return name
    beside = policy.parent / name
    if beside.exists():
        return str(beside)
    experiment, slash, _ = candidates[0].partition("/") if candidates else ("", "", "")
    if "/" not in name and slash and not Path(name).exists():
        return f"{experiment}/{name}"
    return name

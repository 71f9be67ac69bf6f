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
    if "/" not in name and "/" in candidates[0] and not Path(name).exists():
        return f"{candidates[0].partition('/')[0]}/{name}"
    return name

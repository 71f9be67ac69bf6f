"""What a gate's baseline is called: a run, a candidate of the experiment, or a file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from steelyard.harness.errors import UnknownNameError
from steelyard.harness.store import Store


def baseline_name(name: str, candidates: Sequence[str], policy: Path, store: Store) -> str:
    """``name`` as a store or a file system knows it.

    A file is looked for from here, then beside the policy; ``base`` in an experiment's own gate is
    that experiment's base run, unless there is none and the name is how a run's id begins.
    """
    if Path(name).is_file():
        return name
    beside = policy.parent / name
    if beside.exists():
        return str(beside)
    experiment, slash, _ = candidates[0].partition("/") if candidates else ("", "", "")
    if "/" in name or not slash or Path(name).exists():
        return name
    if not any(store.find(experiment=experiment, candidate=name)):
        with suppress(UnknownNameError):
            return store.get(name).id
    return f"{experiment}/{name}"

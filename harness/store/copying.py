"""Runs and their checkpoints from one workspace to another."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from steelyard.harness.checkpoints import link_base, open_checkpoint
from steelyard.harness.store.folder import FolderStore


@dataclass(frozen=True)
class Copied:
    """How much was copied; what the target held already is not."""

    runs: int = 0
    checkpoints: int = 0


def copy_runs(
    source: FolderStore,
    target: FolderStore,
    references: Sequence[str] = (),
    *,
    weights: bool = True,
    each: Callable[[str], None] = lambda name: None,
) -> Copied:
    """Copy runs (all where none is named) with their rows, samples and, with ``weights``,
    checkpoints; ``each`` hears the name of every run.

    A base outside of the workspaces is not copied: an adapter keeps its way to it. Every run
    appears in one rename, so an interrupted copy is taken up by the same call. What is current in
    ``source`` is current in ``target`` then; of another run only its id names it there.

    Raises ``StoreError`` for a run that is not there or is damaged.
    """
    runs = [source.get(name) for name in references] or list(source.find())
    current, _ = source.current.ranked()
    copied = checkpoints = 0
    for run in runs:
        each(f"{run.experiment}/{run.candidate}")
        if weights:
            checkpoints += _copy_checkpoint(source, target, run.checkpoint.digest)
        is_new = target.runs.intact(run.id) is None
        # Read before anything is recorded there: a damaged one changes nothing.
        rows, samples = (source.rows(run.id), source.samples(run.id)) if is_new else ((), ())
        (target.current.put if run.id in current else target.current.note)(run)
        if is_new:
            target.runs.publish(run, rows, samples)
            copied += 1
    return Copied(copied, checkpoints)


def _copy_checkpoint(source: FolderStore, target: FolderStore, digest: str) -> int:
    """The checkpoint and, before it, the weights it stands on where the workspace holds them."""
    folder = source.checkpoints.get(digest)
    if folder is None or target.checkpoints.get(digest) is not None:
        return 0
    checkpoint = open_checkpoint(folder, verify=True)
    made = target.checkpoints.new_folder("copy")
    shutil.copytree(folder, made, dirs_exist_ok=True)
    count = 1
    if checkpoint.adapter_folder is not None:
        base = checkpoint.weights_folder
        if base.parent == folder.parent.resolve():
            below = open_checkpoint(base).manifest.digest
            count += _copy_checkpoint(source, target, below)
            base = target.checkpoints.path(below)
        link_base(made, base.resolve(), seen_from=target.checkpoints.path(digest))
    target.checkpoints.adopt(made, digest)
    return count

"""Finding damage in a workspace, and what nothing refers to any more."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from steelyard.harness.errors import StoreError, located
from steelyard.harness.files.version_1 import require_known_version
from steelyard.harness.store.atomic import read_json, storage_errors
from steelyard.harness.store.checkpoint_folders import MANIFEST_FILE, manifest_digest
from steelyard.harness.store.current import CurrentRuns
from steelyard.harness.store.layout import Layout, digest_name
from steelyard.harness.store.leases import FileLeases
from steelyard.harness.store.rows_file import read_rows
from steelyard.harness.store.run_folder import ROWS_FILE, RUN_FILE, SAMPLES_FILE, verified_run
from steelyard.harness.store.samples_file import read_samples


@dataclass(frozen=True)
class Garbage:
    """A folder or file that nothing refers to."""

    path: Path | str
    """On this machine; an address where it lies in a location that machines share."""
    size_bytes: int
    why: str


class FolderUpkeep:
    """What looks after a workspace.

    Args:
        layout: the folder.
        leases: hold the workspace alone while garbage is removed.
        current: which run each name means.
        rebuild_index: makes the index anew; returns the number of runs in it.
    """

    def __init__(
        self,
        layout: Layout,
        leases: FileLeases,
        current: CurrentRuns,
        rebuild_index: Callable[[], int],
    ) -> None:
        self._layout = layout
        self._leases = leases
        self._current = current
        self._rebuild_index = rebuild_index

    def check(self) -> list[str]:
        """Every damage in the workspace, in words, one line each; empty where all is well."""
        layout = self._layout
        return [
            *_run_damage(layout),
            *_checkpoint_damage(layout),
            *_stage_damage(layout),
            *self._current.damage(),
        ]

    def rebuild(self) -> int:
        """Make the index anew from the run folders; the number of runs in it."""
        return self._rebuild_index()

    def gc(self, *, dry_run: bool = True) -> list[Garbage]:
        """What no run and no stage refers to; removed unless ``dry_run``.

        Unreferenced checkpoints, their journals, states of finished stages, temporary files of
        processes that are gone. A checkpoint is referred to by a run or a stage that names its
        digest, or by the manifest of a checkpoint that is (parent, base).

        Raises ``StoreError`` where a `steelyard run` holds the workspace: what it has just made is
        not referred to yet.
        """
        if dry_run or not self._layout.root.exists():
            return _garbage(self._layout)
        with self._leases.writing():
            items = _garbage(self._layout)
            for item in items:
                _remove(self._layout, Path(item.path))
            return items


def _run_damage(layout: Layout) -> Iterator[str]:
    for folder in _children(layout.runs):
        yield from run_damage(folder, folder.name, str(folder))


def run_damage(folder: Path, id: str, where: str) -> Iterator[str]:
    """What is wrong with the run in ``folder``, which lies ``where``; nothing where all is well."""
    try:
        run = verified_run(folder)
        rows = read_rows(folder / ROWS_FILE)
        samples = read_samples(folder / SAMPLES_FILE)
    except StoreError as error:
        yield str(error)
        return
    if run.id != id:
        yield f"{where}: holds run {run.id}"
    counts = {(r.task, r.metric): int(r.scored.sum()) for r in rows}
    for score in run.scores:
        count = counts.get((score.task, score.metric))
        if count is not None and count != score.n:
            yield f"{where}: {score.task} {score.metric} has {count} rows, its score {score.n}"
    asked = {(s.task, s.sample_id) for s in samples}
    for group in rows:
        lost = sum((group.task, sample) not in asked for sample in group.sample_ids)
        if asked and lost:
            yield f"{where}: {lost} rows of {group.task} {group.metric} have no sample"


def _checkpoint_damage(layout: Layout) -> Iterator[str]:
    for folder in _children(layout.checkpoints):
        if not (folder / MANIFEST_FILE).is_file():
            yield f"{folder}: no {MANIFEST_FILE}"
            continue
        try:
            digest = manifest_digest(folder)
        except StoreError as error:
            yield str(error)
            continue
        if digest is None or digest_name(digest) != folder.name:
            yield f"{folder}: its manifest names the checkpoint {digest}"


def _stage_damage(layout: Layout) -> Iterator[str]:
    for path in _children(layout.stages):
        try:
            read_json(path)
        except StoreError as error:
            yield str(error)


def _garbage(layout: Layout) -> list[Garbage]:
    abandoned = [Garbage(p, size_of(p), "its process is gone") for p in layout.abandoned()]
    away = [Garbage(p, size_of(p), "damaged, and put away") for p in _children(layout.damaged)]
    return [*_unreferenced(layout), *_finished_states(layout), *abandoned, *away]


def _remove(layout: Layout, path: Path) -> None:
    with storage_errors(layout.root, f"remove {path.name}"):
        if path.is_dir() and path.parent != layout.temporary:
            layout.discard(path)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _unreferenced(layout: Layout) -> Iterator[Garbage]:
    """What nothing names. Raises ``NewerVersionError`` where a newer Steelyard wrote any of it:
    what that refers to, and how, is not known here."""
    texts = [p / RUN_FILE for p in _children(layout.runs)] + _children(layout.stages)
    named = " ".join(_known_text(path) for path in texts)
    manifests = {
        folder.name: _known_text(folder / MANIFEST_FILE) for folder in _children(layout.checkpoints)
    }
    needed = {name for name in manifests if name in named}
    waiting = list(needed)
    while waiting:
        manifest = manifests[waiting.pop()]
        for name in manifests.keys() - needed:
            if name in manifest:
                needed.add(name)
                waiting.append(name)
    for name in sorted(manifests.keys() - needed):
        folder = layout.checkpoints / name
        yield Garbage(folder, size_of(folder), "no run and no stage refers to it")
    for journal in _children(layout.journal):
        if journal.name.partition(".")[0] not in named:
            yield Garbage(journal, size_of(journal), "no run and no stage refers to its checkpoint")


def _finished_states(layout: Layout) -> Iterator[Garbage]:
    finished = " ".join(path.stem for path in _children(layout.stages))
    for folder in _children(layout.states):
        if folder.name in finished:
            yield Garbage(folder, size_of(folder), "its stage has finished")


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _known_text(path: Path) -> str:
    """A record as text; empty where it is damaged."""
    try:
        value = read_json(path)
    except (StoreError, OSError):
        return ""
    with located(file=path):
        require_known_version(value)
    return json.dumps(value)


def size_of(path: Path) -> int:
    """Bytes of a file, or of every file in a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.lstat().st_size for p in files)

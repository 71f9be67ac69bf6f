"""Finding damage in a workspace, and what nothing refers to any more."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from steelyard.harness.errors import StoreError
from steelyard.harness.store.atomic import read_json, storage_errors
from steelyard.harness.store.layout import Layout, digest_name
from steelyard.harness.store.rows_file import read_rows
from steelyard.harness.store.runs import ROWS_FILE, RUN_FILE, SAMPLES_FILE, read_run
from steelyard.harness.store.samples_file import read_samples
from steelyard.harness.store.stages import MANIFEST_FILE, manifest_digest


@dataclass(frozen=True)
class Garbage:
    """A folder or file that nothing refers to."""

    path: Path | str
    """On this machine; an address where it lies in a location that machines share."""
    size_bytes: int
    why: str


def check(layout: Layout) -> list[str]:
    """Every damage, one line each; empty where all is well."""
    return [*_run_damage(layout), *_checkpoint_damage(layout), *_stage_damage(layout)]


def _run_damage(layout: Layout) -> Iterator[str]:
    for folder in _children(layout.runs):
        yield from run_damage(folder, folder.name, str(folder))


def run_damage(folder: Path, id: str, where: str) -> Iterator[str]:
    """What is wrong with the run in ``folder``, which lies ``where``; nothing where all is well."""
    try:
        run = read_run(folder)
        rows = read_rows(folder / ROWS_FILE)
        samples = read_samples(folder / SAMPLES_FILE)
    except StoreError as error:
        yield str(error)
        return
    if run.id != id:
        yield f"{where}: holds run {run.id}"
    counts = {(r.task, r.metric): int(r.scored.sum()) for r in rows}
    for score in run.scores:
        found = counts.get((score.task, score.metric))
        if found is not None and found != score.n:
            yield f"{where}: {score.task} {score.metric} has {found} rows, its score {score.n}"
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


def gc(layout: Layout, *, dry_run: bool) -> list[Garbage]:
    """Unreferenced checkpoints, their journals, states of finished stages, dead temporary files.

    A checkpoint is referred to by a run or a stage that names its digest, or by the manifest of a
    checkpoint that is (parent, base).
    """
    garbage = [*_unreferenced(layout), *_finished_states(layout)]
    garbage += [Garbage(p, size_of(p), "its process is gone") for p in layout.abandoned()]
    if not dry_run:
        for item in garbage:
            path = Path(item.path)
            with storage_errors(layout.root, f"remove {path.name}"):
                if path.is_dir() and path.parent != layout.temporary:
                    layout.discard(path)
                elif path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
    return garbage


def _unreferenced(layout: Layout) -> Iterator[Garbage]:
    texts = [p / RUN_FILE for p in _children(layout.runs)] + _children(layout.stages)
    named = " ".join(_text(path) for path in texts)
    manifests = {
        folder.name: _text(folder / MANIFEST_FILE) for folder in _children(layout.checkpoints)
    }
    kept = {name for name in manifests if name in named}
    waiting = list(kept)
    while waiting:
        manifest = manifests[waiting.pop()]
        for name in manifests.keys() - kept:
            if name in manifest:
                kept.add(name)
                waiting.append(name)
    for name in sorted(manifests.keys() - kept):
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


def _text(path: Path) -> str:
    try:
        return json.dumps(read_json(path))
    except (StoreError, OSError):
        return ""


def size_of(path: Path) -> int:
    """Bytes of a file, or of every file in a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.lstat().st_size for p in files)

"""Stages, checkpoints, journals and training states: what the pipeline resumes from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from steelyard.harness.errors import StoreError
from steelyard.harness.store.atomic import (
    plain,
    publish_folder,
    read_json,
    replace_json,
    storage_errors,
)
from steelyard.harness.store.layout import Layout, digest_name, safe_name

MANIFEST_FILE = "manifest.json"


def stage_path(layout: Layout, key: str) -> Path:
    """The file that says what the stage ``key`` produced."""
    return layout.stages / f"{safe_name(key, 'stage key')}.json"


def read_stage(layout: Layout, key: str) -> dict[str, Any] | None:
    """What the stage ``key`` produced; a damaged record counts as unfinished, and is done again."""
    path = stage_path(layout, key)
    if not path.is_file():
        return None
    try:
        value = read_json(path)
    except StoreError:
        return None
    return value if isinstance(value, dict) else None


def finish_stage(layout: Layout, key: str, payload: dict[str, Any]) -> None:
    """Record what a stage produced, in one rename that reaches the disk."""
    path = stage_path(layout, key)
    temporary = layout.scratch()
    with storage_errors(layout.root, f"record stage {key}"):
        try:
            replace_json(path, plain(payload), temporary)
        finally:
            temporary.unlink(missing_ok=True)


def new_checkpoint_folder(layout: Layout, key: str) -> Path:
    """An empty folder in this process's temporary folder, its name begins with ``key``."""
    folder = layout.scratch(f"{safe_name(key, 'stage key')}-")
    with storage_errors(layout.root, "create a checkpoint folder"):
        folder.mkdir()
    return folder


def adopt_checkpoint(layout: Layout, folder: Path, digest: str) -> Path:
    """Move ``folder`` to ``checkpoints/<digest>`` in one rename.

    Where that checkpoint is there already it stays, and ``folder`` is dropped: equal digests are
    equal content.

    Raises ``StoreError`` where ``folder`` has no manifest, or another checkpoint's.
    """
    target = layout.checkpoints / digest_name(digest)
    if folder == target:
        return target
    if not (folder / MANIFEST_FILE).is_file():
        raise StoreError(f"a checkpoint without {MANIFEST_FILE}", file=folder)
    found = manifest_digest(folder)
    if found != digest:
        raise StoreError(f"a checkpoint with the digest {found}, not {digest}", file=folder)
    with storage_errors(layout.root, f"store checkpoint {digest[:12]}"):
        if not publish_folder(folder, target):
            shutil.rmtree(folder, ignore_errors=True)
    return target


def manifest_digest(folder: Path) -> str | None:
    """The digest that a checkpoint's manifest states; None where it states none."""
    value = read_json(folder / MANIFEST_FILE)
    digest = value.get("digest") if isinstance(value, dict) else None
    return digest if isinstance(digest, str) else None


def checkpoint(layout: Layout, digest: str) -> Path | None:
    """The folder of a checkpoint in the store, or None."""
    folder = layout.checkpoints / digest_name(digest)
    return folder if (folder / MANIFEST_FILE).is_file() else None


def discard_checkpoint(layout: Layout, digest: str) -> None:
    """Remove a checkpoint, so that it is made again."""
    layout.discard(layout.checkpoints / digest_name(digest))


def journal_path(layout: Layout, digest: str) -> Path:
    """The journal of a checkpoint's responses; its folder is there."""
    return _folder(layout, layout.journal) / f"{digest_name(digest)}.journal"


def state_folder(layout: Layout, key: str) -> Path:
    """A folder for training states that a later process resumes from."""
    return _folder(layout, layout.states / safe_name(key, "stage key"))


def _folder(layout: Layout, folder: Path) -> Path:
    layout.create()
    with storage_errors(layout.root, f"create {folder.name}"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder

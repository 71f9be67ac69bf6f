"""The checkpoints of a store: a folder each, named by the digest of what it holds."""

from __future__ import annotations

import shutil
from pathlib import Path

from steelyard.harness.errors import StoreError
from steelyard.harness.store.atomic import publish_folder, read_json, storage_errors
from steelyard.harness.store.layout import Layout, digest_name, safe_name

MANIFEST_FILE = "manifest.json"


class CheckpointFolders:
    """Checkpoints by digest."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def get(self, digest: str) -> Path | None:
        """The folder of the checkpoint ``digest``; None where it is not in the store."""
        folder = self.path(digest)
        return folder if (folder / MANIFEST_FILE).is_file() else None

    def path(self, digest: str) -> Path:
        """Where a checkpoint of this digest lies, or will lie."""
        return self._layout.checkpoints / digest_name(digest)

    def new_folder(self, key: str) -> Path:
        """An empty folder, private to this process, that vanishes if the process dies."""
        folder = self._layout.scratch(f"{safe_name(key, 'stage key')}-")
        with storage_errors(self._layout.root, "create a checkpoint folder"):
            folder.mkdir()
        return folder

    def adopt(self, folder: Path, digest: str) -> Path:
        """Move a finished checkpoint to its place in one rename.

        Where it is there already it stays, and ``folder`` is dropped: equal digests are equal
        content.

        Raises ``StoreError`` where ``folder`` has no manifest, or another checkpoint's.
        """
        target = self.path(digest)
        if folder == target:
            return target
        if not (folder / MANIFEST_FILE).is_file():
            raise StoreError(f"a checkpoint without {MANIFEST_FILE}", file=folder)
        stated = manifest_digest(folder)
        if stated != digest:
            raise StoreError(f"a checkpoint with the digest {stated}, not {digest}", file=folder)
        with storage_errors(self._layout.root, f"store checkpoint {digest[:12]}"):
            if not publish_folder(folder, target):
                shutil.rmtree(folder, ignore_errors=True)
        return target

    def discard(self, digest: str) -> None:
        """Remove a checkpoint (a damaged one, say), so that it is made again."""
        self._layout.discard(self.path(digest))


def manifest_digest(folder: Path) -> str | None:
    """The digest that a checkpoint's manifest states; None where it states none."""
    value = read_json(folder / MANIFEST_FILE)
    digest = value.get("digest") if isinstance(value, dict) else None
    return digest if isinstance(digest, str) else None

"""Opens a store by its address: a folder of this machine, or a database shared by many."""

from __future__ import annotations

import os
from pathlib import Path

from steelyard.harness.errors import StoreError
from steelyard.harness.files.old_names import workspace_at
from steelyard.harness.store.folder import FolderStore, folder_store
from steelyard.harness.store.layout import Layout
from steelyard.harness.store.shared import open_shared

#: Where a store that many machines share is named, for this process and its workers.
STORE_VARIABLE = "STEELYARD_STORE"


def is_there(root: Path) -> bool:
    """Whether there is a store to read: a workspace folder, or ``STEELYARD_STORE``'s."""
    return bool(os.environ.get(STORE_VARIABLE)) or workspace_at(root).is_dir()


def open_store(root: Path, url: str | None = None, *, exact: bool = False) -> FolderStore:
    """The store in ``root``, which is made with the first write.

    A workspace of the project's old name that lies where ``root`` would is used, unless the very
    folder is meant (``exact``).

    Where ``url`` (left out: the environment's ``STEELYARD_STORE``; empty: none) names a database,
    the store is the one that machines share there, and ``root`` holds its cache.

    Temporary files of processes that are gone are removed.

    Raises ``StoreError`` where ``root`` is a file.
    """
    root = Path(root) if exact else workspace_at(Path(root))
    if url is None:
        url = os.environ.get(STORE_VARIABLE)
    if url:
        return open_shared(root, url)
    root = root.absolute()
    if root.exists() and not root.is_dir():
        raise StoreError("the workspace is a file", file=root, fix="name a folder")
    layout = Layout(root)
    layout.clean()
    return folder_store(layout)

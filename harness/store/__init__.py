"""The workspace: run folders are the truth, the index is a rebuildable convenience."""

from harness.store.folder import FolderStore, RunSummary, open_store

__all__ = ["FolderStore", "RunSummary", "open_store"]

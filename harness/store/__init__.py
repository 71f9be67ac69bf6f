"""The workspace: run folders are the truth, the index is a rebuildable convenience.

A store that machines share (``shared``) keeps both in places that every machine reaches.
"""

from steelyard.harness.store.folder import FolderStore, RunSummary
from steelyard.harness.store.opening import STORE_VARIABLE, is_there, open_store

__all__ = ["STORE_VARIABLE", "FolderStore", "RunSummary", "is_there", "open_store"]

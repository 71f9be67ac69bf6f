"""The workspace: run folders are the truth, the index is a rebuildable convenience.

``Store`` is what comparing, judging and reporting ask of one; ``FolderStore`` has parts for the
rest. A store that machines share (``shared``) keeps both in places that every machine reaches.
"""

from steelyard.harness.store.atomic import whole_text
from steelyard.harness.store.copying import copy_runs
from steelyard.harness.store.current import Attempt, GateAttempt, GateAttempts
from steelyard.harness.store.folder import FolderStore
from steelyard.harness.store.index import RunSummary
from steelyard.harness.store.opening import STORE_VARIABLE, is_there, open_store
from steelyard.harness.store.protocol import Store
from steelyard.harness.store.urls import is_url

__all__ = [
    "STORE_VARIABLE",
    "Attempt",
    "FolderStore",
    "GateAttempt",
    "GateAttempts",
    "RunSummary",
    "Store",
    "copy_runs",
    "is_there",
    "is_url",
    "open_store",
    "whole_text",
]

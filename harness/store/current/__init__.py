"""Which run of a candidate is its current one: recorded when it is stored, never told by a date."""

from steelyard.harness.store.current.attempt import Attempt
from steelyard.harness.store.current.current_runs import CurrentRuns
from steelyard.harness.store.current.documents import Documents, FolderDocuments
from steelyard.harness.store.current.gate_attempts import GateAttempt, GateAttempts

__all__ = ["Attempt", "CurrentRuns", "Documents", "FolderDocuments", "GateAttempt", "GateAttempts"]

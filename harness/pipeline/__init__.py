"""An experiment as a graph of content-addressed stages.

A stage is named when it is planned (``train lora``, ``score lora 2/4``) and keyed when it is
carried out, because its key holds the digests of what came before it: recipe, code version, data,
parents' digests, seed. What exists under its key is not done again, on whatever machine; results
travel through the store and a stage returns only under which name they lie there.

Checks belong to training: what they find stands in the checkpoint's manifest, which is written
once. Comparing, judging and reporting need every run at hand and take seconds: they follow the
graph in the process that drives it.
"""

from steelyard.harness.pipeline.events import Event, Listener, no_listener
from steelyard.harness.pipeline.executors.executor import Executor
from steelyard.harness.pipeline.graph import plan
from steelyard.harness.pipeline.pipeline import Outcome, Pipeline
from steelyard.harness.pipeline.stage import Stage, StageBusyError, StageOutcome
from steelyard.harness.pipeline.worker import Worker, Workplace

# What scores (``score``, ``noise``, ``early``) loads pandas and is imported by its module, so that
# a process that only hands stages on does not.
__all__ = [
    "Event",
    "Executor",
    "Listener",
    "Outcome",
    "Pipeline",
    "Stage",
    "StageBusyError",
    "StageOutcome",
    "Worker",
    "Workplace",
    "no_listener",
    "plan",
]

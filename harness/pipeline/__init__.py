"""An experiment as a graph of content-addressed stages.

A stage is named when it is planned (``train lora``, ``score lora 2/4``) and keyed when it is
carried out, because its key holds the digests of what came before it: recipe, code version, data,
parents' digests, seed. What exists under its key is not done again, on whatever machine; results
travel through the store and a stage returns only under which name they lie there.

Checks belong to training: what they find stands in the checkpoint's manifest, which is written
once. Comparing, judging and reporting need every run at hand and take seconds: they follow the
graph in the process that drives it.
"""

from typing import TYPE_CHECKING

from steelyard.harness import lazy_names
from steelyard.harness.pipeline.graph import plan
from steelyard.harness.pipeline.pipeline import Outcome, Pipeline

if TYPE_CHECKING:
    from steelyard.harness.pipeline.early import EarlyResult, comparable_part, decide_early
    from steelyard.harness.pipeline.estimate import (
        CandidatePlan,
        Cost,
        Planner,
        read_saved,
        write_saved,
    )
    from steelyard.harness.pipeline.events import Event, Listener, no_listener
    from steelyard.harness.pipeline.executors.executor import Executor
    from steelyard.harness.pipeline.executors.inline import Inline
    from steelyard.harness.pipeline.noise import NoiseStage
    from steelyard.harness.pipeline.score import ScoreStage
    from steelyard.harness.pipeline.stage import Stage, StageBusyError, StageOutcome
    from steelyard.harness.pipeline.worker import Worker, Workplace
else:
    # These load numbers' libraries: imported when they are first used.
    __getattr__ = lazy_names(
        __name__,
        {
            "early": ["EarlyResult", "comparable_part", "decide_early"],
            "estimate": ["CandidatePlan", "Cost", "Planner", "read_saved", "write_saved"],
            "events": ["Event", "Listener", "no_listener"],
            "executors.executor": ["Executor"],
            "executors.inline": ["Inline"],
            "noise": ["NoiseStage"],
            "score": ["ScoreStage"],
            "stage": ["Stage", "StageBusyError", "StageOutcome"],
            "worker": ["Worker", "Workplace"],
        },
    )

__all__ = [
    "CandidatePlan",
    "Cost",
    "EarlyResult",
    "Event",
    "Executor",
    "Inline",
    "Listener",
    "NoiseStage",
    "Outcome",
    "Pipeline",
    "Planner",
    "ScoreStage",
    "Stage",
    "StageBusyError",
    "StageOutcome",
    "Worker",
    "Workplace",
    "comparable_part",
    "decide_early",
    "no_listener",
    "plan",
    "read_saved",
    "write_saved",
]

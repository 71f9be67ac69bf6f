"""Scores chosen samples of a suite, so that a gate may stop before the suite's end.

A sample is asked exactly as a full run asks it and has the same id, so its row pairs with a
baseline's and agrees with a full run's (within the scorer's stated bound: samples share batches
with others).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from steelyard.harness.errors import ScoringError
from steelyard.harness.evaluation.evaluating import Evaluation, evaluate_task, signature_of
from steelyard.harness.evaluation.questions import Questions
from steelyard.harness.records import Checkpoint, TaskSignature
from steelyard.harness.scoring import Scorer, as_scorer
from steelyard.harness.suites import BuiltTask, with_documents

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM


@dataclass
class PartEvaluation(Questions):
    """One checkpoint, opened as ``lm``, and the suite that it can be asked piece by piece."""

    lm: LM | Scorer
    checkpoint: Checkpoint

    @cached_property
    def scorer(self) -> Scorer:
        """The opened model."""
        return as_scorer(self.lm)

    @cached_property
    def signatures(self) -> tuple[TaskSignature, ...]:
        """Under what each task will be scored."""
        requests = self.built.requests(self.scorer)
        return tuple(
            signature_of(self.scorer, self.built, task, self.checkpoint, requests[task.name])
            for task in self.built.tasks
        )

    def score(self, task: str, ids: Sequence[str]) -> Evaluation:
        """Score the samples ``ids`` of ``task``; its scores are those of the part.

        Raises ``ScoringError`` where the task fails or an id is not among its samples.
        """
        place = self._places[task]
        unknown = [id for id in ids if id not in place]
        if unknown:
            raise ScoringError(f"task '{task}' has no sample '{unknown[0]}'")
        chosen = sorted(place[id] for id in ids)
        names = [self.sample_ids[task][i] for i in chosen]
        part = _part(self._tasks[task], chosen)
        requests = self._renumbered(task, chosen)
        evaluation = evaluate_task(self.scorer, self.built, part, requests, self.checkpoint, names)
        for failure in evaluation.failures:
            raise ScoringError(f"{failure.stage}: {failure.message}")
        return evaluation

    def whole(self, tasks: Sequence[str]) -> Evaluation:
        """Score all samples of ``tasks``."""
        evaluation = Evaluation()
        for task in tasks:
            evaluation = evaluation.merged(self.score(task, self.sample_ids[task]))
        return evaluation

    @cached_property
    def _tasks(self) -> Mapping[str, BuiltTask]:
        return {task.name: task for task in self.built.tasks}

    @cached_property
    def _places(self) -> Mapping[str, Mapping[str, int]]:
        return {t: {id: i for i, id in enumerate(ids)} for t, ids in self.sample_ids.items()}

    def _renumbered(self, task: str, chosen: Sequence[int]) -> list[Instance]:
        """Fresh requests of the chosen documents, numbered as lm-eval will count them."""
        return [
            replace(
                request,
                metadata=(request.task_name, number, request.repeats),
                resps=[],
                filtered_resps={},
            )
            for number, position in enumerate(chosen)
            for request in self._requests[task][position]
        ]


def _part(built: BuiltTask, chosen: Sequence[int]) -> BuiltTask:
    """The task with the chosen documents only; the whole one is left as it was."""
    part = with_documents(built, [built.documents[i] for i in chosen])
    return replace(part, whole=built.whole or built)

"""What a suite asks, document by document, before any model has answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from steelyard.harness.evaluation.answers import json_document, question_of
from steelyard.harness.records import SampleRecord
from steelyard.harness.scoring import Scorer
from steelyard.harness.suites import BuiltSuite, BuiltTask, sample_ids

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM


@dataclass
class Questions:
    """A suite's samples without answers, and the requests behind them; built at the first use."""

    lm: LM | Scorer | None
    """In whose chat template the questions stand; None will do where the suite applies none."""
    built: BuiltSuite

    @cached_property
    def sample_ids(self) -> Mapping[str, tuple[str, ...]]:
        """The ids of all samples by task, in the documents' order."""
        return {task: tuple(s.sample_id for s in asked) for task, asked in self._questions.items()}

    @cached_property
    def samples(self) -> Mapping[tuple[str, str], SampleRecord]:
        """Every sample as it will be asked, without an answer: slices and clusters."""
        return {(s.task, s.sample_id): s for asked in self._questions.values() for s in asked}

    def questions(self, task: str) -> list[SampleRecord]:
        """What ``task`` asks, without answers, in the documents' order."""
        return self._questions[task]

    def requests_of(self, task: str) -> list[list[Instance]]:
        """The requests of each document of ``task``, in the documents' order."""
        return [self._requests[task][i] for i in range(len(self._questions[task]))]

    @cached_property
    def _requests(self) -> Mapping[str, Mapping[int, list[Instance]]]:
        """Requests by task and position of their document."""
        grouped: dict[str, dict[int, list[Instance]]] = {}
        for task, requests in self.built.requests(self.lm).items():
            by_document = grouped.setdefault(task, {})
            for request in requests:
                assert request.doc_id is not None
                by_document.setdefault(request.doc_id, []).append(request)
        return grouped

    @cached_property
    def _questions(self) -> Mapping[str, list[SampleRecord]]:
        return {task.name: self._asked(task) for task in self.built.tasks}

    def _asked(self, built: BuiltTask) -> list[SampleRecord]:
        task, meta = built.task, built.metadata
        asked = []
        for position, document in enumerate(task.eval_docs):
            requests = sorted(self._requests[built.name][position], key=lambda r: r.idx)
            arguments = [request.args for request in requests]
            prompt, target = question_of(built, document, arguments, task.doc_to_target(document))
            asked.append((document, prompt, target))
        return [
            SampleRecord(
                task=built.name,
                sample_id=sample_id,
                prompt=prompt,
                target=target,
                responses=(),
                document=json_document(document),
                slices=meta.slices_of(document),
                cluster=meta.cluster_of(document),
            )
            for (document, prompt, target), sample_id in zip(asked, sample_ids(asked), strict=True)
        ]

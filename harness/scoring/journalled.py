"""Gives any lm-eval model a journal, packs and a progress bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lm_eval.api.model import LM

from steelyard.harness.files.old_names import with_old_backend
from steelyard.harness.scoring.encoding import Encoder
from steelyard.harness.scoring.journal import Answer, Journal, digest
from steelyard.harness.scoring.opened import OpenedLM
from steelyard.harness.scoring.plans import Plan, by_text, share_of
from steelyard.harness.scoring.progress import Report
from steelyard.harness.scoring.requests import Request, as_requests
from steelyard.harness.scoring.viewed import ViewedLM

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance


class JournalledLM(ViewedLM):
    """An lm-eval model that asks ``inner`` only for what the journal does not have.

    Args:
        inner: the model that scores.
        settings: JSON of everything beside the checkpoint that changes a response (backend, dtype,
            maximum length, ...); it enters the journal's keys.
        journal: where responses stay; None drops them.
        report: told about progress; None shows a bar on a terminal and nothing elsewhere.
    """

    def __init__(
        self,
        inner: LM,
        settings: Mapping[str, object],
        journal: Journal | None = None,
        report: Report | None = None,
    ) -> None:
        super().__init__(inner, settings, report)
        self.journal = journal
        self._opened = inner if isinstance(inner, OpenedLM) else None
        checkpoint = "" if journal is None else journal.checkpoint_digest
        # An old journal's keys hold the backend's old name, under which its answers are found.
        old = journal is not None and journal.is_old
        self._scope = digest(checkpoint, with_old_backend(self.settings) if old else self.settings)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """``(log-likelihood in nats, greedy)`` for each ``(context, continuation)``."""
        return [_as_pair(answer) for answer in self._answer(requests)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """The log-likelihood in nats of each whole text."""
        return [_as_number(answer) for answer in self._answer(requests)]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """The continuation of each ``(context, generation settings)``."""
        return [str(answer) for answer in self._answer(requests)]

    def scoring_record(self) -> dict[str, object]:
        """JSON of how this model scores and what happened, for the record of a run."""
        if self._opened is None:
            encoder = getattr(self.inner, "encoder", None)
            notes = sorted(encoder.notes.values()) if isinstance(encoder, Encoder) else []
            return super().scoring_record() | ({"notes": notes} if notes else {})
        own = self._opened.scoring_record()
        return super().scoring_record() | own

    def fill(self, instances: Sequence[Instance], share: tuple[int, int]) -> int:
        """Run only shard ``share[0]`` of ``share[1]`` and write its packs to the journal.

        Packs are cut as for a whole call and run as in one, so a later whole call over the same
        ``instances`` finds them and gives the same bits. Returns how many packs the shard has.
        """
        requests = as_requests(instances)
        if not requests:
            return 0
        plan = self._plan(requests, instances)
        mine = share_of(plan.packs, share)
        with self.progress.ask(sum(len(plan.packs[number]) for number in mine)) as progress:
            for number in mine:
                _, tokens = self._answer_pack(plan, number, requests)
                progress.advance(len(plan.packs[number]), tokens)
        return len(mine)

    def _answer(self, instances: Sequence[Instance]) -> Sequence[Answer]:
        requests = as_requests(instances)
        if not requests:
            return []
        # A call that was answered to its end is found as a whole, without encoding a text.
        name = f"answers/{digest(self._scope, [request.digest for request in requests])}"
        answers = self._remembered(name, len(requests))
        if answers is None:
            answers = self._scored(requests, instances)
            self._remember(name, answers)
        return answers

    def _remembered(self, name: str, count: int) -> list[Answer] | None:
        call = None if self.journal is None else self.journal.settled(name)
        if not isinstance(call, dict):
            return None
        if self._opened is not None:
            self._opened.events.notes |= call["notes"]
        with self.progress.ask(count) as progress:
            progress.advance(count)
        answers: list[Answer] = call["answers"]
        return answers

    def _remember(self, name: str, answers: Sequence[Answer]) -> None:
        if self.journal is not None:
            notes = {} if self._opened is None else self._opened.events.notes
            self.journal.settle(name, {"answers": answers, "notes": notes})

    def _scored(self, requests: Sequence[Request], instances: Sequence[Instance]) -> list[Answer]:
        """The response to each request, pack by pack, from the journal or from the model."""
        parts: list[dict[int, Answer]] = [{} for _ in requests]
        plan = self._plan(requests, instances)
        left = [0] * len(requests)
        for index, _ in (ask for pack in plan.packs for ask in pack):
            left[index] += 1
        with self.progress.ask(len(requests)) as progress:
            progress.advance(left.count(0))
            for number, pack in enumerate(plan.packs):
                answers, tokens = self._answer_pack(plan, number, requests)
                for (index, part), answer in zip(pack, answers, strict=True):
                    parts[index][part] = answer
                    left[index] -= 1
                progress.advance(len({index for index, _ in pack if left[index] == 0}), tokens)
        # In the order of the windows, whatever order the packs came in: a sum of floats has one.
        return [plan.finish([own[part] for part in sorted(own)]) for own in parts]

    def _plan(self, requests: Sequence[Request], instances: Sequence[Instance]) -> Plan:
        if self._opened is None:
            return by_text(self.inner, requests, instances)
        self._opened.encoder.note_marks(requests)
        self._opened.events.notes |= self._opened.encoder.notes
        budget = self._opened.budget
        if self.journal is not None:
            # Free memory differs from day to day, and a resumed run must cut the same packs.
            budget = int(self.journal.settle(f"tokens_per_batch/{self._scope}", budget))
        return self._opened.plan(requests[0].kind, requests, budget)

    def _answer_pack(
        self, plan: Plan, number: int, requests: Sequence[Request]
    ) -> tuple[Sequence[Answer], int]:
        if self.journal is None:
            return plan.run(number)
        asked = [f"{requests[index].digest}/{part}" for index, part in plan.packs[number]]
        key = digest(self._scope, asked)
        self.journal.refresh()
        earlier = self.journal.pack(key)
        if earlier is not None:
            return earlier, 0
        answers, tokens = plan.run(number)
        self.journal.append(key, asked, answers)
        # Where another process was first, its bits stand, in this run as in every later one.
        return self.journal.pack(key) or answers, tokens


def _as_pair(answer: Answer) -> tuple[float, bool]:
    assert isinstance(answer, list)
    value, greedy = answer
    return float(value), bool(greedy)


def _as_number(answer: Answer) -> float:
    assert not isinstance(answer, (str, list))
    return float(answer)

"""Gives any lm-eval model a journal, packs and a progress bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import LM

from steelyard.harness.files.old_names import with_old_backend
from steelyard.harness.scoring.journal import Journal, digest
from steelyard.harness.scoring.plans import Plan, by_text, share_of
from steelyard.harness.scoring.progress import ProgressMeter, Report
from steelyard.harness.scoring.requests import Request, as_requests

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance


class JournalledLM(LM):
    """An lm-eval model that asks ``inner`` only for what the journal does not have.

    Args:
        inner: the model that scores.
        settings: JSON of everything beside the checkpoint that changes a response (backend, dtype,
            maximum length, ...); it enters the journal's keys.
        journal: where responses are kept; None keeps none.
        report: told about progress; None shows a bar on a terminal and nothing elsewhere.
    """

    def __init__(
        self,
        inner: LM,
        settings: dict[str, Any],
        journal: Journal | None = None,
        report: Report | None = None,
    ) -> None:
        super().__init__()
        self.inner = inner
        self.settings = settings
        self.journal = journal
        self.progress = ProgressMeter(report)
        self._device = inner.device
        self._rank = inner.rank
        self._world_size = inner.world_size
        checkpoint = "" if journal is None else journal.checkpoint_digest
        # An old journal's keys hold the backend's old name, under which its answers are found.
        old = journal is not None and journal.is_old
        self._scope = digest(checkpoint, with_old_backend(settings) if old else settings)

    def __getattr__(self, name: str) -> Any:
        """The tokenizer, the model, ``max_length`` and the rest are the inner model's."""
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """``(log-likelihood in nats, greedy)`` for each ``(context, continuation)``."""
        return [(float(value), bool(greedy)) for value, greedy in self._answer(requests)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """The log-likelihood in nats of each whole text."""
        return [float(value) for value in self._answer(requests)]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """The continuation of each ``(context, generation settings)``."""
        return [str(text) for text in self._answer(requests)]

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The chat as one string, by the inner model's template."""
        chat: str = self.inner.apply_chat_template(chat_history, add_generation_prompt)
        return chat

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The inner model's chat template."""
        template: str | None = self.inner.chat_template(chat_template)
        return template

    @property
    def tokenizer_name(self) -> str:
        """The inner model's tokenizer name, which keys lm-eval's own caches."""
        return str(self.inner.tokenizer_name)

    def get_model_info(self) -> dict[str, Any]:
        """What lm-eval writes into its results about the model; asks no hub."""
        return dict(self.settings)

    def scoring_record(self) -> dict[str, Any]:
        """JSON of how this model scores and what happened, for the record of a run."""
        own = getattr(self.inner, "scoring_record", None)
        return dict(self.settings) | (own() if own is not None else {})

    def fill(self, instances: Sequence[Instance], share: tuple[int, int]) -> int:
        """Run only shard ``share[0]`` of ``share[1]`` and keep its packs in the journal.

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

    def _answer(self, instances: Sequence[Instance]) -> list[Any]:
        requests = as_requests(instances)
        if not requests:
            return []
        # A call that was answered to its end is found as a whole, without encoding a text.
        name = f"answers/{digest(self._scope, [request.digest for request in requests])}"
        answers = self._known(name, len(requests))
        if answers is None:
            answers = self._scored(requests, instances)
            self._keep(name, answers)
        return answers

    def _known(self, name: str, count: int) -> list[Any] | None:
        found = None if self.journal is None else self.journal.settled(name)
        if found is None:
            return None
        events = getattr(self.inner, "events", None)
        if events is not None:
            events.notes |= found["notes"]
        with self.progress.ask(count) as progress:
            progress.advance(count)
        answers: list[Any] = found["answers"]
        return answers

    def _keep(self, name: str, answers: list[Any]) -> None:
        if self.journal is not None:
            events = getattr(self.inner, "events", None)
            notes = {} if events is None else events.notes
            self.journal.settle(name, {"answers": answers, "notes": notes})

    def _scored(self, requests: Sequence[Request], instances: Sequence[Instance]) -> list[Any]:
        """The response to each request, pack by pack, from the journal or from the model."""
        parts: list[dict[int, Any]] = [{} for _ in requests]
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
        return [plan.finish([found[part] for part in sorted(found)]) for found in parts]

    def _plan(self, requests: Sequence[Request], instances: Sequence[Instance]) -> Plan:
        own = getattr(self.inner, "plan", None)
        if own is None:
            return by_text(self.inner, requests, instances)
        budget = int(self.inner.budget)
        if self.journal is not None:
            budget = int(self.journal.settle(f"tokens_per_batch/{self._scope}", budget))
        plan: Plan = own(requests[0].kind, requests, budget)
        return plan

    def _answer_pack(
        self, plan: Plan, number: int, requests: Sequence[Request]
    ) -> tuple[list[Any], int]:
        if self.journal is None:
            return plan.run(number)
        asked = [f"{requests[index].digest}/{part}" for index, part in plan.packs[number]]
        key = digest(self._scope, asked)
        self.journal.refresh()
        known = self.journal.pack(key)
        if known is not None:
            return known, 0
        answers, tokens = plan.run(number)
        self.journal.append(key, asked, answers)
        # Where another process was first, its bits stand, in this run as in every later one.
        return self.journal.pack(key) or answers, tokens

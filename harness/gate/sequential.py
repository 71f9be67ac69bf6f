"""Early decision: which samples to score next, and when every blocking rule is decided.

    decision = EarlyDecision(gate, baseline, candidate_run, sample_ids)
    while (chunk := decision.next_chunk()) is not None:
        decision.update(chunk, score(chunk.task, chunk.sample_ids))    # rows of the task's metrics
    full = score_whole(decision.outstanding)                           # often nothing
    outcome = decision.outcome(full)

The order of the samples is committed before the first is scored. What was scored stays valid for
a later full run: the same rows of the same samples. What cannot be compared is said before
anything is spent.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from steelyard.harness.compare import Scored, TaskPair, inspect_run, pair, pair_task, part_of
from steelyard.harness.errors import Collected, ConfigError, ScoringError
from steelyard.harness.files import digest_json
from steelyard.harness.gate.contaminated import check_waivers, doubted, stands
from steelyard.harness.gate.corrections import holm_corrected
from steelyard.harness.gate.costs import TIMED, judge_cost
from steelyard.harness.gate.findings import Finding, not_comparable, undecided
from steelyard.harness.gate.hypotheses import Hypothesis, Selection
from steelyard.harness.gate.judging import (
    concluded,
    findings_of,
    integrity,
    lost_evidence,
)
from steelyard.harness.gate.margins import check_bounds
from steelyard.harness.gate.planned_run import planned_run
from steelyard.harness.gate.policy import Gate, Rule
from steelyard.harness.gate.tracks import Track, committed_order, unfit
from steelyard.harness.records import Rows, Run, SampleRecord, Verdict

#: Fewer samples at once waste the batch that they share.
MIN_CHUNK_ITEMS = 16


@dataclass(frozen=True)
class Chunk:
    """The next work: these samples of this task, whole clusters in the committed order."""

    task: str
    clusters: tuple[tuple[str, ...], ...]

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """The samples to score."""
        return tuple(id for cluster in self.clusters for id in cluster)


@dataclass(frozen=True)
class EarlyOutcome:
    """The verdict and what it cost; ``used`` and ``total`` count samples by task."""

    verdict: Verdict
    used: Mapping[str, int]
    total: Mapping[str, int]

    @property
    def saved_items(self) -> int:
        """Samples that nobody had to score."""
        return sum(self.total.values()) - sum(self.used.values())

    def saved(self, spent: Mapping[str, float]) -> float | None:
        """What the unscored samples would have cost, in the unit of ``spent`` (cost by task).

        A task's samples are priced at its own mean, those of a task that was never asked at the
        mean of the rest; None where nothing was scored.
        """
        used = sum(self.used.values())
        if not used:
            return None
        mean = sum(spent.values()) / used
        return sum(
            (self.total[task] - taken) * (spent.get(task, 0.0) / taken if taken else mean)
            for task, taken in self.used.items()
        )


class EarlyDecision:
    """Decides a gate on one candidate while it is being scored.

    ``candidate`` is its run as far as it is known beforehand: checkpoint, environment, signatures
    and what of the suite it was trained on. ``sample_ids`` are the samples that its tasks will ask,
    by task; ``samples`` carry the slices where the baseline keeps none. With ``stop_at_failure``
    the first blocking rule that fails ends it.

    Raises ``ConfigError`` as ``steelyard.harness.gate.judge`` does.
    """

    def __init__(
        self,
        gate: Gate,
        baseline: Scored,
        candidate: Run,
        sample_ids: Mapping[str, Sequence[str]],
        *,
        samples: Mapping[tuple[str, str], SampleRecord] | None = None,
        chunk_items: int = 64,
        stop_at_failure: bool = True,
    ) -> None:
        _require_no_timed_cost(gate)
        self.gate, self.baseline = gate, baseline
        self.chunk_items, self.stop_at_failure = chunk_items, stop_at_failure
        planned = planned_run(baseline, candidate, sample_ids, samples)
        self.candidate = candidate
        check_waivers(gate, {*baseline.tasks, *sample_ids})
        run_problems = inspect_run(baseline.run, candidate)
        pairs = [pair_task(baseline, planned, task, run_problems) for task in baseline.tasks]
        selection = Selection(baseline, planned, pairs)
        self.hypotheses = _selected(gate, selection)
        only = [hypothesis for _, hypothesis in self.hypotheses]
        self.lost = lost_evidence(gate, pairs, run_problems, only)
        family = len({(h.task, h.metric, h.slice) for h in only if _blocks(h) and _is_test(h)})
        self.tracks = [
            Track(h, gate.claim_of(h.rule), gate.alpha, family)
            for h in only
            if h.problem is None and unfit(h) is None
        ]
        self.orders = {p.task: self._order(p, planned) for p in pairs if p.task in sample_ids}
        self._taken = dict.fromkeys(self.orders, 0)
        self._faults: dict[tuple[str, str], str] = {}

    def _order(self, pair: TaskPair, planned: Scored) -> tuple[tuple[str, ...], ...]:
        clusters: dict[str, str] = {}
        for metric in pair.metrics:
            rows = planned.rows.get((pair.task, metric))
            if rows is not None:
                named = zip(rows.sample_ids, rows.clusters, strict=True)
                clusters |= {id: id if name is None else f"cluster {name}" for id, name in named}
        parts = (pair.task, self._baseline_content, self.candidate.checkpoint.digest)
        return committed_order(tuple(clusters), tuple(clusters.values()), " ".join(parts))

    @cached_property
    def _baseline_content(self) -> str:
        """Digest of all that the baseline says of itself, its times and energies included.

        That is the salt of the order, committed with the baseline file: nothing in a policy, no
        name and no seed changes it, so an order cannot be tried until one passes.
        """
        return digest_json(self.baseline.run.model_dump(mode="json"))

    @property
    def commitment(self) -> str:
        """SHA-256 of the order of all samples: to be told before the first is scored."""
        lines = [
            " ".join([task, *(id for cluster in order for id in cluster)])
            for task, order in sorted(self.orders.items())
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    # --- work -------------------------------------------------------------------------------

    def next_chunk(self) -> Chunk | None:
        """The samples whose scoring decides most rules soonest; None when none is open."""
        if self._stopped():
            return None
        rates: dict[str, float] = {}
        for track in self.tracks:
            if _blocks(track.hypothesis) and track.open and self._left(track.hypothesis.task):
                # Rules decided per sample: a task that serves several open rules comes first.
                task = track.hypothesis.task
                rates[task] = rates.get(task, 0.0) + 1 / track.expected_items()
        return self._cut(max(sorted(rates), key=rates.__getitem__)) if rates else None

    @property
    def outstanding(self) -> tuple[str, ...]:
        """Tasks that must be scored whole, because a blocking rule there cannot stop early."""
        if self._stopped():
            return ()
        early = {id(track.hypothesis) for track in self.tracks if track.refused is None}
        return tuple(
            dict.fromkeys(h.task for _, h in self.hypotheses if _blocks(h) and id(h) not in early)
        )

    def _stopped(self) -> bool:
        if self.lost or any(_blocks(h) and self._void(h) for _, h in self.hypotheses):
            return True
        return self.stop_at_failure and any(
            track.decided == "fail" and _blocks(track.hypothesis) for track in self.tracks
        )

    def _problem(self, hypothesis: Hypothesis) -> str | None:
        key = (hypothesis.task, hypothesis.metric)
        return hypothesis.problem or self._faults.get(key)

    def _void(self, hypothesis: Hypothesis) -> bool:
        """Whether no sample can decide it any more."""
        return self._problem(hypothesis) is not None or not stands(
            self.gate, self.candidate, hypothesis.task, hypothesis.slice
        )

    def _left(self, task: str) -> bool:
        return self._taken.get(task, 0) < len(self.orders.get(task, ()))

    def _cut(self, task: str) -> Chunk:
        start = stop = self._taken[task]
        items = 0
        # A short task is looked at more often: a chunk is at most a tenth of it.
        share = math.ceil(sum(map(len, self.orders[task])) / 10)
        wanted = min(self.chunk_items, max(share, MIN_CHUNK_ITEMS))
        while stop < len(self.orders[task]) and items < wanted:
            items += len(self.orders[task][stop])
            stop += 1
        return Chunk(task, self.orders[task][start:stop])

    def update(self, chunk: Chunk, rows: Sequence[Rows]) -> None:
        """Take the rows of ``chunk``; rows that are missing, unscored or not finite are faults.

        Raises ``ScoringError`` where the chunk is not the next one of its task.
        """
        start = self._taken[chunk.task]
        stop = start + len(chunk.clusters)
        if self.orders[chunk.task][start:stop] != chunk.clusters:
            raise ScoringError(f"task '{chunk.task}': rows out of the committed order")
        self._taken[chunk.task] = stop
        by_metric = {held.metric: held for held in rows if held.task == chunk.task}
        for track in self.tracks:
            hypothesis = track.hypothesis
            if hypothesis.task != chunk.task:
                continue
            held = by_metric.get(hypothesis.metric)
            fault = self._fault(chunk, hypothesis.metric, held)
            if fault is not None:
                self._faults[chunk.task, hypothesis.metric] = fault
            elif held is not None:
                track.update(chunk.clusters, dict(zip(held.sample_ids, held.values, strict=True)))

    def _fault(self, chunk: Chunk, metric: str, held: Rows | None) -> str | None:
        """What a full comparison would object to in the chunk's rows."""
        before = self.baseline.rows.get((chunk.task, metric))
        if before is None or held is None:
            return f"{len(chunk.sample_ids)} samples asked for came back without a row"
        _, problems = pair(part_of(before, chunk.sample_ids), held)
        return "; ".join(problem.text for problem in problems) or None

    # --- the end ----------------------------------------------------------------------------

    def outcome(self, full: Scored | None = None) -> EarlyOutcome:
        """The verdict on what is known now, and how many samples it took.

        ``full`` is the candidate's run of the tasks that were scored whole.
        """
        whole = () if full is None else full.tasks
        findings = self._early(whole)
        if full is not None:
            findings += self._on_full_run(full)
        findings += [self._cost(rule) for rule in self.gate.rules if rule.is_cost]
        findings = holm_corrected(findings, self.gate.alpha)
        if self.lost:
            findings.insert(0, integrity(self.lost))
        used = {
            task: sum(map(len, order if task in whole else order[: self._taken[task]]))
            for task, order in self.orders.items()
        }
        total = {task: sum(map(len, order)) for task, order in self.orders.items()}
        verdict = concluded(findings, self.candidate.candidate, self.baseline.name, {})
        return EarlyOutcome(verdict, used, total)

    def _early(self, whole: Sequence[str]) -> list[Finding]:
        tracks = {id(track.hypothesis): track for track in self.tracks}
        findings = []
        for _, hypothesis in self.hypotheses:
            track = tracks.get(id(hypothesis))
            claim = self.gate.claim_of(hypothesis.rule)
            problem = self._problem(hypothesis)
            if problem is not None:
                findings.append(not_comparable(hypothesis, problem, claim))
            elif track is not None and track.refused is None:
                findings.append(_of_track(track))
            elif hypothesis.task not in whole:
                why = (track and track.refused) or unfit(hypothesis) or "it was not scored"
                findings.append(undecided(hypothesis, why, claim))
        return doubted(findings, self.gate, self.candidate)

    def _on_full_run(self, full: Scored) -> list[Finding]:
        """Rules that cannot stop early, held against the tasks that were scored whole."""
        early = {id(t.hypothesis) for t in self.tracks if t.refused is None}
        rules = {i for i, h in self.hypotheses if id(h) not in early and h.task in full.tasks}
        baseline = Scored(
            self.baseline.run.model_copy(
                update={
                    "scores": tuple(s for s in self.baseline.run.scores if s.task in full.tasks)
                }
            ),
            {key: rows for key, rows in self.baseline.rows.items() if key[0] in full.tasks},
            self.baseline.samples,
        )
        decided = {
            (h.rule, h.task, h.metric, h.slice) for _, h in self.hypotheses if id(h) in early
        }
        chosen = [self.gate.rules[i] for i in sorted(rules)]
        gate = self.gate.model_copy(update={"rules": tuple(chosen)})
        pairs = [pair_task(baseline, full, task) for task in baseline.tasks]
        findings, _ = findings_of(gate, baseline, full, pairs)
        return [f for f in findings if (f.rule, f.task, f.metric, f.slice) not in decided]

    def _cost(self, rule: Rule) -> Finding:
        if rule.metric in TIMED:
            why = f"{rule.label}: known only after a full run: not judged"
            return Finding(rule, rule.label, "inconclusive", why, "benchmark", advisory=True)
        return judge_cost(rule, self.gate, self.baseline.run, self.candidate)


def _selected(gate: Gate, selection: Selection) -> list[tuple[int, Hypothesis]]:
    """What each rule asserts, with the rule's place. Raises for each that selects nothing."""
    problems = Collected()
    hypotheses = []
    for i, rule in enumerate(gate.rules):
        if not rule.is_cost:
            with problems.of(key=f"rules.{i}"):
                for hypothesis in selection.of(rule):
                    _require_task(hypothesis, selection)
                    check_bounds(hypothesis)
                    hypotheses.append((i, hypothesis))
    problems.raise_any()
    return hypotheses


def _require_no_timed_cost(gate: Gate) -> None:
    """Raises ``ConfigError`` where a cost that only a full run has must be judged or fail."""
    problems = Collected()
    for i, rule in enumerate(gate.rules):
        if rule.is_cost and rule.metric in TIMED and rule.on_missing == "fail":
            problems.errors.append(
                ConfigError(
                    f"{rule.metric} is known only after a full run, and must not be missing",
                    key=f"rules.{i}.on_missing",
                    value=rule.on_missing,
                    fix="hold the gate without --sequential, or leave on_missing out",
                )
            )
    problems.raise_any()


def _require_task(hypothesis: Hypothesis, selection: Selection) -> None:
    """Raises ``ConfigError`` for the score of a group, which several tasks decide together."""
    score = selection.baseline.scores_of(hypothesis.task).get(hypothesis.metric)
    if score is not None and score.parts:
        raise ConfigError(
            f"'{hypothesis.task}' is a group: its score takes all of its tasks",
            key="task",
            fix="hold the gate without --sequential, or name its tasks in rules of their own",
        )


def _blocks(hypothesis: Hypothesis) -> bool:
    waived = hypothesis.problem is not None and hypothesis.rule.on_missing == "pass"
    return hypothesis.rule.tier == "block" and not hypothesis.advisory and not waived


def _is_test(hypothesis: Hypothesis) -> bool:
    """Whether it is decided at an error rate that is shared out: early, or on items like these."""
    return hypothesis.rule.is_relative and hypothesis.problem is None


def _of_track(track: Track) -> Finding:
    outcomes = {
        "pass": "PASS",
        "fail": "FAIL",
        None: "INCONCLUSIVE (stopped before it was decided)",
    }
    if track.decided is None and not track.open:
        outcomes[None] = f"INCONCLUSIVE (all {track.total} samples were taken)"
    hypothesis = track.hypothesis
    low, high = track.interval()
    return Finding(
        rule=hypothesis.rule,
        label=hypothesis.label,
        verdict=track.decided or "inconclusive",
        why=f"{track.why(low, high)}: {outcomes[track.decided]}",
        claim=track.claim,
        task=hypothesis.task,
        metric=hypothesis.metric,
        slice=hypothesis.slice,
        margin=track.margin,
        numbers={"delta": track.delta, "low": low, "high": high, "n": track.used},
        is_test=True,
        advisory=hypothesis.advisory,
    )

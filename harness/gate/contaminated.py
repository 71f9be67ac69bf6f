"""A rule on a task whose items the candidate was trained on decides nothing, unless waived."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from steelyard.harness.errors import Collected, ConfigError, did_you_mean
from steelyard.harness.gate.findings import Finding
from steelyard.harness.gate.policy import Gate
from steelyard.harness.records import IN_TRAINING_DATA, Contaminated, Run
from steelyard.harness.texts import matches

#: The slice that scoring makes of the items that are not in the training data.
CLEAN = f"{IN_TRAINING_DATA}=no"


def check_waivers(gate: Gate, scored: Collection[str]) -> None:
    """Raises ``ConfigError`` for each waiver of no task in ``scored``.

    A misspelt one would otherwise be found out when it is needed.
    """
    problems = Collected()
    for pattern in gate.waive_contamination:
        if not any(matches(pattern, task) for task in scored):
            problems.errors.append(
                ConfigError(
                    "matches no task that was scored",
                    key="waive_contamination",
                    value=pattern,
                    fix=did_you_mean(pattern, scored),
                )
            )
    problems.raise_any()


def doubted(findings: Sequence[Finding], gate: Gate, candidate: Run) -> list[Finding]:
    """The findings, those on contaminated tasks "not comparable" or, if waived, with the reason.

    A rule on the clean slice stands.
    """
    return [_doubted(finding, gate, candidate) for finding in findings]


def stands(gate: Gate, candidate: Run, task: str, slice: str | None) -> bool:
    """Whether a rule on ``task`` may decide something about what ``candidate`` was trained on."""
    return _learnt(gate, candidate, task, slice) is None or bool(_reasons(gate, task))


def _learnt(gate: Gate, candidate: Run, task: str, slice: str | None) -> Contaminated | None:
    """What the candidate has learnt of the items that a rule looks at, where it is too much."""
    overlap = _overlap(candidate, task)
    if overlap is None or slice == CLEAN:
        return None
    # One item may always be there by chance: one of twelve is no share to speak of.
    few = overlap.contaminated <= max(1.0, gate.contaminated_share * overlap.items)
    return None if few else overlap


def _overlap(candidate: Run, task: str) -> Contaminated | None:
    """What of a task's items the candidate was trained on; of a group's, over all of its tasks."""
    own = next((c for c in candidate.contamination if c.task == task), None)
    group = next((s for s in candidate.scores if s.task == task and s.parts), None)
    if own is not None or group is None:
        return own
    parts = [c for c in candidate.contamination if c.task in group.parts]
    if not parts:
        return None
    return Contaminated(
        task=task,
        items=group.n + group.unscored,
        contaminated=sum(part.contaminated for part in parts),
        data=tuple(dict.fromkeys(name for part in parts for name in part.data)),
    )


def _reasons(gate: Gate, task: str) -> list[str]:
    waivers = gate.waive_contamination
    own = [waivers[task]] if task in waivers else []
    return own + [r for p, r in waivers.items() if p != task and matches(p, task)]


def _doubted(finding: Finding, gate: Gate, candidate: Run) -> Finding:
    overlap = _learnt(gate, candidate, finding.task or "", finding.slice)
    if overlap is None:
        return finding
    doubt = (
        f"{overlap.contaminated} of its {overlap.items} items are in the training data "
        f"({', '.join(overlap.data)})"
    )
    if reasons := _reasons(gate, overlap.task):
        waived = f"({doubt}; waived: {reasons[0]})"
        grounds = f"{finding.grounds} {waived}" if finding.grounds else ""
        return replace(finding, why=f"{finding.why} {waived}", grounds=grounds)
    why = (
        f"{overlap.task}: {doubt}: NOT COMPARABLE (gate on slice: {CLEAN}, or waive it with a "
        f"reason under waive_contamination)"
    )
    # Fails closed: what a rule says of lost rows does not excuse rows that were learnt by heart.
    rule = finding.rule.model_copy(update={"on_missing": "not_comparable"})
    return replace(finding, rule=rule, verdict="not_comparable", why=why, fails_at=None)

"""A rule on a task whose items the candidate was trained on decides nothing, unless waived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from harness.errors import ConfigError, did_you_mean
from harness.gate.findings import Finding
from harness.gate.policy import Gate
from harness.records import Contaminated, Run

#: The slice that scoring makes of the items that are not in the training data.
CLEAN = "in_training_data=no"


def doubted(
    findings: Sequence[Finding], gate: Gate, candidate: Run, file: object = None
) -> list[Finding]:
    """The findings, those on contaminated tasks "not comparable" or, if waived, with the reason.

    A rule on the clean slice stands. Raises ``ConfigError`` for a waiver of a task that the
    candidate was not scored on: a misspelt one would be found out when it is needed.
    """
    scored = {score.task for score in candidate.scores}
    for pattern in gate.waive_contamination:
        if not any(fnmatchcase(task, pattern) for task in scored):
            raise ConfigError(
                "matches no task that was scored",
                file=file,
                key="waive_contamination",
                value=pattern,
                fix=did_you_mean(pattern, scored),
            )
    known = {c.task: c for c in candidate.contamination}
    return [_doubted(finding, gate, known.get(finding.task or "")) for finding in findings]


def _doubted(finding: Finding, gate: Gate, found: Contaminated | None) -> Finding:
    if found is None or finding.slice == CLEAN:
        return finding
    # One item may always be there by chance: one of twelve is no share to speak of.
    if found.contaminated <= max(1.0, gate.contaminated_share * found.items):
        return finding
    said = (
        f"{found.contaminated} of its {found.items} items are in the training data "
        f"({', '.join(found.data)})"
    )
    reasons = [r for p, r in gate.waive_contamination.items() if fnmatchcase(found.task, p)]
    if reasons:
        return replace(finding, why=f"{finding.why} ({said}; waived: {reasons[0]})")
    why = (
        f"{found.task}: {said}: NOT COMPARABLE (gate on slice: {CLEAN}, or waive it with a reason "
        f"under waive_contamination)"
    )
    # Fails closed: what a rule says of lost rows does not excuse rows that were learnt by heart.
    rule = finding.rule.model_copy(update={"on_missing": "not_comparable"})
    return replace(finding, rule=rule, verdict="not_comparable", why=why, fails_at=None)

"""What many rules and many candidates do to a verdict: Holm over questions, and over candidates."""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.harness.errors import EXIT_PASS
from steelyard.harness.gate.findings import Finding
from steelyard.harness.records import Verdict
from steelyard.harness.store import GateAttempt


def holm_corrected(findings: Sequence[Finding], alpha: float) -> list[Finding]:
    """Failures of blocking rules that survive Holm's step-down at ``alpha``; others soften.

    A step rejects what fails at its level over how many questions are not rejected yet, until none
    is added. Only tests count, and each question once: a rule that stands there twice, or holds
    one difference against two margins, asks nothing new (the false failure on the smaller margin
    is the false failure), and a floor, a cost or a whole benchmark has no error rate to share.

    What passed is no candidate for a failure: a test that holds "not worse" at alpha has a p-value
    above 1 - alpha for "worse". It is left out of the count, and what is left is tested at
    1 - alpha of the level, so that leaving out costs nothing that was promised [Zhao, Small and Su
    2019, "Multiple testing when many p-values are uniformly conservative", JASA 114:1291-1304].
    Thirty rules that hold cannot hide one that does not.
    """
    asked = [
        i for i, f in enumerate(findings) if f.is_test and f.rule.tier == "block" and not f.advisory
    ]
    open_tests = {i for i in asked if findings[i].verdict != "pass"}
    questions = {findings[i].question for i in open_tests}
    passed = {findings[i].question for i in asked} - questions
    level = alpha * (1 - alpha) if passed else alpha
    failing = {i for i in open_tests if findings[i].verdict == "fail"}
    rejected: set[int] = set()
    while True:
        # A question with a smaller margin that fails and a larger one that may not is still open.
        unanswered = {findings[i].question for i in open_tests - rejected}
        share = level / max(len(unanswered), 1)
        new = {i for i in failing - rejected if _fails(findings[i], share)}
        if not new:
            break
        rejected |= new
    return [
        f.softened(len(questions)) if i in failing - rejected else f for i, f in enumerate(findings)
    ]


def _fails(finding: Finding, level: float) -> bool:
    return finding.fails_at is None or finding.fails_at(level)


def among_all(
    alpha: float,
    verdicts: Sequence[Verdict],
    judged: Sequence[Sequence[Finding]] | None,
    attempts: Sequence[GateAttempt] = (),
) -> tuple[Verdict, ...]:
    """The verdicts, each PASS with whether it holds by Holm over all that were tried.

    Of forty candidates exactly at the margin 87% of the time some pass: whoever ships the one that
    did has chosen it for its luck. Forty checkpoints of one name, tried one after another, are no
    other thing: ``attempts`` (one a verdict) say how many there were, and those of before count as
    tried and not accepted. A candidate's p-value is the largest of its rules'.
    ``judged`` are the candidates' findings; None: they were decided early, at alpha each, and hold
    by themselves alone.
    """
    if attempts:
        pairs = zip(verdicts, attempts, strict=True)
        verdicts = [_counted(verdict, attempt) for verdict, attempt in pairs]
    tried = sum(verdict.attempts for verdict in verdicts)
    passing = [i for i, verdict in enumerate(verdicts) if verdict.exit_code == EXIT_PASS]
    if tried < 2 or not passing:
        return tuple(verdicts)
    accepted: set[int] = set()
    while True:
        level = alpha / max(tried - len(accepted), 1)
        new = {
            i
            for i in passing
            if judged and i not in accepted and all(_passes(f, level) for f in judged[i])
        }
        if not new:
            break
        accepted |= new
    return tuple(
        _told_apart(verdict, tried, i in accepted) if i in passing else verdict
        for i, verdict in enumerate(verdicts)
    )


def _counted(verdict: Verdict, attempt: GateAttempt) -> Verdict:
    counts = {"attempt": attempt.number, "attempts": attempt.total}
    counted = verdict.model_copy(update=counts)
    words = counted.attempt_words
    summary = f"{verdict.summary}; {words}" if words else verdict.summary
    return counted.model_copy(update={"summary": summary})


def _passes(finding: Finding, level: float) -> bool:
    if finding.rule.tier != "block" or finding.advisory or finding.verdict != "pass":
        return True
    return finding.passes_at is None or finding.passes_at(level)


def _told_apart(verdict: Verdict, count: int, holds: bool) -> Verdict:
    words = f"holds among all {count} that were tried"
    if not holds:
        words = f"one of {count} tried, and by itself: it does not hold among all of them"
    return verdict.model_copy(update={"summary": f"{verdict.summary}; {words}"})

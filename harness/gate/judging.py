"""The verdict on each candidate: every rule held against it, families corrected, one exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steelyard.harness.compare import (
    Problem,
    Scored,
    Settings,
    TaskPair,
    inspect_run,
    lines,
    pair_task,
)
from steelyard.harness.errors import (
    EXIT_INCONCLUSIVE,
    EXIT_NOT_COMPARABLE,
    EXIT_PASS,
    EXIT_REGRESSION,
    Collected,
    ConfigError,
    exit_code_of,
)
from steelyard.harness.gate.contaminated import check_waivers, doubted
from steelyard.harness.gate.costs import judge_cost
from steelyard.harness.gate.findings import Finding, judge_hypothesis
from steelyard.harness.gate.hypotheses import Hypothesis, Selection
from steelyard.harness.gate.policy import Gate, Rule
from steelyard.harness.records import Comparison, RuleResult, RuleVerdict, Verdict

_EXIT_CODES: dict[RuleVerdict, int] = {
    "pass": EXIT_PASS,
    "fail": EXIT_REGRESSION,
    "not_comparable": EXIT_NOT_COMPARABLE,
    "inconclusive": EXIT_INCONCLUSIVE,
}
_VERDICTS: dict[int, RuleVerdict] = {code: verdict for verdict, code in _EXIT_CODES.items()}
AdjustedPValues = Mapping[tuple[str | None, str | None], float | None]
INTEGRITY = Rule(name="every baseline sample answered", task="*", margin=0.0)
"""The rule that ``scope: all`` adds where a run lost something under no blocking rule."""


def judge(
    gate: Gate,
    baseline: Scored,
    candidates: Sequence[Scored],
    *,
    comparisons: Sequence[Comparison] = (),
) -> tuple[Verdict, ...]:
    """One verdict a candidate.

    ``comparisons`` of the same runs lend their adjusted p-values to the rules' results; they
    decide nothing.

    A candidate passes when every blocking rule passes at ``alpha`` (an intersection-union test
    needs no correction: Berger 1982, Technometrics 24:295-300). A rule fails it only after Holm's
    correction over its blocking rules (Holm 1979, Scand. J. Statist. 6:65-70).

    Raises ``ConfigError``, with its key, for each rule that selects nothing, and where no candidate
    is given.
    """
    if not candidates:
        raise ConfigError("no candidate to judge", fix="name at least one run")
    return tuple(
        _verdict(gate, baseline, candidate, _adjusted_p_values(comparisons, candidate))
        for candidate in candidates
    )


def _adjusted_p_values(comparisons: Sequence[Comparison], candidate: Scored) -> AdjustedPValues:
    return {
        (delta.task, delta.metric): delta.p_adjusted
        for comparison in comparisons
        if comparison.candidate_id == candidate.run.id
        for delta in comparison.deltas
    }


def _verdict(gate: Gate, baseline: Scored, candidate: Scored, adjusted: AdjustedPValues) -> Verdict:
    run_problems = inspect_run(baseline.run, candidate.run)
    pairs = [pair_task(baseline, candidate, task, run_problems) for task in baseline.tasks]
    findings, hypotheses = findings_of(gate, baseline, candidate, pairs)
    check_waivers(gate, candidate.tasks)
    findings = holm_corrected(findings, gate.alpha)
    lost = lost_evidence(gate, pairs, run_problems, hypotheses)
    if lost:
        findings.insert(0, integrity(lost))
    return concluded(findings, candidate.name, baseline.name, adjusted)


def concluded(
    findings: Sequence[Finding], candidate: str, baseline: str, adjusted: AdjustedPValues
) -> Verdict:
    """The findings as one verdict with one exit code."""
    codes = [_exit_code(finding) for finding in findings]
    code = exit_code_of(codes)
    return Verdict(
        candidate=candidate,
        baseline=baseline,
        verdict=_VERDICTS[code],
        exit_code=code,
        rules=tuple(_result(finding, candidate, adjusted) for finding in findings),
        summary=_summary(_VERDICTS[code], findings, codes),
    )


def findings_of(
    gate: Gate, baseline: Scored, candidate: Scored, pairs: Sequence[TaskPair]
) -> tuple[list[Finding], list[Hypothesis]]:
    """Every rule held against the pair, uncorrected, and what the rules selected."""
    selection = Selection(baseline, candidate, pairs)
    settings = Settings(alpha=gate.alpha, draws=gate.draws)
    same = candidate.run.has_weights_of(baseline.run)
    findings: list[Finding] = []
    hypotheses: list[Hypothesis] = []
    problems = Collected()
    for i, rule in enumerate(gate.rules):
        if rule.is_cost:
            findings.append(judge_cost(rule, gate, baseline.run, candidate.run))
            continue
        claim = gate.claim_of(rule)
        with problems.of(key=f"rules.{i}"):
            selected = selection.of(rule)
            hypotheses += selected
            for hypothesis in selected:
                held = judge_hypothesis(hypothesis, claim, settings, same_checkpoint=same)
                findings += doubted(held, gate, candidate.run)
    problems.raise_any()
    return findings, hypotheses


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


def lost_evidence(
    gate: Gate,
    pairs: Sequence[TaskPair],
    run_problems: Sequence[Problem],
    hypotheses: Sequence[Hypothesis],
) -> list[Problem]:
    """Evidence that was lost where no blocking rule looks, and no rule waives it.

    An unfinished run or a stale checkpoint touches every rule, whatever the policy's scope. A floor
    looks at the candidate alone, so it does not notice rows that are gone.
    """
    if gate.scope == "rules":
        return list(run_problems)
    answered = {
        (h.task, h.metric)
        for h in hypotheses
        if (h.rule.tier == "block" and h.rule.is_relative) or h.rule.on_missing != "not_comparable"
    }
    tasks = {task for task, _ in answered}
    lost = list(run_problems)
    for pair in pairs:
        for problem in pair.problems:
            held = (problem.task, problem.metric) in answered
            if problem.metric is None:
                held = problem.task in tasks
            if problem.cause == "rows" and not held:
                lost.append(problem)
    return lost


def integrity(lost: Sequence[Problem]) -> Finding:
    """The finding on lost evidence."""
    why = f"{'; '.join(lines(lost))}: NOT COMPARABLE"
    if any(problem.cause == "rows" for problem in lost):
        why += " (no blocking rule looks here; `scope: rules` judges only what rules select)"
    assert INTEGRITY.name is not None
    return Finding(
        rule=INTEGRITY, label=INTEGRITY.name, verdict="not_comparable", why=why, claim="benchmark"
    )


def _exit_code(finding: Finding) -> int:
    rule = finding.rule
    if rule.tier != "block" or finding.advisory:
        return EXIT_PASS
    if finding.verdict == "inconclusive" and not rule.inconclusive_blocks:
        return EXIT_PASS
    if finding.verdict == "not_comparable" and rule.on_missing == "pass":
        return EXIT_PASS
    return _EXIT_CODES[finding.verdict]


def _result(finding: Finding, candidate: str, adjusted: AdjustedPValues) -> RuleResult:
    soft = finding.advisory and finding.rule.tier == "block"
    return RuleResult(
        rule=finding.label,
        candidate=candidate,
        tier="warn" if soft else finding.rule.tier,
        verdict=finding.verdict,
        why=finding.why,
        task=finding.task,
        metric=finding.metric,
        margin=finding.margin,
        p_adjusted=None if finding.slice else adjusted.get((finding.task, finding.metric)),
        claim=finding.claim,
        exit_code=_exit_code(finding),
        **finding.numbers,
    )


def _summary(verdict: RuleVerdict, findings: Sequence[Finding], codes: Sequence[int]) -> str:
    blocking = [f for f in findings if f.rule.tier == "block" and not f.advisory]
    outcome = verdict.replace("_", " ")
    if verdict == "pass":
        held = sum(f.verdict == "pass" for f in blocking)
        text = f"pass: {held} of {len(blocking)} blocking rules hold"
        if not blocking:
            text = "pass, but nothing was held: no rule that blocks was judged"
        open_ones = len(blocking) - held
        text += f", {open_ones} undecided and waived" if open_ones else ""
    else:
        worst = [
            f.label for f, code in zip(findings, codes, strict=True) if code == _EXIT_CODES[verdict]
        ]
        more = f" and {len(worst) - 3} more" if len(worst) > 3 else ""
        text = f"{outcome}: {'; '.join(worst[:3])}{more}"
    warned = sum((f.rule.tier == "warn" and f.verdict != "pass") or f.advisory for f in findings)
    return f"{text}; {warned} warned" if warned else text

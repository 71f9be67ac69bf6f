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
from steelyard.harness.gate.corrections import among_all, holm_corrected
from steelyard.harness.gate.costs import judge_cost
from steelyard.harness.gate.findings import Finding, judge_hypothesis
from steelyard.harness.gate.hypotheses import Hypothesis, Selection
from steelyard.harness.gate.policy import Gate, Rule
from steelyard.harness.records import Comparison, RuleResult, RuleVerdict, Verdict
from steelyard.harness.store import GateAttempt

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
    attempts: Sequence[GateAttempt] = (),
) -> tuple[Verdict, ...]:
    """One verdict a candidate.

    ``attempts`` say which checkpoint of its name each candidate is, as the workspace counts them.
    ``comparisons`` of the same runs lend their adjusted p-values to the rules' results; they
    decide nothing.

    A candidate passes when every blocking rule passes at ``alpha`` (an intersection-union test
    needs no correction: Berger 1982, Technometrics 24:295-300). A rule fails it only after Holm's
    correction over its blocking rules (Holm 1979, Scand. J. Statist. 6:65-70). Of several
    candidates each PASS says whether it also holds among all of them, as it must for the one that
    is chosen.

    Raises ``ConfigError``, with its key, for each rule that selects nothing, and where no candidate
    is given.
    """
    if not candidates:
        raise ConfigError("no candidate to judge", fix="name at least one run")
    judged = [_findings(gate, baseline, candidate) for candidate in candidates]
    verdicts = [
        concluded(
            findings, candidate.name, baseline.name, _adjusted_p_values(comparisons, candidate)
        ).model_copy(update={"candidate_id": candidate.run.id})
        for findings, candidate in zip(judged, candidates, strict=True)
    ]
    return among_all(gate.alpha, verdicts, judged, attempts)


def _adjusted_p_values(comparisons: Sequence[Comparison], candidate: Scored) -> AdjustedPValues:
    return {
        (delta.task, delta.metric): delta.p_adjusted
        for comparison in comparisons
        if comparison.candidate_id == candidate.run.id
        for delta in comparison.deltas
    }


def _findings(gate: Gate, baseline: Scored, candidate: Scored) -> list[Finding]:
    run_problems = inspect_run(baseline.run, candidate.run)
    pairs = [pair_task(baseline, candidate, task, run_problems) for task in baseline.tasks]
    findings, hypotheses = findings_of(gate, baseline, candidate, pairs)
    check_waivers(gate, candidate.tasks)
    findings = holm_corrected(findings, gate.alpha)
    lost = lost_evidence(gate, pairs, run_problems, hypotheses)
    if lost:
        findings.insert(0, integrity(lost))
    return findings


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
        p_adjusted=None
        if finding.slice or finding.aspect
        else adjusted.get((finding.task, finding.metric)),
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

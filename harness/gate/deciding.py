"""A policy, a baseline and candidates by name -> verdicts: the gate without a screen or a report.

What `steelyard.gate` and the pytest plugin call; the command line adds the report to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from steelyard.harness.compare import Scored, open_run
from steelyard.harness.errors import EXIT_NOT_COMPARABLE, ConfigError
from steelyard.harness.gate.judging import judge
from steelyard.harness.gate.naming import baseline_name
from steelyard.harness.gate.policy_file import in_policy, load_gate
from steelyard.harness.records import RuleResult, Verdict
from steelyard.harness.store import open_store


def decide(
    policy: str | Path | Mapping[str, object],
    candidates: Sequence[str | Path | Scored],
    baseline: str | Path | Scored | None,
    *,
    workspace: Path,
) -> tuple[Verdict, ...]:
    """One verdict a candidate, as ``steelyard gate`` gives it.

    Args:
        policy: a policy file, an experiment file with a ``gate:`` block, or the rules as a mapping.
        candidates: runs by name, baseline files, or runs that are already open.
        baseline: replaces the policy's own.
        workspace: where runs are looked up by name.

    Raises ``ConfigError`` for a policy that is wrong or has no baseline, ``UnknownNameError`` for a
    run that is not there.
    """
    file = None if isinstance(policy, Mapping) else Path(policy)
    gate = load_gate(policy if file is None else file, file=file)
    base = baseline or gate.baseline
    if base is None:
        fix = "add `baseline:` to the policy, or name one beside it"
        raise ConfigError("no baseline named", file=file, key="gate.baseline", fix=fix)
    store = open_store(workspace)
    names = [str(c) for c in candidates if isinstance(c, str | Path)]
    if isinstance(base, str | Path):
        base = open_run(store, baseline_name(str(base), names, file or Path(), store))
    runs = [open_run(store, str(c)) if isinstance(c, str | Path) else c for c in candidates]
    with in_policy(file):
        # Nothing is made for a count alone: without a workspace there is nothing to count in.
        counted = store.root.is_dir()
        attempts = [store.current.gated.of(run.run) for run in runs] if counted else ()
        verdicts = judge(gate, base, runs, attempts=attempts)
    return tuple(of_whole_runs(v, base, run) for v, run in zip(verdicts, runs, strict=True))


def of_whole_runs(verdict: Verdict, baseline: Scored, candidate: Scored) -> Verdict:
    """The verdict where both runs are complete; a run that stopped half-way never passes.

    Its missing samples might be the ones it would have failed on, whatever the rules select.
    """
    stopped = [scored.name for scored in (baseline, candidate) if not scored.run.complete]
    if not stopped or verdict.exit_code == EXIT_NOT_COMPARABLE:
        return verdict
    why = f"incomplete: {', '.join(stopped)}: NOT COMPARABLE"
    rule = RuleResult(
        rule="both runs are complete",
        candidate=candidate.name,
        tier="block",
        verdict="not_comparable",
        why=why,
        exit_code=EXIT_NOT_COMPARABLE,
    )
    return verdict.model_copy(
        update={
            "verdict": "not_comparable",
            "exit_code": EXIT_NOT_COMPARABLE,
            "rules": (rule, *verdict.rules),
            "summary": f"not comparable: {why}",
        }
    )

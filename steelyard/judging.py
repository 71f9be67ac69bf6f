"""Runs that are there already: compare them, hold a gate against them, report on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from steelyard.harness.cli.conclude import Page, decide_and_report
from steelyard.harness.cli.experiments import current_runs
from steelyard.harness.compare import compare as compare_runs
from steelyard.harness.gate import decide, load_gate
from steelyard.harness.pipeline import no_listener
from steelyard.harness.records import Comparison, Verdict
from steelyard.harness.store import open_store
from steelyard.loaded import LoadedRun, scored_run
from steelyard.results import Result, result_of


def compare(
    baseline: str | Path | LoadedRun,
    candidate: str | Path | LoadedRun,
    *,
    workspace: str | Path = ".steelyard",
    alpha: float = 0.05,
    noise: Sequence[str | Path | LoadedRun] = (),
) -> Comparison:
    """One run against another, sample by sample; a positive difference is better.

    Args:
        baseline: a run by name, a baseline file, or what :func:`load` gave.
        candidate: likewise.
        workspace: where runs are looked up by name.
        alpha: the error rate of each of the two one-sided tests behind ``verdict``; intervals are
            two-sided 95%.
        noise: runs of the baseline's own checkpoint under another setting; a smaller difference is
            no claim.

    What may not be compared stands in ``problems`` and carries no difference; ``comparable`` is
    then False. Raises ``UnknownNameError`` for a run that is not there.

        comparison = steelyard.compare("support-bot/base", "support-bot/lora")
        steelyard.table(comparison.deltas)[["task", "metric", "delta", "low", "high", "verdict"]]
    """
    (comparison,) = compare_runs(
        scored_run(baseline, workspace),
        [scored_run(candidate, workspace)],
        alpha=alpha,
        noise=[scored_run(run, workspace) for run in noise],
    )
    return comparison


def gate(
    policy: str | Path | Mapping[str, object],
    candidate: str | Path | LoadedRun,
    baseline: str | Path | LoadedRun | None = None,
    *,
    workspace: str | Path = ".steelyard",
) -> Verdict:
    """Hold the rules of a policy against a run, as ``steelyard gate`` does.

    Args:
        policy: a policy file, an experiment file with a ``gate:`` block, or the rules as a mapping.
        candidate: a run by name, a baseline file, or what :func:`load` gave.
        baseline: likewise; replaces the policy's own.
        workspace: where runs are looked up by name.

    Both are scored already; ``steelyard gate --sequential`` scores a model only until its verdict
    is certain. A regression is a verdict, not an error: ``verdict.exit_code`` is what the command
    would exit with. Raises ``ConfigError`` for a policy that is wrong or names no baseline,
    ``UnknownNameError`` for a run that is not there, and ``NoCurrentRunError`` for a candidate
    whose present checkpoint has none.

        policy = {"rules": [{"task": "gsm8k", "margin": 0.02}]}
        verdict = steelyard.gate(policy, "support-bot/lora", "support-bot/base")
        assert verdict.exit_code == 0, verdict.summary
    """
    run = candidate.scored if isinstance(candidate, LoadedRun) else candidate
    base = baseline.scored if isinstance(baseline, LoadedRun) else baseline
    (verdict,) = decide(policy, [run], base, workspace=Path(workspace))
    return verdict


def report(
    experiment: str,
    *,
    workspace: str | Path = ".steelyard",
    baseline: str = "base",
    policy: str | Path | Mapping[str, object] | None = None,
    formats: Sequence[str] = ("html",),
    output: str | Path | None = None,
) -> Result:
    """The comparison report of an experiment's current runs; nothing is trained or scored.

    Args:
        experiment: its name, as ``steelyard list runs`` shows it.
        workspace: where its runs are.
        baseline: a candidate of the experiment, another run, or a baseline file.
        policy: rules to hold too, as in :func:`gate`.
        formats: ``html``, ``markdown``, ``terminal``, ``json``, ``csv``, ``junit``; () writes none.
        output: a folder for the files; None is ``reports/EXPERIMENT`` in the workspace.

    Raises ``UnknownNameError`` where the experiment has no runs, or there is no such format, and
    ``NoCurrentRunError`` where the baseline has no run now; a candidate that has none stands in the
    notes, and the result's exit code is 3.

        result = steelyard.report("support-bot", formats=["html", "csv"], output="report")
        print(result.files["html"], result.text("markdown"))
    """
    file = None if policy is None or isinstance(policy, Mapping) else Path(policy)
    base, others, lacking = current_runs(open_store(Path(workspace)), experiment, baseline)
    page = Page(
        title=experiment,
        folder=Path(output or Path(workspace) / "reports" / experiment),
        formats=formats,
        commands=[f"steelyard report {experiment}"],
        lacking=lacking,
    )
    rules = None if policy is None else load_gate(file or policy, file=file)
    conclusion = decide_and_report(base, others, page, no_listener, gate=rules, policy=file)
    return result_of(conclusion)

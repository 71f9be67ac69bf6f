"""Runs, comparisons and verdicts -> the document of a report. No statistics are made here."""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.harness.compare import RecipeDelta
from steelyard.harness.records import CheckpointManifest, Comparison, Failure, Run, Verdict
from steelyard.reports.answer import score_rows
from steelyard.reports.document import CandidateVerdict, Document, Section
from steelyard.reports.material import Material
from steelyard.reports.sections.contamination import contamination_section
from steelyard.reports.sections.energy import energy_section
from steelyard.reports.sections.forgetting import flips_section, forgetting_section
from steelyard.reports.sections.provenance import (
    comparability_section,
    failures_section,
    reproduce_section,
)
from steelyard.reports.sections.recipes import recipes_section
from steelyard.reports.sections.rewards import rewards_section
from steelyard.reports.sections.scores import (
    divergence_section,
    hallucination_section,
    scores_section,
)
from steelyard.reports.sections.serving import serving_section
from steelyard.reports.sections.slices import slices_section
from steelyard.reports.sections.tradeoffs import tradeoffs_section
from steelyard.reports.sections.training import lineage_section, training_section
from steelyard.reports.sections.verdicts import headline, verdicts_section
from steelyard.reports.site.leaderboard import build_leaderboard
from steelyard.reports.words import base_title, moment

__all__ = ["build_leaderboard", "build_report"]


def build_report(
    experiment: str,
    runs: Sequence[Run],
    comparisons: Sequence[Comparison],
    verdicts: Sequence[Verdict],
    *,
    baseline: str,
    baseline_id: str | None = None,
    commands: Sequence[str] = (),
    notes: Sequence[str] = (),
    failures: Sequence[Failure] = (),
    recipes: Sequence[RecipeDelta] = (),
    unscored: Sequence[CheckpointManifest] = (),
) -> Document:
    """The report of one experiment: the answer first, then down to the sentence that broke.

    Args:
        experiment: its name, the title of the report.
        runs: one a candidate, the baseline's among them where it was scored here.
        comparisons: against ``baseline`` and, where wanted, against further baselines, which the
            page then offers to switch to.
        verdicts: the gate's; empty where the experiment has no gate.
        baseline: the candidate that everything is held against.
        baseline_id: its run, of which another candidate may have the name.
        commands: the exact commands that make these numbers again.
        notes: said at the top, e.g. that the country of the demo is an illustration.
        failures: of candidates that have no run.
        recipes: differences over the seeds of recipes that were trained with several.
        unscored: checkpoints that were trained here and not scored; their energy counts.
    """
    material = Material(
        experiment=experiment,
        baseline=baseline,
        baseline_id=baseline_id,
        runs=tuple(runs),
        comparisons=tuple(comparisons),
        verdicts=tuple(verdicts),
        commands=tuple(commands),
        notes=tuple(notes),
        failures=tuple(failures),
        recipes=tuple(recipes),
        unscored=tuple(unscored),
    ).ordered()
    answer, sense = headline(material)
    sections: list[Section | None] = [
        verdicts_section(material),
        recipes_section(material),
        scores_section(material),
        tradeoffs_section(material),
        hallucination_section(material),
        divergence_section(material),
        forgetting_section(material),
        contamination_section(material),
        slices_section(material),
        flips_section(material),
        serving_section(material),
        energy_section(material),
        training_section(material),
        rewards_section(material),
        lineage_section(material),
        comparability_section(material),
        failures_section(material),
        reproduce_section(material),
    ]
    return Document(
        kind="report",
        title=experiment,
        subtitle=f"Comparison report, baseline {baseline}",
        headline=answer,
        sense=sense,
        verdicts=tuple(
            CandidateVerdict(
                candidate=each.candidate,
                verdict=each.verdict,
                exit_code=each.exit_code,
                summary=each.summary,
                attempt=each.attempt,
                attempts=each.attempts,
            )
            for each in material.verdicts
        ),
        rules=tuple(rule for each in material.verdicts for rule in each.rules),
        scores=score_rows(material.runs, material.comparisons, material.baseline),
        facts=_facts(material),
        baselines=material.baselines,
        sections=tuple(section for section in sections if section is not None),
        marker=f"steelyard-report {experiment}",
    )


def _facts(material: Material) -> tuple[tuple[str, str], ...]:
    runs = material.runs
    bases = dict.fromkeys(base_title(run.checkpoint.base) for run in runs)
    suites = dict.fromkeys(run.suite for run in runs)
    tasks = {score.task for run in runs for score in run.scores}
    last = max(runs, key=lambda run: run.made, default=None)
    return (
        ("Base", ", ".join(bases)),
        ("Suite", ", ".join(suites)),
        ("Candidates", str(len(material.candidates))),
        ("Tasks", str(len(tasks))),
        ("Finished", "–" if last is None else moment(last.created_at)),
    )

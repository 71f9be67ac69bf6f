"""Why the numbers may be compared, what failed, and how to make them again."""

from __future__ import annotations

import json
from collections.abc import Iterable

from steelyard.harness.records import Comparison, Difference, Failure, Run, TaskSignature
from steelyard.reports.document import (
    Block,
    Code,
    Column,
    Notice,
    Paragraph,
    Row,
    Section,
    Table,
    Text,
    Word,
)
from steelyard.reports.material import Material
from steelyard.reports.words import bytes_, task_title


def comparability_section(material: Material) -> Section:
    """Signature fields that differ, the claim that is made, recipes and the machine."""
    blocks: list[Block] = []
    different = [(c, d) for c in material.comparisons for d in c.differences]
    if different:
        blocks.append(_differences(different))
    elif material.main_comparisons:
        blocks.append(Paragraph(text="Nothing differs that two comparable scores must share."))
    claims = sorted({comparison.claim for comparison in material.main_comparisons})
    blocks += [Paragraph(text=f"What is claimed: {claim}.") for claim in claims]
    blocks += [_signatures(material.runs), _recipes(material)]
    blocks += [*_checks(material.runs), _environment(material.runs)]
    return Section(
        id="comparability",
        title="Comparability and environment",
        short="Comparability",
        blocks=tuple(blocks),
    )


def _differences(different: Iterable[tuple[Comparison, Difference]]) -> Table:
    rows = tuple(
        Row(
            cells=(
                Text(text=comparison.candidate),
                Text(text=task_title(difference.task)),
                Text(text=difference.field),
                Text(text=difference.baseline or "–", code=True),
                Text(text=difference.candidate or "–", code=True),
                Word(word="voids it", sense="bad")
                if difference.voids
                else Word(word="is allowed", sense="neutral"),
            )
        )
        for comparison, difference in different
    )
    titles = ("Candidate", "Task", "Field", "Baseline", "Candidate's", "Comparison")
    return Table(
        id="differences",
        caption="Signature fields that differ",
        columns=tuple(Column(title=title) for title in titles),
        rows=rows,
        folded=len(rows) > 20,
    )


def _signatures(runs: Iterable[Run]) -> Table:
    signatures: dict[str, TaskSignature] = {}
    for run in runs:
        for signature in run.signatures:
            signatures.setdefault(signature.task, signature)
    rows = tuple(
        Row(
            cells=(
                Text(text=task_title(s.task)),
                Text(text=s.task_digest[:12], code=True),
                Text(text=s.data_digest[:12], code=True),
                Text(text=str(s.few_shot)),
                Text(text="none" if s.template is None else s.template[:12], code=True),
                Text(text="all" if s.limit is None else str(s.limit)),
                Text(text=_settings_in_words(s)),
                Text(text=f"{s.backend}, {s.dtype}"),
            )
        )
        for s in signatures.values()
    )
    titles = (
        "Task",
        "Task digest",
        "Data digest",
        "Few-shot",
        "Chat template",
        "Limit",
        "Decoding",
        "Backend",
    )
    return Table(
        id="signatures",
        caption="What each task's scores were made with",
        columns=tuple(Column(title=title) for title in titles),
        rows=rows,
        folded=True,
    )


def _settings_in_words(signature: TaskSignature) -> str:
    """How answers were decoded, or the model that a divergence was measured from."""
    if signature.reference is not None:
        return f"divergence from {signature.reference}"
    return signature.decoding or "–"


def _recipes(material: Material) -> Table:
    rows = tuple(
        Row(
            cells=(
                Text(text=run.candidate),
                Text(text=run.checkpoint.trainer),
                Text(text=json.dumps(dict(run.checkpoint.recipe), default=str), code=True),
                Text(text="–" if run.checkpoint.seed is None else str(run.checkpoint.seed)),
                Text(text=run.checkpoint.digest[:12], code=True),
                Text(text=run.id[:12], code=True),
            )
        )
        for run in material.runs
    )
    titles = ("Candidate", "Trainer", "Recipe", "Seed", "Checkpoint digest", "Run id")
    return Table(
        id="recipes",
        caption="Recipes and digests",
        columns=tuple(Column(title=title) for title in titles),
        rows=rows,
        folded=True,
    )


def _checks(runs: Iterable[Run]) -> list[Block]:
    rows = tuple(
        Row(
            cells=(Text(text=run.candidate), Text(text=name), Text(text=outcome)),
            tags=(f"candidate={run.candidate}",),
        )
        for run in runs
        for name, outcome in run.checkpoint.checks.items()
    )
    if not rows:
        return []
    columns = (Column(title="Candidate"), Column(title="Check"), Column(title="Found"))
    return [
        Table(
            id="checks",
            caption="Checked after training",
            columns=columns,
            rows=rows,
            filters=("candidate",),
            folded=True,
        )
    ]


def _environment(runs: Iterable[Run]) -> Table:
    """One column for all runs; a value that is not the same everywhere lists every value."""
    values: dict[str, dict[str, None]] = {}
    for run in runs:
        e = run.environment
        shown = {
            "Python": e.python,
            "Platform": e.platform,
            "CPU": e.cpu,
            "Cores": None if e.cores is None else str(e.cores),
            "Memory": None if e.memory_bytes is None else bytes_(e.memory_bytes),
            "GPU": ", ".join(e.gpus) or "none",
            **dict(sorted(e.packages.items())),
        }
        for name, value in shown.items():
            values.setdefault(name, {})[value or "–"] = None
    rows = tuple(
        Row(cells=(Text(text=name), Text(text=" | ".join(versions))))
        for name, versions in values.items()
    )
    return Table(
        id="environment",
        caption="Machine and library versions",
        columns=(Column(title="What"), Column(title="Value")),
        rows=rows,
        folded=True,
    )


def failures_section(material: Material) -> Section | None:
    """What failed while the rest went on."""
    failures: list[tuple[str, Failure]] = [("", failure) for failure in material.failures]
    failures += [(run.candidate, failure) for run in material.runs for failure in run.failures]
    incomplete = [run.candidate for run in material.runs if not run.complete]
    if not failures and not incomplete:
        return None
    lines = [
        f"{f'{candidate}: ' if candidate else ''}{failure.stage}: {failure.message}"
        for candidate, failure in failures
    ]
    lines += [f"{name}: not every task was scored; this run is incomplete" for name in incomplete]
    return Section(
        id="failures",
        title="What failed",
        short="Failures",
        lead="The rest of the experiment went on; nothing here was counted as a score.",
        blocks=tuple(Notice(level="error", text=line) for line in dict.fromkeys(lines)),
    )


def reproduce_section(material: Material) -> Section:
    """The exact commands."""
    commands = material.commands or ("steelyard run experiment.yaml",)
    return Section(
        id="reproduce",
        title="How to reproduce",
        short="Reproduce",
        lead="Same seed, same machine, same versions: same scores. Energy and time vary.",
        blocks=(Code(text="\n".join(commands), language="console"),),
    )

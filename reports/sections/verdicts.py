"""The answer in one screen: each candidate in words, then the gate's rules."""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.harness.errors import EXIT_PASS
from steelyard.harness.records import DIVERGENCE, Comparison, DeltaVerdict, RuleResult, Verdict
from steelyard.reports.cells import energy_number, phases, run_heading, size_number
from steelyard.reports.document import (
    Block,
    Cell,
    Change,
    Column,
    Notice,
    Row,
    Rule,
    Rules,
    Section,
    Sense,
    Table,
    Text,
    Word,
)
from steelyard.reports.material import Material
from steelyard.reports.sections.rewards import reward_warnings
from steelyard.reports.words import DELTA_WORDS, RULE_WORDS, listed, metric_title, task_title

#: Reasons that every form of the page lists; a terminal folds longer tables away.
_REASONS = 12
_OUTCOMES = ("error", "failed", "warned", "undecided", "passed")
_WORDS: tuple[tuple[DeltaVerdict | None, str], ...] = (
    ("better", "Better on"),
    ("worse", "Worse on"),
    ("not_worse", "Not worse on"),
    ("inconclusive", "Can't tell"),
    ("identical", "Identical on"),
    (None, "Not comparable"),
)
#: Columns that are shown only where some candidate has a word for them.
_OPTIONAL: tuple[DeltaVerdict | None, ...] = ("not_worse", "identical", None)
#: What a rule's verdict is about, in the words that stand below the rules.
_CLAIMS = {
    "population": "Claim `population` (the default): verdicts are about further items like these, "
    "so the items' own chance counts.",
    "benchmark": "Claim `benchmark`: verdicts are about these very items and nothing beyond, so "
    "what they show is decided exactly.",
}


def headline(material: Material) -> tuple[str, Sense]:
    """The whole report in one sentence, and how it is meant."""
    total = len(material.candidates)
    if not total:
        return f"Only {material.baseline} was scored: there is nothing to compare.", "unknown"
    if material.verdicts:
        return _gate_headline(material, total)
    worse = [c.candidate for c in material.main_comparisons if names_of(c, "worse")]
    better = [c.candidate for c in material.main_comparisons if names_of(c, "better")]
    clean = [name for name in better if name not in worse]
    words = [f"Against {material.baseline}: {len(better)} of {total} better somewhere"]
    words.append(f"{len(worse)} worse somewhere")
    words.append(f"better and nowhere found worse: {listed(clean)}")
    touched = [c.candidate for c in material.main_comparisons if not c.comparable]
    words += [f"not wholly comparable: {listed(touched)}"] if touched else []
    return "; ".join(words) + ".", "neutral"


def _gate_headline(material: Material, total: int) -> tuple[str, Sense]:
    by_verdict: dict[str, list[str]] = {}
    for verdict in material.verdicts:
        # Whoever ships it reads this line, and one that passed at the tenth try is another thing.
        name = f"{verdict.candidate}, {verdict.attempt_words}".removesuffix(", ")
        by_verdict.setdefault(verdict.verdict, []).append(name)
    passed = by_verdict.get("pass", [])
    words = [f"{len(passed)} of {total} candidates pass the gate"]
    words[0] += f" ({listed(passed)})" if passed else ""
    for name, label in (
        ("fail", "fail"),
        ("inconclusive", "undecided"),
        ("not_comparable", "not comparable"),
    ):
        if name in by_verdict:
            words.append(f"{label}: {listed(by_verdict[name])}")
    sense: Sense = "good" if len(passed) == total else "bad" if "fail" in by_verdict else "unknown"
    return "; ".join(words) + ".", sense


def names_of(comparison: Comparison, verdict: DeltaVerdict | None) -> list[str]:
    """The primary metrics on which a comparison came out as ``verdict``, as words.

    The metric is named beside the task only where the task has several primary metrics.
    """
    primary = [d for d in comparison.deltas if d.primary and d.family not in DIVERGENCE]
    tasks = [d.task for d in primary]
    return [
        task_title(d.task) + (f" ({metric_title(d.metric)})" if tasks.count(d.task) > 1 else "")
        for d in primary
        if d.verdict == verdict
    ]


def verdicts_section(material: Material) -> Section:
    """Each candidate: the gate's word, where it is better, worse or undecided, and its cost."""
    blocks: list[Block] = []
    blocks += [Notice(level="note", text=note) for note in material.notes]
    blocks += [*reward_warnings(material), *_warning(material)]
    blocks += [
        _verdicts_table(material.seen_from(name), index)
        for index, name in enumerate(material.baselines)
    ]
    rules = [_rule(v, r) for v in material.verdicts for r in v.rules]
    blocks += _problems(material)
    rules.sort(key=lambda rule: _OUTCOMES.index(rule.outcome))
    if rules:
        claims = [claim for claim in _CLAIMS if any(rule.claim == claim for rule in rules)]
        blocks.append(
            Rules(
                id="gate",
                caption="The gate, rule by rule",
                items=tuple(rules),
                note=" ".join(_CLAIMS[claim] for claim in claims),
            )
        )
    return Section(
        id="verdicts",
        title="Better, worse, or can't tell",
        short="Verdicts",
        lead=(
            f"Every difference is paired with {material.baseline}, sample by sample. “Better” and "
            "“worse” are said only of what still holds at .05 over all candidates and tasks here "
            "together; “can't tell” is not “the same”."
        ),
        blocks=tuple(blocks),
    )


def _verdicts_table(material: Material, index: int) -> Table:
    tasks: dict[str, dict[DeltaVerdict | None, list[str]]] = {
        run.candidate: {word: names_of(c, word) for word, _ in _WORDS}
        for run in material.candidates
        if (c := material.comparison(run.candidate)) is not None
    }
    words = [
        (word, title)
        for word, title in _WORDS
        if word not in _OPTIONAL or any(names[word] for names in tasks.values())
    ]
    gated = any(verdict.baseline == material.baseline for verdict in material.verdicts)
    columns = [Column(title="Candidate")]
    columns += [Column(title="Gate")] if gated else []
    columns += [Column(title=title) for _, title in words]
    columns.append(Column(title="Training energy", detail="its parents included", numeric=True))
    columns.append(Column(title="Size", numeric=True))
    rows = []
    for run in material.candidates:
        cells: list[Cell] = [run_heading(run)]
        cells += [_gate_word(material.verdict(run.candidate))] if gated else []
        cells += _verdict_words(tasks.get(run.candidate), [word for word, _ in words])
        cells += [energy_number(phases(run, "train", "inherited"), none="not trained here")]
        rows.append(Row(cells=(*cells, size_number(run)), run=run.candidate))
    return Table(
        id=f"verdict-table-{index}",
        caption=f"Each candidate against {material.baseline}",
        columns=tuple(columns),
        rows=tuple(rows),
        against=material.baseline,
    )


def _verdict_words(
    names: dict[DeltaVerdict | None, list[str]] | None, verdicts: Sequence[DeltaVerdict | None]
) -> list[Cell]:
    if names is None:
        return [Text(text="not compared")] * len(verdicts)
    return [
        Word(word=listed(names[v], limit=12), sense=DELTA_WORDS[v][1] if v else "unknown")
        if names[v]
        else Word(word="–", sense="neutral")
        for v in verdicts
    ]


def _warning(material: Material) -> list[Block]:
    """One notice for all candidates of which something may not be compared."""
    touched = [c.candidate for c in material.main_comparisons if c.problems]
    if not touched:
        return []
    reasons = sum(len(c.problems) for c in material.comparisons)
    listing = "the reasons are listed below"
    if reasons > _REASONS:
        listing = f"{_REASONS} of the {reasons} reasons are listed below, all in the HTML, Markdown"
        listing += " and JSON forms of this page"
    text = f"Not wholly comparable with {material.baseline}: {listed(touched)}. What may not be "
    text += f"compared has no difference and no verdict; {listing}."
    return [Notice(level="warning", text=text)]


def _problems(material: Material) -> list[Block]:
    rows = tuple(
        Row(
            cells=(Text(text=c.candidate), Text(text=c.baseline), Text(text=problem)),
            tags=(f"candidate={c.candidate}",),
        )
        for c in material.comparisons
        for problem in c.problems
    )
    if not rows:
        return []
    columns = (Column(title="Candidate"), Column(title="Against"), Column(title="Reason"))
    table = Table(
        id="problems",
        caption="What may not be compared, and why",
        columns=columns,
        rows=rows[:_REASONS],
        filters=("candidate",),
    )
    if len(rows) <= _REASONS:
        return [table]
    rest = Table(
        id="problems-more",
        caption="Further reasons",
        columns=columns,
        rows=rows[_REASONS:],
        filters=("candidate",),
        folded=True,
    )
    return [table, rest]


def _gate_word(verdict: Verdict | None) -> Word:
    if verdict is None:
        return Word(word="not gated", sense="neutral")
    word, sense = RULE_WORDS[verdict.verdict]
    source = f"verdicts/{verdict.candidate}/verdict"
    return Word(word=word, sense=sense, note=verdict.summary, source=source)


def _rule(verdict: Verdict, rule: RuleResult) -> Rule:
    word, sense = RULE_WORDS[rule.verdict]
    numbers = None
    if rule.delta is not None:
        numbers = Change(
            against=verdict.baseline,
            delta=rule.delta,
            low=rule.low,
            high=rule.high,
            p_value=rule.p_value,
            p_adjusted=rule.p_adjusted,
            mde=rule.mde,
            n=rule.n or 0,
            word=word,
            sense=sense,
            source=f"verdicts/{verdict.candidate}/rules/{verdict.rules.index(rule)}",
        )
    return Rule.model_validate(
        {
            "candidate": rule.candidate,
            "baseline": verdict.baseline,
            "rule": rule.rule,
            "tier": rule.tier,
            "outcome": _outcome(rule),
            "word": word,
            "sense": sense,
            "why": rule.why,
            "claim": rule.claim,
            "numbers": numbers,
            "margin": rule.margin,
        }
    )


def _outcome(rule: RuleResult) -> str:
    """What follows from the rule: its own share in the exit code, not only its verdict."""
    if rule.verdict == "pass":
        return "passed"
    if rule.exit_code != EXIT_PASS:
        return "error" if rule.verdict == "not_comparable" else "failed"
    return "undecided" if rule.verdict == "inconclusive" else "warned"

"""The page of `steelyard watch`: one line a release, and whether the recipe has drifted."""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.harness.compare import Release, Scored
from steelyard.harness.records import Delta
from steelyard.reports.answer import ScoreRow, score_rows
from steelyard.reports.cells import change_of
from steelyard.reports.document import (
    Block,
    Cell,
    Column,
    Document,
    Notice,
    Row,
    Section,
    Sense,
    Table,
    Text,
    Word,
)
from steelyard.reports.words import NONE, change_interval, change_value, listed, moment, task_title


def releases_document(
    name: str, baseline: Scored, releases: Sequence[Release], budget: float
) -> Document:
    """The document of a watch.

    Args:
        name: ``experiment/candidate``.
        baseline: what all releases were held against.
        releases: oldest first.
        budget: the false-alarm budget over all releases, those to come among them.
    """
    headline, sense = _headline(releases)
    first = f"{baseline.run.id[:8]} of {moment(baseline.run.created_at)}"
    return Document(
        kind="report",
        title=f"Watch {name}",
        subtitle=f"Every release against {first}",
        headline=headline,
        sense=sense,
        scores=_scores(baseline, releases),
        facts=(("Releases", str(len(releases))), ("False-alarm budget", f"{budget:g}")),
        sections=(
            Section(
                id="releases",
                title="Releases",
                short="Releases",
                lead=(
                    f"Of a hundred recipes that never change, at most {100 * budget:g} raise any "
                    "alarm, over all releases and tasks together and however long they are "
                    "watched: each release may spend less than the one before."
                ),
                blocks=(_table(releases), *_problems(releases)),
            ),
        ),
        marker=f"steelyard-watch {name}",
    )


def _scores(baseline: Scored, releases: Sequence[Release]) -> tuple[ScoreRow, ...]:
    """The flat rows; all runs have one name, so the release's number stands beside it."""
    name = baseline.name
    rows = list(score_rows([baseline.run], (), name))
    for release in releases:
        numbered = f"{release.run.name}, release {release.number}"
        update = {"candidate": numbered, "baseline": name}
        comparison = release.comparison.model_copy(update=update)
        run = release.run.run.model_copy(update={"candidate": numbered})
        rows += score_rows([run], [comparison], name)
    return tuple(rows)


def _headline(releases: Sequence[Release]) -> tuple[str, Sense]:
    """Of the newest release, and of those before it where one fell."""
    if not releases:
        return "There is no release yet besides the baseline.", "neutral"
    newest, before = releases[-1], [str(each.number) for each in releases[:-1] if each.fell]
    earlier = f" Fell before: release {listed(before)}." if before else ""
    if newest.problems:
        return f"Release {newest.number} cannot be judged: {newest.problems[0]}.{earlier}", "bad"
    if newest.fell:
        return (
            f"Release {newest.number} is worse than the baseline on {_tasks(newest.fell)}.",
            "bad",
        )
    if newest.drifted:
        tasks = _tasks(newest.drifted)
        return f"Release {newest.number} is better on {tasks} and fell nowhere.{earlier}", "good"
    what = f"No drift shown in release {newest.number}, which is not “the same”."
    return f"{what}{earlier}", "neutral"


def _tasks(deltas: Sequence[Delta]) -> str:
    return listed([task_title(delta.task) for delta in deltas])


def _table(releases: Sequence[Release]) -> Table:
    return Table(
        id="release-table",
        caption="Releases, oldest first",
        columns=(
            Column(title="Release", one_line=True),
            Column(title="Run", one_line=True),
            Column(title="Finished", one_line=True),
            Column(title="Level", detail="that a p-value must not exceed", one_line=True),
            Column(title="Drift"),
            Column(title="Least likely fall", detail="by chance; 95% interval of its own"),
        ),
        rows=tuple(Row(cells=_cells(release)) for release in releases),
        note="Levels add up to the budget: release k has budget / (k (k + 1)). p-values are "
        "adjusted over the release's tasks (Holm).",
    )


def _cells(release: Release) -> tuple[Cell, ...]:
    run = release.run.run
    return (
        Text(text=str(release.number)),
        Text(text=run.id[:8], code=True),
        Text(text=moment(run.created_at)),
        Text(text=f"{release.level:.2g}"),
        _word(release),
        Text(text=_change(release, release.lowest)),
    )


def _word(release: Release) -> Word:
    source = f"comparisons/{release.comparison.baseline_id}/{release.comparison.candidate_id}"
    if release.problems:
        return Word(word="not comparable", sense="unknown", source=source)
    if release.fell:
        return Word(word=f"worse: {_tasks(release.fell)}", sense="bad", source=source)
    if release.drifted:
        return Word(word=f"better: {_tasks(release.drifted)}", sense="good", source=source)
    return Word(word="can't tell", sense="unknown", source=source)


def _change(release: Release, delta: Delta | None) -> str:
    if delta is None:
        return NONE
    change = change_of(release.comparison, delta)
    p_value = f"p {delta.p_adjusted:.2g}" if delta.p_adjusted is not None else ""
    return f"{task_title(delta.task)} {change_value(change)} {change_interval(change)} {p_value}"


def _problems(releases: Sequence[Release]) -> list[Block]:
    return [
        Notice(level="warning", text=f"release {release.number}: {problem}")
        for release in releases
        for problem in release.problems[:3]
    ]

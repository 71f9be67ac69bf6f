"""What was lost and gained: the ledger, and the samples themselves."""

from __future__ import annotations

from itertools import zip_longest

from steelyard.harness.records import RETENTION, Comparison, Flip, FlipCount
from steelyard.reports.document import Column, FlipItem, Flips, Number, Row, Section, Table, Text
from steelyard.reports.material import Material
from steelyard.reports.sections.differences import shortened, shortened_start, word_difference
from steelyard.reports.words import metric_title, task_title

MAX_FLIPS = 1500

_TRANSFER = (
    Column(title="Candidate"),
    Column(
        title="Backward transfer",
        detail="higher is better",
        numeric=True,
        higher_is_better=True,
        family=RETENTION,
    ),
    Column(title="Retention tasks"),
)


def forgetting_section(material: Material) -> Section | None:
    """P(wrong now | right before) for each candidate and task, with the counts behind it."""
    comparisons = [c for c in material.main_comparisons if c.flip_counts]
    if not comparisons:
        return None
    primary = {(k.task, k.metric) for k in material.metrics() if k.primary}
    seen = dict.fromkeys((f.task, f.metric) for c in comparisons for f in c.flip_counts)
    keys = [key for key in seen if key in primary]
    matrix = Table(
        id="forgetting-rates",
        caption="Share of the once right answers that are wrong now",
        columns=(
            Column(title="Candidate"),
            *(_column(material, task, metric, keys) for task, metric in keys),
        ),
        rows=tuple(_rate_row(c, keys) for c in comparisons),
    )
    ledger = Table(
        id="forgetting-counts",
        caption="Lost and gained, counted",
        columns=(
            Column(title="Candidate"),
            Column(title="Task"),
            Column(title="Lost", detail="right → wrong", numeric=True),
            Column(title="Gained", detail="wrong → right", numeric=True),
            Column(title="Right before", numeric=True),
            Column(title="Samples", numeric=True),
        ),
        rows=tuple(_count_row(c, count) for c in comparisons for count in c.flip_counts),
        filters=("candidate", "task"),
        folded=True,
    )
    return Section(
        id="forgetting",
        title="Forgetting ledger",
        short="Forgetting",
        lead=(
            "P(wrong now | right before): an average that stands still can hide as many answers "
            "lost as gained."
        ),
        blocks=(*_transfer_table(comparisons), matrix, ledger),
    )


def _column(material: Material, task: str, metric: str, keys: list[tuple[str, str]]) -> Column:
    family = next((k.family for k in material.metrics() if k.task == task), None)
    several = sum(1 for other, _ in keys if other == task) > 1
    return Column(
        title=task_title(task) + (f" ({metric_title(metric)})" if several else ""),
        detail="lower is better",
        numeric=True,
        higher_is_better=False,
        family=family,
    )


def _flip_source(comparison: Comparison, count: FlipCount) -> str:
    path = f"comparisons/{comparison.baseline_id}/{comparison.candidate_id}"
    return f"{path}/flip_counts/{count.task}/{count.metric}"


def _rate_row(comparison: Comparison, keys: list[tuple[str, str]]) -> Row:
    counts = {(f.task, f.metric): f for f in comparison.flip_counts}
    cells: list[Number] = []
    for key in keys:
        count = counts.get(key)
        if count is None:
            cells.append(Number(value=None, note="no pairs"))
            continue
        cells.append(
            Number(
                value=count.forgetting_rate,
                note=f"{count.lost} lost of {count.right_before}, {count.gained} gained",
                source=f"{_flip_source(comparison, count)}/forgetting_rate",
            )
        )
    return Row(cells=(Text(text=comparison.candidate), *cells))


def _transfer_table(comparisons: list[Comparison]) -> list[Table]:
    """The mean change over the retention tasks; no table where nobody was asked one."""
    if not any(c.backward_transfer for c in comparisons):
        return []
    table = Table(
        id="backward-transfer",
        caption="Mean change of accuracy over the retention tasks, taken as independent",
        columns=_TRANSFER,
        rows=tuple(_transfer_row(comparison) for comparison in comparisons),
    )
    return [table]


def _transfer_row(comparison: Comparison) -> Row:
    transfer = comparison.backward_transfer
    path = f"comparisons/{comparison.baseline_id}/{comparison.candidate_id}/backward_transfer"
    number = Number(value=None, note="no retention task")
    if transfer is not None:
        number = Number(
            value=transfer.value, low=transfer.low, high=transfer.high, signed=True, source=path
        )
    asked = ", ".join(task_title(task) for task in transfer.tasks) if transfer else ""
    return Row(cells=(Text(text=comparison.candidate), number, Text(text=asked)))


def _count_row(comparison: Comparison, count: FlipCount) -> Row:
    task = task_title(count.task)
    numbers = tuple(
        Number(
            value=float(getattr(count, name)),
            unit="count",
            source=f"{_flip_source(comparison, count)}/{name}",
        )
        for name in ("lost", "gained", "right_before", "n")
    )
    return Row(
        cells=(
            Text(text=comparison.candidate),
            Text(text=task, note=metric_title(count.metric)),
            *numbers,
        ),
        tags=(f"candidate={comparison.candidate}", f"task={task}"),
    )


def flips_section(material: Material) -> Section | None:
    """The sentences themselves: lost ones first, taken in turn from every candidate and task."""
    queues: dict[tuple[str, str, str], list[tuple[Comparison, Flip]]] = {}
    total = 0
    for comparison in material.main_comparisons:
        for flip in comparison.flips:
            total += 1
            key = ("0" if flip.direction == "lost" else "1", comparison.candidate, flip.task)
            queues.setdefault(key, []).append((comparison, flip))
    if not total:
        return None
    turns = zip_longest(*(queues[key] for key in sorted(queues)))
    chosen = [pair for turn in turns for pair in turn if pair is not None][:MAX_FLIPS]
    chosen.sort(key=lambda pair: pair[1].direction == "gained")
    return Section(
        id="flips",
        title="The samples that changed sides",
        short="Flips",
        lead="Right before and wrong now, or the other way; words that differ are marked.",
        blocks=(
            Flips(
                id="flip-list",
                caption="Flipped samples",
                items=tuple(_flip(c, f) for c, f in chosen),
                total=max(total, _counted(material)),
            ),
        ),
    )


def _counted(material: Material) -> int:
    primary = {(k.task, k.metric) for k in material.metrics() if k.primary}
    return sum(
        f.lost + f.gained
        for c in material.main_comparisons
        for f in c.flip_counts
        if (f.task, f.metric) in primary
    )


def _flip(comparison: Comparison, flip: Flip) -> FlipItem:
    before, after = word_difference(flip.baseline_response, flip.candidate_response)
    return FlipItem(
        candidate=comparison.candidate,
        against=comparison.baseline,
        task=task_title(flip.task),
        metric=metric_title(flip.metric),
        sample_id=flip.sample_id,
        direction=flip.direction,
        prompt=shortened_start(flip.prompt),
        target=shortened(flip.target),
        before=before,
        after=after,
        slices=tuple(f"{name}: {value}" for name, value in flip.slices.items()),
        everywhere=flip.flips_in_every_candidate,
    )

"""Any number of runs -> who stands where on each task; every page of the site is drawn from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from steelyard.harness.energy import total
from steelyard.harness.records import DIVERGENCE, Energy, Rows, Run, Score, TaskSignature
from steelyard.reports.cells import phases
from steelyard.reports.document import Normalised, Number
from steelyard.reports.material import MetricKey, metric_keys
from steelyard.reports.site.names import model_name
from steelyard.reports.site.paired_ranks import MOST_RUNS, paired_rank_sets
from steelyard.reports.site.ranks import normalised, on_front, rank_sets
from steelyard.reports.site.settings import Settings, labels_of, names_of, settings_of

Measure = tuple[str, str]
"""(task, metric)"""


@dataclass(frozen=True, eq=False)
class Entry:
    """A run in the standings: the current one of its candidate on its suite."""

    run: Run
    scores: Mapping[Measure, Score]
    signatures: Mapping[str, TaskSignature]
    tasks: frozenset[str]
    training: Energy | None
    """Parents included; None where nothing was trained here."""

    @classmethod
    def of(cls, run: Run) -> Entry:
        """The run with its scores and signatures by name."""
        trained = [energy for _, energy in phases(run, "train", "inherited")]
        return cls(
            run,
            {(score.task, score.metric): score for score in run.scores},
            {signature.task: signature for signature in run.signatures},
            frozenset(score.task for score in run.scores),
            total(trained) if trained else None,
        )


@dataclass(frozen=True)
class Group:
    """Runs that were asked the same on a task, and may be ranked together."""

    settings: Settings
    name: str
    """All that sets it apart from the others on this task; empty where there is one."""
    label: str
    """The same in as few words as will do."""
    main: bool
    """Whether it is larger than every other one of its task."""


@dataclass(frozen=True)
class Placed:
    """One score where it stands among those that it may be held against."""

    entry: Entry
    score: Score
    group: Group
    rank: str | None
    """``1`` or ``2–4``; None: not ranked; empty: a metric that nobody ranks by."""
    ranked: int
    """How many are ranked in the group."""
    normalised: Normalised | None
    fronts: tuple[str, ...]
    """Pareto fronts within the group: of ``energy`` and ``size``."""

    @property
    def words(self) -> str:
        """``rank 2–4 of 8``, with what sets the group apart."""
        if self.score.value is None or self.rank == "":
            return ""
        if self.rank is None and None in (self.score.low, self.score.high):
            return "no interval, not ranked"
        if self.rank is None:
            return "others are scored on more of the samples, not ranked"
        text = f"rank {self.rank} of {self.ranked}"
        return text if self.group.main else f"{text} ({self.group.label})"


class Standings:
    """The current run of each candidate on each suite, placed task by task.

    Args:
        runs: in any order; the same run from two workspaces counts once.
        current: the ids of those that are current, as the stores have it recorded. Where two
            workspaces have each their own, the run that was made later is ranked. None: nobody
            recorded anything, and the latest of each candidate is taken.
        rows_of: the 0/1 rows of a run by its id; with them runs are ranked by paired tests.
    """

    def __init__(
        self,
        runs: Iterable[Run],
        current: Collection[str] | None = None,
        rows_of: Callable[[str], Sequence[Rows]] | None = None,
    ) -> None:
        self._rows_of = _by_measure(rows_of) if rows_of is not None else None
        unique = {run.id: run for run in sorted(runs, key=lambda r: r.made)}.values()
        self.runs = sorted(unique, key=lambda r: (r.experiment, r.candidate, r.suite, r.made, r.id))
        ids = {run.id for run in self.runs} if current is None else set(current)
        ranked = [run for run in self.runs if run.id in ids]
        latest = {(run.experiment, run.candidate, run.suite): run for run in ranked}
        self.entries = [Entry.of(run) for run in latest.values()]
        self.current = frozenset(run.id for run in latest.values())
        self.earlier = [run for run in self.runs if run.id not in self.current]

    @cached_property
    def keys(self) -> list[MetricKey]:
        """Every metric but those that measure a checkpoint against its own parent."""
        keys = metric_keys([entry.run for entry in self.entries])
        return [key for key in keys if key.family not in DIVERGENCE]

    @cached_property
    def tasks(self) -> dict[str, list[MetricKey]]:
        """The metrics by task, each task's primary ones first."""
        tasks: dict[str, list[MetricKey]] = {}
        for key in sorted(self.keys, key=lambda key: not key.primary):
            tasks.setdefault(key.task, []).append(key)
        return {task: tasks[task] for task in dict.fromkeys(key.task for key in self.keys)}

    @cached_property
    def suites(self) -> dict[str, list[Entry]]:
        """The entries by suite, the largest suite first."""
        suites: dict[str, list[Entry]] = {}
        for entry in self.entries:
            suites.setdefault(entry.run.suite, []).append(entry)
        return dict(sorted(suites.items(), key=lambda item: (-len(item[1]), item[0])))

    @cached_property
    def suites_of(self) -> dict[Measure, tuple[str, ...]]:
        """The suites that each metric was scored in."""
        by_measure: dict[Measure, dict[str, None]] = {}
        for entry in self.entries:
            for measure in entry.scores:
                by_measure.setdefault(measure, {})[entry.run.suite] = None
        return {measure: tuple(sorted(suites)) for measure, suites in by_measure.items()}

    @cached_property
    def models(self) -> dict[str, list[Run]]:
        """Every run by ``experiment / candidate``, oldest first."""
        models: dict[str, list[Run]] = {}
        for run in self.runs:
            models.setdefault(model_name(run), []).append(run)
        return models

    @cached_property
    def placed(self) -> dict[Measure, dict[str, Placed]]:
        """For each metric the score of each run (by id) where it stands."""
        return {(key.task, key.metric): self._place(key) for key in self.keys}

    def _place(self, key: MetricKey) -> dict[str, Placed]:
        groups: dict[Settings, list[tuple[Entry, Score]]] = {}
        for entry in self.entries:
            score = entry.scores.get((key.task, key.metric))
            if score is not None:
                settings = settings_of(entry.run, entry.signatures.get(key.task))
                groups.setdefault(settings, []).append((entry, score))
        names, labels = names_of(groups), labels_of(groups)
        ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), names[item[0]]))
        second = len(ordered[1][1]) if len(ordered) > 1 else 0
        places = {}
        for settings, members in ordered:
            main = len(members) > second and settings == ordered[0][0]
            group = Group(settings, names[settings], labels[settings], main)
            for placed in self._within(group, members, ranks=key.primary):
                places[placed.entry.run.id] = placed
        return places

    def _within(
        self, group: Group, members: Sequence[tuple[Entry, Score]], *, ranks: bool
    ) -> list[Placed]:
        """One group's scores with their ranks and fronts.

        One with more unscored samples than another has none: a mean over what is left is of other
        samples, and losing the hardest ones would put it first.
        """
        whole = [i for i, (_, s) in enumerate(members) if None not in (s.value, s.low, s.high)]
        fewest = min((members[i][1].unscored for i in whole), default=0)
        fit = [i for i in whole if members[i][1].unscored == fewest]
        scores = [members[i][1] for i in fit]
        shown: dict[int, str] = {}
        fronts: dict[str, set[int]] = {}
        if ranks:
            sets = self._paired_ranks([members[i] for i in fit]) or rank_sets(scores)
            shown = dict(zip(fit, sets, strict=True))
            for name, cost in (("energy", _training_kwh), ("size", self.size)):
                on = on_front(scores, [cost(members[i][0]) for i in fit])
                fronts[name] = {i for i, yes in zip(fit, on, strict=True) if yes}
        return [
            Placed(
                entry,
                score,
                group,
                shown.get(i) if ranks else "",
                len(fit),
                normalised(score),
                tuple(name for name, on in fronts.items() if i in on),
            )
            for i, (entry, score) in enumerate(members)
        ]

    def _paired_ranks(self, members: Sequence[tuple[Entry, Score]]) -> list[str] | None:
        """None where the rows are not at hand, or cannot be paired."""
        if self._rows_of is None or not 2 <= len(members) <= MOST_RUNS:
            return None
        if any(score.kind != "accuracy" for _, score in members):
            return None
        rows = [self._rows_of(e.run.id).get((s.task, s.metric)) for e, s in members]
        return paired_rank_sets([score for _, score in members], rows)

    def size(self, entry: Entry) -> float | None:
        """Bytes that must lie on disk to use the model: of an adapter, its base's too."""
        checkpoint = entry.run.checkpoint
        if checkpoint.format != "adapter" or checkpoint.size_bytes is None:
            return checkpoint.size_bytes
        base = self._sizes.get(checkpoint.base_digest or "")
        return None if base is None else base + checkpoint.size_bytes

    @cached_property
    def _sizes(self) -> dict[str, int | None]:
        return {run.checkpoint.digest: run.checkpoint.size_bytes for run in self.runs}


def _by_measure(
    rows_of: Callable[[str], Sequence[Rows]],
) -> Callable[[str], Mapping[Measure, Rows]]:
    """The rows of one number, by task and metric; of the last runs that were asked for."""

    @lru_cache(maxsize=128)
    def rows(id: str) -> Mapping[Measure, Rows]:
        return {(r.task, r.metric): r for r in rows_of(id) if r.values.shape[1] == 1}

    return rows


def _training_kwh(entry: Entry) -> float | None:
    return None if entry.training is None else entry.training.energy_kwh


def training_number(entry: Entry) -> Number:
    """The energy of training, parents included, in kWh with its grade."""
    spent = entry.training
    if spent is None:
        return Number(value=None, unit="kWh")
    energies = phases(entry.run, "train", "inherited")
    return Number(
        value=spent.energy_kwh,
        unit="kWh",
        grade=spent.grade,
        note=spent.note,
        source=f"{energies[0][0]}/energy_kwh" if len(energies) == 1 else None,
    )

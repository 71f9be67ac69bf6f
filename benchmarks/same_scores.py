"""Two workspaces held against each other row for row: is every number still the same?

    python benchmarks/same_scores.py OLD_WORKSPACE NEW_WORKSPACE [--experiment NAME]

The newest run of every experiment/candidate is compared: each task and metric, its samples' ids,
values, scored and flags, its score's value and interval, and the answers. Ids of runs, digests of
code, energies and times may differ and are left out; so is the task `cost`, whose rows are times.
Either workspace may be of version 1. Exits 1 where anything differs, and names it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from steelyard.harness.records import COST, Rows, Run, SampleRecord, Score
from steelyard.harness.store import Store, open_store

#: What is compared of a score: the number, its interval, and what it was made from.
_OF_SCORE = ("value", "low", "high", "n", "unscored", "kind", "higher_is_better", "primary",
             "chance", "majority", "flags", "note")  # fmt: skip


@dataclass
class Compared:
    """What comparing one run came to."""

    scores: int = 0
    rows: int = 0
    samples: int = 0
    differences: list[str] = field(default_factory=list)


def newest(store: Store, experiment: str | None) -> dict[str, Run]:
    """``experiment/candidate`` -> its newest run."""
    where = {} if experiment is None else {"experiment": experiment}
    return {f"{run.experiment}/{run.candidate}": run for run in store.find(**where)}


def compare_runs(old: tuple[Store, Run], new: tuple[Store, Run]) -> Compared:
    """Everything in which two runs differ, a line each."""
    compared = Compared()
    before, after = ({(s.task, s.metric): s for s in run.scores} for _, run in (old, new))
    compared.differences += _missing(before, after, "score")
    for key in [key for key in before if key in after and key[0] != COST]:
        compared.scores += 1
        compared.differences += _score_differences(before[key], after[key])
    for task in dict.fromkeys(task for task, _ in before if task != COST):
        rows = [{r.metric: r for r in store.rows(run.id, task)} for store, run in (old, new)]
        compared.differences += _missing(rows[0], rows[1], f"rows of {task}")
        for metric in rows[0].keys() & rows[1].keys():
            compared.rows += len(rows[0][metric].sample_ids)
            compared.differences += _row_differences(rows[0][metric], rows[1][metric])
        samples = [store.samples(run.id, task) for store, run in (old, new)]
        compared.samples += len(samples[0])
        compared.differences += _sample_differences(task, samples[0], samples[1])
    return compared


def _missing(before: Mapping, after: Mapping, what: str) -> Iterator[str]:
    for key in before.keys() ^ after.keys():
        yield f"{what} {key}: only in the {'old' if key in before else 'new'} one"


def _score_differences(before: Score, after: Score) -> Iterator[str]:
    for name in _OF_SCORE:
        was, now = getattr(before, name), getattr(after, name)
        if was != now:
            yield f"{before.task} {before.metric}: {name} was {was!r}, is {now!r}"


def _row_differences(before: Rows, after: Rows) -> Iterator[str]:
    where = f"{before.task} {before.metric}"
    for name in ("sample_ids", "flags", "clusters"):
        was, now = getattr(before, name), getattr(after, name)
        if was != now:
            count = sum(a != b for a, b in zip(was, now, strict=False)) + abs(len(was) - len(now))
            yield f"{where}: {count} of {len(was)} {name} differ"
    if not np.array_equal(before.scored, after.scored):
        yield f"{where}: other samples are scored"
    elif before.values.shape != after.values.shape:
        yield f"{where}: rows of shape {before.values.shape}, now {after.values.shape}"
    # Bit for bit: a NaN stands where nothing was scored, and -0.0 is not 0.0.
    elif before.values.tobytes() != after.values.tobytes():
        unequal = (before.values.view(np.uint64) != after.values.view(np.uint64)).any(axis=1)
        yield f"{where}: {int(unequal.sum())} of {len(unequal)} rows differ"


def _sample_differences(
    task: str, before: tuple[SampleRecord, ...], after: tuple[SampleRecord, ...]
) -> Iterator[str]:
    for name in SampleRecord.model_fields:
        was, now = ([getattr(s, name) for s in samples] for samples in (before, after))
        if was != now:
            count = sum(a != b for a, b in zip(was, now, strict=False)) + abs(len(was) - len(now))
            yield f"{task}: {name} of {count} of {len(was)} samples differ"


def main() -> int:
    """Print a line a run, then every difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--experiment", help="only this experiment")
    arguments = parser.parse_args()
    stores = [open_store(folder, url="", exact=True) for folder in (arguments.old, arguments.new)]
    old, new = (newest(store, arguments.experiment) for store in stores)
    problems = [f"run {line}" for line in _missing(old, new, "named")]
    if not old:
        problems.append(f"no runs in {arguments.old}")
    print(f"{'run':<40} {'scores':>7} {'rows':>8} {'samples':>8}  differences")
    for name in sorted(old.keys() & new.keys()):
        compared = compare_runs((stores[0], old[name]), (stores[1], new[name]))
        figures = f"{compared.scores:>7} {compared.rows:>8} {compared.samples:>8}"
        print(f"{name:<40} {figures}  {len(compared.differences) or 'none'}")
        problems += [f"{name}: {line}" for line in compared.differences]
    for line in problems:
        print(line)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

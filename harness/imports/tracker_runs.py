"""Which rows of codecarbon's ``emissions.csv`` are one tracker's, and what it used in all.

A tracker that flushes writes a row each time, and each holds the total since it started: its last
row is its energy. Rows of several trackers add up. Which is which stands in ``run_id``, unless
codecarbon left it empty: with its API switched on every row says "None"
(mlco2/codecarbon #1303), and taking these for one tracker loses all but the last. Rows without an
id are one tracker's where they began at one moment (timestamp less duration).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from steelyard.harness.errors import DataError
from steelyard.harness.imports.numbers import number

Record = Mapping[str, object]
#: What stands for an id that codecarbon, or what passed its file on, did not have.
_NO_ID = frozenset({"", "none", "nan", "null", "n/a", "<na>"})
#: codecarbon's timestamps are whole seconds, and stopping takes it a moment.
_SAME_START = timedelta(seconds=5)


@dataclass(frozen=True)
class TrackerRun:
    """One tracker's rows."""

    id: str
    """codecarbon's run id; where it has none, when the tracker started, or its line in the file."""
    rows: tuple[Record, ...]
    nameless: bool = False
    """Whether codecarbon gave it no id."""

    @property
    def total(self) -> Record:
        """The last row, which holds what the tracker used in all."""
        return self.rows[-1]

    @property
    def project(self) -> str:
        """codecarbon's project."""
        return str(self.total.get("project_name"))

    @property
    def window(self) -> tuple[datetime, datetime] | None:
        """From when to when it ran; None where the file does not say."""
        start = _start(self.total)
        seconds = number(self.total.get("duration"))
        return None if start is None or seconds is None else (start, start + _duration(seconds))


def tracker_runs(table: Sequence[tuple[str, Record]]) -> list[TrackerRun]:
    """The trackers of a file, in its order; ``table`` is (where, columns) of each row.

    Raises ``DataError`` where the rows of one id are not one tracker's growing total.
    """
    trackers: dict[str, list[Record]] = {}
    nameless: list[tuple[str, datetime, object]] = []
    for where, record in table:
        id = _id(record) or _nameless_id(where, record, nameless)
        rows = trackers.setdefault(id, [])
        if rows:
            _require_growth(id, where, rows[-1], record)
        rows.append(record)
    return [
        TrackerRun(id, tuple(rows), nameless=_id(rows[0]) is None) for id, rows in trackers.items()
    ]


def require_apart(runs: Sequence[TrackerRun]) -> None:
    """Raise ``DataError`` where two trackers ran at once: their sum would count the machine twice.

    A tracker sees the whole machine, unless it was told to watch its process alone.
    """
    windows = [(run.window, run) for run in runs if run.total.get("tracking_mode") != "process"]
    placed = sorted(
        ((window, run) for window, run in windows if window is not None), key=lambda pair: pair[0]
    )
    for (earlier, first), (later, second) in pairwise(placed):
        if earlier[1] - later[0] > _SAME_START:
            raise DataError(
                f"trackers {first.id} and {second.id} ran at once, and each saw the whole "
                "machine: their sum would count it twice",
                fix="name one with --run-id",
            )


def _id(record: Record) -> str | None:
    id = str(record["run_id"]).strip()
    return None if id.lower() in _NO_ID else id


def _nameless_id(where: str, record: Record, nameless: list[tuple[str, datetime, object]]) -> str:
    """When the tracker of a row without an id started, which is that of the rows before it."""
    start = _start(record)
    if start is None:
        return where.replace(" ", "-")
    project = record.get("project_name")
    for id, earlier, other_project in nameless:
        if project == other_project and abs(start - earlier) <= _SAME_START:
            return id
    id = start.isoformat(timespec="seconds")
    if any(id == other for other, _, _ in nameless):  # two projects of one moment
        id = f"{id}-{where.replace(' ', '-')}"
    nameless.append((id, start, project))
    return id


def _end(record: Record) -> datetime | None:
    try:
        end = datetime.fromisoformat(str(record.get("timestamp")))
        # codecarbon writes no zone; some who pass its file on do.
        return end if end.tzinfo is None else end.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def _start(record: Record) -> datetime | None:
    end, seconds = _end(record), number(record.get("duration"))
    try:
        return None if end is None or seconds is None else end - _duration(seconds)
    except (ValueError, OverflowError):
        return None


def _duration(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _require_growth(id: str, where: str, before: Record, after: Record) -> None:
    """A tracker's total never falls; where it does, the rows are of several trackers."""
    for name in ("duration", "energy_consumed"):
        earlier, later = number(before.get(name)), number(after.get(name))
        if earlier is not None and later is not None and later < earlier:
            raise DataError(
                f"{where} of run {id} has a smaller {name} ({later:g}) than its row before "
                f"({earlier:g}): these are several trackers' rows under one run_id",
                key=name,
                fix="give each tracker's rows a run_id of their own",
            )
    earlier_end, later_start = _end(before), _start(after)
    if earlier_end is None or later_start is None:
        return
    # A machine that slept meanwhile stops the tracker's own clock, but not for as long as it ran.
    if later_start - earlier_end >= _SAME_START:
        raise DataError(
            f"{where} of run {id} began at {later_start.isoformat(sep=' ', timespec='seconds')}, "
            "after its row before had ended: these are several trackers' rows under one run_id",
            key="timestamp",
            fix="give each tracker's rows a run_id of their own",
        )

"""Runs as tables: what is in a workspace or a baseline file, as pandas DataFrames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.harness.compare import Scored, baseline_file
from steelyard.harness.records import Record, Run
from steelyard.harness.store import open_store
from steelyard.reports.exports.tables import (
    ENERGY_COLUMNS,
    ROW_COLUMNS,
    RUN_COLUMNS,
    SCORE_COLUMNS,
    energy_lines,
    row_lines,
    score_lines,
)

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_COLUMNS = (
    "run", "task", "sample_id", "prompt", "target", "responses", "document", "slices", "cluster",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class LoadedRun:
    """A run with everything that was kept of it, as tables.

    The tables are made when they are first asked for. Their columns are those of
    ``steelyard export``, so that tables of several runs can be put below one another with
    ``pandas.concat``.
    """

    scored: Scored

    @property
    def record(self) -> Run:
        """The run itself: checkpoint, scores, signatures, energy, environment."""
        return self.scored.run

    @property
    def id(self) -> str:
        """The run's id, a hex digest."""
        return self.record.id

    @property
    def name(self) -> str:
        """``experiment/candidate``."""
        return f"{self.record.experiment}/{self.record.candidate}"

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One line a task and metric: ``value`` with its 95% interval ``low`` to ``high``, ``n``.

        Units are the metric's own; a value that is missing is NaN or None, never 0.
        """
        return _frame(score_lines([self.scored]), _run_last(SCORE_COLUMNS))

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One line a task, metric and sample.

        ``values`` holds the k numbers of the sample's row as a list (None where it is unscored);
        what they mean is the metric's. The paired tests read these.
        """
        return _frame(row_lines(self.scored), ROW_COLUMNS)

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One line a task and sample: the prompt, the target, the responses and the document.

        Empty where no texts were kept, as in a baseline file without them.
        """
        samples = (self.scored.samples_of(task) for task in self.scored.tasks)
        lines = (
            {"run": self.id, **sample.model_dump()} for each in samples for sample in each.values()
        )
        return _frame(lines, SAMPLE_COLUMNS)

    @cached_property
    def energy(self) -> pd.DataFrame:
        """One line a phase: seconds, kWh, grams of CO2e, and whether they were measured."""
        return _frame(energy_lines([self.scored]), _run_last(ENERGY_COLUMNS))

    def save_baseline(self, path: str | Path, *, include_text: bool = False) -> Path:
        """Write the run as a baseline file (``*.steelyard.json.gz``), which a repository keeps.

        ``include_text`` keeps prompts and answers too. Raises ``DataError`` for another suffix
        and for an incomplete run.
        """
        baseline_file.save(self.scored, Path(path), include_text=include_text)
        return Path(path)

    def __repr__(self) -> str:
        run = self.record
        return f"<LoadedRun {self.name}: {len(run.scores)} scores, suite {run.suite}>"


def load(run: str | Path, *, workspace: str | Path = ".steelyard") -> LoadedRun:
    """A run from a workspace, or from a baseline file.

    Args:
        run: an id or the beginning of one, ``experiment/candidate`` (the current one), a run's
            folder, or a baseline file.
        workspace: where runs are looked up; a shared store is named by ``STEELYARD_STORE``.

    Raises ``UnknownNameError`` where there is no such run, ``DataError`` or ``StoreError`` where it
    cannot be read.

        run = steelyard.load("support-bot/lora")
        run.scores[["task", "metric", "value", "low", "high"]]
    """
    return LoadedRun(baseline_file.open_run(open_store(Path(workspace)), str(run)))


def scored_run(run: str | Path | LoadedRun, workspace: str | Path) -> Scored:
    """The run by name or as it was loaded."""
    loaded = run if isinstance(run, LoadedRun) else load(run, workspace=workspace)
    return loaded.scored


def table(records: Iterable[Record]) -> pd.DataFrame:
    """Records of one kind as a table, one line a record and one column a field.

    ``steelyard.table(comparison.deltas)``, ``steelyard.table(verdict.rules)``.
    """
    import pandas as pd

    held = list(records)
    names = list(type(held[0]).model_fields) if held else None
    return pd.DataFrame([record.model_dump() for record in held], columns=names)


def _run_last(columns: tuple[str, ...]) -> tuple[str, ...]:
    """What differs from line to line first: a wide table is shown by its beginning."""
    return (*(name for name in columns if name not in RUN_COLUMNS), *RUN_COLUMNS)


def _frame(lines: Iterable[dict[str, object]], columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(lines), columns=list(columns))

"""What an import makes: a run with its rows, marked with where it came from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.harness.errors import DataError
from steelyard.harness.files import digest_json, file_digest, one_line
from steelyard.harness.records import (
    CheckpointManifest,
    Digests,
    Energy,
    Environment,
    Rows,
    Run,
    SampleRecord,
    Score,
    TaskSignature,
)

if TYPE_CHECKING:
    from steelyard.harness.store import FolderStore

EXPERIMENT = "imported"
UNKNOWN = "unknown"
#: Shown of a digest where a person reads it; the whole one stands in the checkpoint's notes.
_SHOWN = 12


@dataclass(frozen=True)
class Imported:
    """A run of another tool with the rows and samples that its files hold."""

    run: Run
    rows: tuple[Rows, ...] = ()
    samples: tuple[SampleRecord, ...] = ()
    remarks: tuple[str, ...] = ()
    """What whoever imports should know, one line each: samples that are missing, say."""


@dataclass(frozen=True)
class Source:
    """The tool and the files that a run is made of, the main file first."""

    tool: str
    files: tuple[Path, ...]
    version: str | None = None

    @property
    def title(self) -> str:
        """``lm-eval 0.4.13, results_x.json (SHA-256 0123456789ab)``."""
        first = self.files[0]
        tool = f"{self.tool} {self.version}" if self.version else self.tool
        return f"{tool}, {one_line(first.name)} (SHA-256 {file_digest(first)[:_SHOWN]})"

    @property
    def notes(self) -> tuple[str, ...]:
        """Name and whole SHA-256 of each file."""
        return tuple(f"{one_line(f.name)}: SHA-256 {file_digest(f)}" for f in self.files)


@dataclass(frozen=True)
class Model:
    """What a results file says of the model; None is unknown."""

    name: str
    parameters: int | None = None
    dtype: str = UNKNOWN
    versions: Mapping[str, str] = field(default_factory=dict)


def imported_run(
    source: Source,
    *,
    candidate: str,
    experiment: str,
    suite: str,
    model: Model,
    scores: Sequence[Score],
    signatures: Sequence[TaskSignature],
    created_at: str | None = None,
    energy: Sequence[Energy] = (),
    options: Mapping[str, object] | None = None,
) -> Run:
    """A run that says where it came from; the same files with the same options are the same run.

    The checkpoint's digest is that of the main file: the weights were never seen here.
    ``options`` is whatever else the rows depend on. Raises ``DataError`` for a name that cannot
    name a run.
    """
    require_name(candidate, "candidate")
    require_name(experiment, "experiment")
    digests = [file_digest(path) for path in source.files]
    made = created_at or modified(source.files[0])
    identity = [sorted(digests), source.tool, experiment, candidate, dict(options or {})]
    return Run(
        id=digest_json(identity)[:32],
        experiment=experiment,
        candidate=candidate,
        suite=suite,
        checkpoint=CheckpointManifest(
            digest=digests[0],
            digests=Digests(weights=UNKNOWN, tokenizer=UNKNOWN),
            format="full",
            candidate=candidate,
            base=model.name,
            trainer="imported",
            parameters=model.parameters,
            size_bytes=None,
            dtype=model.dtype,
            versions=model.versions,
            notes=source.notes,
            created_at=made,
        ),
        scores=tuple(scores),
        signatures=tuple(signatures),
        energy=tuple(energy),
        environment=Environment(python=UNKNOWN, platform=UNKNOWN, packages=model.versions),
        imported_from=source.title,
        created_at=made,
    )


def require_name(name: str, what: str) -> None:
    """A candidate or experiment is named ``experiment/candidate``, so neither holds a slash."""
    if not name.strip() or "/" in name or not name.isprintable():
        raise DataError(
            f"'{one_line(name)}' cannot name a {what}", fix="use letters, digits, - and _"
        )


def plain_name(text: str) -> str:
    """``text`` as a candidate's name: ``org/model`` becomes ``org__model``, as lm-eval has it."""
    name = re.sub(r"[^\w.+=@-]+", "__", text.strip(), flags=re.ASCII).strip("_")
    return name[:120] or "unnamed"


def modified(path: Path) -> str:
    """When a file was last written, UTC, ISO 8601."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")


def unmetered(seconds: float | None) -> tuple[Energy, ...]:
    """The energy of a scoring of that length that was not metered; () where it is unknown."""
    if seconds is None or not 0 < seconds < float("inf"):
        return ()
    note = "imported: not metered"
    return (
        Energy(phase="score", seconds=seconds, energy_kwh=None, grade="unavailable", note=note),
    )


def rows_from(
    task: str,
    metric: str,
    sample_ids: Sequence[str],
    values: Sequence[Sequence[float] | None],
    *,
    clusters: Sequence[str | None] | None = None,
    flags: Sequence[str] | None = None,
) -> Rows:
    """Rows of one metric; None is a sample without a row."""
    import numpy as np

    n = len(values)
    width = next((len(row) for row in values if row is not None), 1)
    table = np.full((n, width), np.nan)
    for index, row in enumerate(values):
        if row is not None:
            table[index] = row
    return Rows(
        task=task,
        metric=metric,
        sample_ids=tuple(sample_ids),
        values=table,
        scored=np.array([row is not None for row in values], dtype=np.bool_),
        flags=tuple(flags) if flags is not None else ("",) * n,
        clusters=tuple(clusters) if clusters is not None else (None,) * n,
    )


def store_imported(
    store: FolderStore, imported: Imported, *, in_place_of: str | None = None
) -> bool:
    """Put an imported run into the store in one rename; False where it is there already.

    Either way it is the current run of its name: what is imported last is what is meant. With
    ``in_place_of``, a run's id, it is so only where that run was.
    """
    run = imported.run
    is_new = store.runs.intact(run.id) is None
    if in_place_of is None:
        store.current.put(run)
    else:
        store.current.replaced(in_place_of, run)
    store.runs.publish(run, imported.rows, imported.samples)
    return is_new

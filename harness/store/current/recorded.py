"""The record as it is kept: a document a candidate, and one for each attempt that has not ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from steelyard.harness.errors import NewerVersionError, StoreError
from steelyard.harness.records import Record
from steelyard.harness.store.current.documents import Documents
from steelyard.harness.store.current.gate_attempts import GATED, GatedRecord
from steelyard.harness.store.current.record import (
    RECORDED,
    VERSION,
    AttemptRecord,
    CurrentRun,
    DamagedRecordError,
    SuiteRun,
    document_name,
    experiment_prefix,
    read_as,
)
from steelyard.harness.store.index import RunIndex

_KINDS: Mapping[str, type[Record]] = {"attempt": AttemptRecord, GATED: GatedRecord}
"""What the documents hold whose names begin so; all others hold a candidate's current run."""


class Recorded:
    """Reads and changes the documents.

    Args:
        documents: where they lie.
        index: which runs there are, for a workspace of before this record.
        root: the workspace, for messages.
    """

    def __init__(self, documents: Documents, index: RunIndex, root: Path) -> None:
        self.documents = documents
        self._index = index
        self._root = root
        self._unwritten: dict[str, CurrentRun] | None = None
        """Taken from dates where nothing can be written: a workspace may be read-only."""

    def ready(self, *, writing: bool = False) -> None:
        """A workspace of before this record gets one, from dates: there is nothing better.

        Raises ``NewerVersionError`` where a newer Steelyard keeps it.
        """
        value = self.documents.read(RECORDED)
        version = value.get("version") if isinstance(value, dict) else None
        if isinstance(version, int) and version > VERSION:
            what = f"its current runs are recorded by a newer Steelyard (version {version})"
            raise NewerVersionError(what, file=self._root, fix="upgrade")
        if value is not None or self._unwritten is not None:
            return
        records = self._from_dates()
        if not records and not writing:
            return

        def write() -> None:
            if self.documents.read(RECORDED) is None:
                for name, record in records.items():
                    self.documents.write(name, record.model_dump(mode="json"))
                self.documents.write(RECORDED, {"version": VERSION})

        try:
            self.documents.alone(write)
        except StoreError:
            if writing:
                raise
            self._unwritten = records
        if records:
            say(
                f"note: {self._root}: made before Steelyard recorded which run of a candidate is "
                "the current one; the newest by date is taken"
            )

    def read(self, experiment: str, candidate: str) -> CurrentRun | None:
        """What is recorded of a candidate; None where nothing is.

        Raises ``DamagedRecordError``, ``NewerVersionError``.
        """
        name = document_name(experiment, candidate)
        if self._unwritten is not None:
            return self._unwritten.get(name)
        value = self._document(name)
        what = f"the record of {experiment}/{candidate}"
        return None if value is None else read_as(CurrentRun, value, what)

    def every(self, experiment: str | None = None) -> Iterator[CurrentRun]:
        """The records of an experiment, or all; damaged ones, which a check names, left out."""
        prefix = "run-" if experiment is None else experiment_prefix("run", experiment)
        if self._unwritten is not None:
            yield from (r for name, r in self._unwritten.items() if name.startswith(prefix))
            return
        for name in self.documents.names():
            if name.startswith(prefix):
                try:
                    value = self._document(name)
                    if value is not None:
                        yield read_as(CurrentRun, value, f"current/{name}.json")
                except DamagedRecordError:
                    continue

    def change(
        self, experiment: str, candidate: str, change: Callable[[CurrentRun], CurrentRun]
    ) -> None:
        """Replace a candidate's record by what ``change`` makes of it, or of a new one."""
        self.ready(writing=True)

        def replace() -> None:
            try:
                old = self.read(experiment, candidate)
            except DamagedRecordError:
                old = None
            new = change(old or CurrentRun(experiment=experiment, candidate=candidate))
            if new is not old:
                document = new.model_dump(mode="json")
                self.documents.write(document_name(experiment, candidate), document)

        self.documents.alone(replace)

    def attempts(self, experiment: str | None = None) -> dict[str, AttemptRecord]:
        """Id -> what has begun and not ended, of an experiment or of all."""
        prefix = "attempt-" if experiment is None else experiment_prefix("attempt", experiment)
        attempts = {}
        for name in self.documents.names():
            if name.startswith(prefix):
                value = self.documents.read(name)
                if value is not None:  # else ended since it was listed
                    record = read_as(AttemptRecord, value, f"current/{name}.json")
                    attempts[name.rpartition("-")[2]] = record
        return attempts

    def write_attempt(self, id: str, record: AttemptRecord) -> None:
        """Leave word that an attempt has begun; without candidates it has ended."""
        name = experiment_prefix("attempt", record.experiment) + id
        if record.candidates:
            self.documents.write(name, record.model_dump(mode="json"))
        else:
            self.documents.remove(name)

    def damage(self) -> Iterator[str]:
        """What is wrong with the documents, a line each."""
        for name in self.documents.names():
            kind = _KINDS.get(name.partition("-")[0], CurrentRun)
            try:
                value = self.documents.read(name)
                if name != RECORDED and value is not None:
                    read_as(kind, value, f"current/{name}.json")
            except StoreError as error:
                yield str(error)

    def _document(self, name: str) -> object:
        try:
            return self.documents.read(name)
        except StoreError as error:
            raise DamagedRecordError(str(error)) from None

    def _from_dates(self) -> dict[str, CurrentRun]:
        records: dict[str, CurrentRun] = {}
        for summary in self._index.find({}):  # oldest first
            name = document_name(summary.experiment, summary.candidate)
            old = records.get(name)
            suite = SuiteRun(run=summary.id, checkpoint=summary.checkpoint)
            records[name] = CurrentRun(
                experiment=summary.experiment,
                candidate=summary.candidate,
                run=summary.id,
                checkpoint=summary.checkpoint,
                suites={**(old.suites if old else {}), summary.suite: suite},
                stored=(*(old.stored if old else ()), summary.id),
                derived=True,
            )
        return records


def say(line: str) -> None:
    """A line on standard error."""
    print(line, file=sys.stderr, flush=True)

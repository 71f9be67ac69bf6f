"""The one way from ``experiment/candidate`` to a run: what was recorded, and never a date.

A clock may be wrong, a file may be imported with an older date, and a cached rerun has the date of
its first scoring. So whoever stores a run, or ends in failure, records it:

* a run is recorded before its folder appears: killed in between, the name means a run that is not
  there, which is an error, and never the run of before;
* a `steelyard run` leaves word that it began (:mod:`steelyard.harness.store.current.attempt`);
* a run that was put by other means makes its name mean nothing until the next one is recorded.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from steelyard.harness.errors import NoCurrentRunError
from steelyard.harness.records import Run
from steelyard.harness.store.current.attempt import Attempt
from steelyard.harness.store.current.documents import Documents
from steelyard.harness.store.current.gate_attempts import GateAttempts
from steelyard.harness.store.current.record import (
    AttemptRecord,
    CurrentRun,
    DamagedRecordError,
    SuiteRun,
    document_name,
)
from steelyard.harness.store.current.recorded import Recorded, say
from steelyard.harness.store.index import RunIndex, RunSummary
from steelyard.harness.store.locks import this_process

_AGAIN = "run the experiment again, or name an earlier run by its id"
_LONGEST_REASON = 300


class CurrentRuns:
    """Which run each name means, in one store.

    Args:
        documents: where it is recorded.
        index: which runs there are.
        is_there: whether a run of this id is there, readable or not.
        held: takes the lease of a key for a block, which is told whether it has it.
        root: the workspace, from which experiment files are named.
    """

    def __init__(
        self,
        documents: Documents,
        index: RunIndex,
        is_there: Callable[[str], bool],
        held: Callable[[str], AbstractContextManager[bool]],
        root: Path,
    ) -> None:
        self.gated = GateAttempts(documents, index)
        """How often each candidate was tried at a gate."""
        self._recorded = Recorded(documents, index, root)
        self._index = index
        self._is_there = is_there
        self._held = held
        self._root = root

    # --- asked ------------------------------------------------------------------------------

    def run_id(self, experiment: str, candidate: str) -> str | None:
        """The id of the current run; None where there is no run of this name and never was.

        Raises ``NoCurrentRunError`` where there is none now, ``StoreError`` where the record is a
        newer Steelyard's.
        """
        self._recorded.ready()
        summaries = self._index.find({"experiment": experiment, "candidate": candidate})
        record = self._current(experiment, candidate, summaries)
        return None if record is None else record.run

    def checkpoint(self, experiment: str, candidate: str) -> str | None:
        """Digest of the present checkpoint, scored or not; None where nothing is recorded.

        Raises ``NoCurrentRunError`` where an attempt at it has not ended, or has failed.
        """
        self._recorded.ready()
        record = self._recorded.read(experiment, candidate)
        if record is None:
            return None
        self._require_finished(record, self._recorded.attempts(experiment))
        if record.checkpoint is None:
            raise _no_run(record.name, record.why)
        return record.checkpoint

    def of_experiment(self, experiment: str) -> dict[str, str | NoCurrentRunError]:
        """Candidate -> the id of its current run, or why it has none; in the order of the runs."""
        self._recorded.ready()
        by_candidate: dict[str, list[RunSummary]] = {}
        for summary in self._index.find({"experiment": experiment}):
            by_candidate.setdefault(summary.candidate, []).append(summary)
        for record in self._recorded.every(experiment):
            by_candidate.setdefault(record.candidate, [])
        attempts = self._recorded.attempts(experiment)
        answers: dict[str, str | NoCurrentRunError] = {}
        for candidate, summaries in by_candidate.items():
            try:
                current = self._current(experiment, candidate, summaries, attempts)
            except NoCurrentRunError as error:
                answers[candidate] = error
            else:
                if current is not None and current.run is not None:
                    answers[candidate] = current.run
        return answers

    def ranked(self) -> tuple[set[str], list[str]]:
        """The ids of all current runs, one a suite, and a line for each name that has none."""
        self._recorded.ready()
        by_name: dict[tuple[str, str], list[RunSummary]] = {}
        for summary in self._index.find({}):
            by_name.setdefault((summary.experiment, summary.candidate), []).append(summary)
        attempts = self._recorded.attempts()
        ids: set[str] = set()
        lines = []
        for (experiment, candidate), summaries in by_name.items():
            try:
                current = self._current(experiment, candidate, summaries, attempts)
            except NoCurrentRunError as error:
                lines.append(str(error))
            else:
                ids |= set() if current is None else {s.run for s in current.suites.values()}
        return ids, lines

    def damage(self) -> Iterator[str]:
        """What is wrong with the record, a line each."""
        yield from self._recorded.damage()

    # --- told -------------------------------------------------------------------------------

    def put(self, run: Run) -> None:
        """``run`` is what its name means from now on; called before its folder appears."""
        stored = self._stored(run.experiment, run.candidate)
        self._recorded.change(
            run.experiment, run.candidate, lambda old: _with_run(old, run, stored)
        )

    def settle(self, run: Run, *, stored: Collection[str], attempt: str, file: str | None) -> None:
        """``run`` is what an attempt came to; nothing is written where that was recorded."""

        def settled(old: CurrentRun) -> CurrentRun:
            new = old if _means(old, run) else _with_run(old, run, stored)
            every = tuple(dict.fromkeys((*new.stored, *stored)))
            changes = {"stored": every, "file": file or old.file, "derived": False}
            changed = new.model_copy(update=changes)
            return old if changed == old else changed.model_copy(update={"attempt": attempt})

        self._recorded.change(run.experiment, run.candidate, settled)

    def settle_checkpoint(
        self, experiment: str, candidate: str, digest: str, *, attempt: str, file: str | None
    ) -> None:
        """A candidate was trained, or found trained: the run of another checkpoint is none."""

        def settled(old: CurrentRun) -> CurrentRun:
            if old.run is not None and old.checkpoint == digest:
                return old
            changes: dict[str, object] = {
                "checkpoint": digest,
                "run": None,
                "suites": {},
                "why": f"its present checkpoint {digest[:12]} is not scored",
                "attempt": attempt,
                "file": file or old.file,
            }
            return old.model_copy(update=changes)

        self._recorded.change(experiment, candidate, settled)

    def replaced(self, before: str, run: Run) -> None:
        """``run`` is stored in place of the run ``before``: current where that one was."""
        record = self._recorded.read(run.experiment, run.candidate)
        if record is None or record.run == before:
            self.put(run)
        else:
            self.note(run)

    def note(self, run: Run) -> None:
        """``run`` is stored and is not the current one of its name."""
        stored = self._stored(run.experiment, run.candidate)

        def noted(old: CurrentRun) -> CurrentRun:
            why = old.why or "it was copied here, and is not the current one of where it came from"
            every = tuple(dict.fromkeys((*old.stored, *stored, run.id)))
            return old.model_copy(update={"stored": every, "why": "" if old.run else why})

        self._recorded.change(run.experiment, run.candidate, noted)

    def clear(
        self,
        experiment: str,
        candidate: str,
        why: str,
        *,
        checkpoint: str | None = None,
        attempt: str | None = None,
        file: str | None = None,
    ) -> None:
        """The candidate has no current run; ``why`` is what its users are told."""

        def cleared(old: CurrentRun) -> CurrentRun:
            changes: dict[str, object] = {
                "run": None,
                "suites": {},
                "checkpoint": checkpoint,
                "why": why[:_LONGEST_REASON],
                "attempt": attempt,
                "file": file or old.file,
            }
            return old.model_copy(update=changes)

        self._recorded.change(experiment, candidate, cleared)

    def forget(self, summary: RunSummary) -> None:
        """The run was removed: its name means nothing, and no earlier run takes its place."""

        def forgotten(old: CurrentRun) -> CurrentRun:
            suites = {name: suite for name, suite in old.suites.items() if suite.run != summary.id}
            changes: dict[str, object] = {"suites": suites}
            if old.run == summary.id:
                changes |= {"run": None, "why": f"its run {summary.id[:12]} was removed"}
            return old.model_copy(update=changes)

        self._recorded.change(summary.experiment, summary.candidate, forgotten)

    def failed(self, experiment: str | None, file: Path | None, why: str) -> None:
        """An experiment could not even be read: none of its candidates has a current run.

        It is known by its name, by its file, or by both.
        """
        self._recorded.ready()
        place = None if file is None else self.file_name(file)
        for record in list(self._recorded.every()):
            concerned = record.experiment == experiment or (place and record.file == place)
            if concerned and record.run is not None:
                self.clear(record.experiment, record.candidate, why)

    def file_name(self, file: Path) -> str:
        """An experiment's file as it is recorded: from the workspace, which moves with it."""
        try:
            return str(Path(file).resolve().relative_to(self._root.resolve().parent))
        except ValueError:
            return str(Path(file).resolve())

    @contextmanager
    def attempt(
        self, experiment: str, candidates: Iterable[str], file: Path | None = None
    ) -> Iterator[Attempt]:
        """One `steelyard run` or `train` of these candidates.

        Until it has said what a candidate came to, and where it ends before it has, the candidate
        has no current run.
        """
        self._recorded.ready()
        id = uuid.uuid4().hex
        by_candidate: dict[str, tuple[str, ...]] = {}
        for summary in self._index.find({"experiment": experiment}):
            earlier = by_candidate.get(summary.candidate, ())
            by_candidate[summary.candidate] = (*earlier, summary.id)
        names = set(self._recorded.documents.names())
        concerned = tuple(c for c in candidates if document_name(experiment, c) in names)
        place = None if file is None else self.file_name(file)
        attempt = Attempt(self, id, experiment, place, by_candidate, set(concerned))
        if not concerned:
            yield attempt
            return
        record = AttemptRecord(experiment=experiment, candidates=concerned, holder=this_process())
        with self._held(f"attempt-{id}"):
            self._recorded.write_attempt(id, record)
            self._take_over(id, record)
            try:
                yield attempt
            except BaseException as error:
                why = f"its last run ended early: {str(error) or type(error).__name__}"
                for candidate in sorted(attempt.unsettled):
                    attempt.failed(candidate, why)
                raise
            finally:
                self._recorded.write_attempt(id, record.model_copy(update={"candidates": ()}))

    # --- kept -------------------------------------------------------------------------------

    def _current(
        self,
        experiment: str,
        candidate: str,
        summaries: Sequence[RunSummary],
        attempts: Mapping[str, AttemptRecord] | None = None,
    ) -> CurrentRun | None:
        """The record, once everything that speaks against its run is ruled out."""
        ids = [summary.id for summary in summaries]
        name = f"{experiment}/{candidate}"
        try:
            record = self._recorded.read(experiment, candidate)
        except DamagedRecordError as error:
            raise _no_run(name, error.message) from None
        if record is None:
            if not ids:
                return None
            raise _no_run(name, f"{len(ids)} are stored, and none is recorded as the one meant")
        if attempts is None:
            attempts = self._recorded.attempts(experiment)
        self._require_finished(record, attempts)
        if record.run is None:
            raise _no_run(name, record.why)
        others = [id for id in ids if id not in record.stored]
        if others:
            raise _no_run(name, f"run {others[-1][:12]} was put by other means since")
        if not self._is_there(record.run):
            raise _no_run(
                name, f"its run {record.run[:12]} was removed, or its storing was cut off"
            )
        if record.derived and len(ids) > 1:
            say(
                f"note: {name}: the newest of {len(ids)} runs by date is taken "
                f"({record.run[:12]}); run the experiment again to be sure"
            )
        return record

    def _require_finished(self, record: CurrentRun, attempts: Mapping[str, AttemptRecord]) -> None:
        """Raise where an attempt at the candidate has begun and not said what it came to."""
        for id, attempt in attempts.items():
            concerned = record.candidate in attempt.candidates
            if concerned and attempt.experiment == record.experiment and id != record.attempt:
                raise _no_run(
                    record.name, f"a run of it began and has not ended ({attempt.holder})"
                )

    def _stored(self, experiment: str, candidate: str) -> tuple[str, ...]:
        summaries = self._index.find({"experiment": experiment, "candidate": candidate})
        return tuple(summary.id for summary in summaries)

    def _take_over(self, id: str, mine: AttemptRecord) -> None:
        """What dead attempts left unfinished of these candidates is this attempt's now."""
        for other in self._recorded.attempts(mine.experiment):
            if other == id:
                continue
            with self._held(f"attempt-{other}") as dead:
                record = self._recorded.attempts(mine.experiment).get(other) if dead else None
                if record is not None:
                    left = tuple(c for c in record.candidates if c not in mine.candidates)
                    self._recorded.write_attempt(
                        other, record.model_copy(update={"candidates": left})
                    )


def _no_run(name: str, why: str) -> NoCurrentRunError:
    return NoCurrentRunError(f"{name}: no current run: {why}", fix=_AGAIN)


def _means(record: CurrentRun, run: Run) -> bool:
    """Whether the record says already that ``run`` is current, on its suite too."""
    suite = record.suites.get(run.suite)
    return record.run == run.id and suite is not None and suite.run == run.id


def _with_run(old: CurrentRun, run: Run, stored: Collection[str]) -> CurrentRun:
    """The record once ``run`` is current.

    On other suites a run stays current while it is of the same checkpoint; of imported results
    nobody knows the checkpoint, and each file has its suite.
    """
    digest = run.checkpoint.digest
    imported = run.imported_from is not None
    suites = {n: s for n, s in old.suites.items() if imported or s.checkpoint == digest}
    return old.model_copy(
        update={
            "run": run.id,
            "checkpoint": digest,
            "suites": {**suites, run.suite: SuiteRun(run=run.id, checkpoint=digest)},
            "stored": tuple(dict.fromkeys((*old.stored, *stored, run.id))),
            "why": "",
            "attempt": None,
            "derived": False,
        }
    )

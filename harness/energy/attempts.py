"""What a stage used in all its attempts, those that failed or were killed too.

Each attempt leaves its file in the stage's own folder of the workspace: while it runs, a sign of
life; once its window has closed, what it used, for as long as the stage has not finished: it may
still fail after it was measured. The file of a killed attempt says for how long it lived at
least, and no more is claimed.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

from steelyard.harness.energy.config import Phase
from steelyard.harness.energy.totals import total
from steelyard.harness.errors import StoreError
from steelyard.harness.files import write_atomic
from steelyard.harness.plugins import Meter, Reading
from steelyard.harness.records import Energy

SIGN_OF_LIFE_SECONDS = 2.0


class Attempts:
    """The attempts at one stage; the caller holds the stage's lease.

    Args:
        folder: the stage's own, where earlier attempts left their files.
        phase: ``train`` or ``score``.
    """

    def __init__(self, folder: Path, phase: Phase) -> None:
        self._folder = folder
        self._phase = phase

    @contextmanager
    def window(self, meter: Meter, name: str) -> Iterator[AttemptReading]:
        """Measure this attempt; what it used is kept for the next one until ``forget``."""
        earlier, lost_seconds = self._earlier()
        reading: AttemptReading | None = None
        with _alive(self._folder / f"{uuid.uuid4().hex}.json") as file:
            try:
                with meter.window(name) as own:
                    reading = AttemptReading(own, earlier, lost_seconds)
                    yield reading
            finally:
                if reading is not None:
                    _write(file, reading.own.energy(self._phase))

    def forget(self) -> None:
        """The stage has finished, and its record has the sum."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _earlier(self) -> tuple[list[Energy], list[float]]:
        """Energies of measured attempts, and for how long each killed one lived at least."""
        energies: list[Energy] = []
        lost: list[float] = []
        for file in sorted(self._folder.glob("*.json")):
            try:
                content, life = json.loads(file.read_text("utf-8")), file.stat()
                if "energy" in content:
                    energies.append(Energy.model_validate(content["energy"]))
                else:
                    lost.append(max(0.0, life.st_mtime - float(content["began"])))
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                lost.append(0.0)
        return energies, lost


class AttemptReading:
    """This attempt's energy, with that of the attempts before it; readable after exit."""

    def __init__(self, own: Reading, earlier: list[Energy], lost_seconds: list[float]) -> None:
        self.own = own
        self._earlier = earlier
        self._lost_seconds = lost_seconds

    def energy(self, phase: str) -> Energy:
        """The sum; a killed attempt is not in it, and the note says so."""
        summed = self.own.energy(phase)
        if self._earlier:
            summed = total([summed, *self._earlier], phase=cast("Phase", phase))
        notes = [summed.note] if summed.note else []
        if self._earlier:
            notes.append(f"{len(self._earlier) + 1} attempts together")
        if self._lost_seconds:
            count = len(self._lost_seconds)
            what = "a killed attempt" if count == 1 else f"{count} killed attempts"
            seconds = sum(self._lost_seconds)
            notes.append(f"without {what} of {seconds:.0f} s or more, whose energy is not known")
        return summed.model_copy(update={"note": "; ".join(notes) or None})


@contextmanager
def _alive(file: Path) -> Iterator[Path]:
    """Keep ``file`` fresh while the block runs; a full disk loses only the file."""
    done = threading.Event()

    def freshen() -> None:
        while not done.wait(SIGN_OF_LIFE_SECONDS):
            try:
                os.utime(file)
            except OSError:
                return

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}", "utf-8")
        file.write_text(json.dumps({"began": file.stat().st_mtime}), "utf-8")
    except OSError:
        pass
    thread = threading.Thread(target=freshen, name="attempt", daemon=True)
    thread.start()
    try:
        yield file
    finally:
        done.set()
        thread.join()


def _write(file: Path, energy: Energy) -> None:
    """A full disk loses only the record; killed within, the attempt counts as killed."""
    text = json.dumps({"energy": energy.model_dump(mode="json")})
    with suppress(StoreError):
        write_atomic(file, text, durable=False)

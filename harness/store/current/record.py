"""What is recorded of a candidate: its current run, or why it has none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TypeVar

from pydantic import Field, ValidationError

from steelyard.harness.errors import StoreError
from steelyard.harness.records import Record
from steelyard.harness.store.atomic import whole_text

#: Raised with every change of what is recorded; a higher one is a newer Steelyard's.
VERSION = 1
#: Says that the workspace keeps this record. One without is of before, or holds no run yet.
RECORDED = "recorded"
_NAME_DIGITS = 24

R = TypeVar("R", bound=Record)


class SuiteRun(Record):
    """The current run of a candidate on one suite."""

    run: str
    checkpoint: str


class CurrentRun(Record):
    """What stands for ``experiment/candidate`` now."""

    version: int = VERSION
    experiment: str
    candidate: str
    run: str | None = None
    """The id of the run that the name means; None: there is none, and ``why`` says why."""
    checkpoint: str | None = None
    """Digest of the present checkpoint, scored or not; None where it is unknown."""
    suites: Mapping[str, SuiteRun] = Field(default_factory=dict)
    """Of each suite the run that a leaderboard ranks."""
    stored: tuple[str, ...] = ()
    """Every run of this name that was there. One that is not among them was put by other means
    (a copied folder, a Steelyard of before this record), and nobody knows which is meant."""
    why: str = ""
    file: str | None = None
    """The experiment's file, from the workspace, whose failure concerns this candidate."""
    attempt: str | None = None
    """The `steelyard run` or `train` that settled it."""
    derived: bool = False
    """Taken from dates, once, in a workspace of before this record."""

    @property
    def name(self) -> str:
        """``experiment/candidate``."""
        return f"{self.experiment}/{self.candidate}"


class AttemptRecord(Record):
    """A `steelyard run` or `train` that has begun and not ended."""

    version: int = VERSION
    experiment: str
    candidates: tuple[str, ...]
    """Those of which it has not said yet what they came to."""
    holder: str
    """Who carries it out, in words."""


def experiment_prefix(kind: str, experiment: str) -> str:
    """How the names of all documents of an experiment begin."""
    return f"{kind}-{_digits(experiment)}-"


def document_name(experiment: str, candidate: str, kind: str = "run") -> str:
    """The document of a candidate. Names hold any character, so digests stand for them."""
    return experiment_prefix(kind, experiment) + _digits(candidate)


def _digits(name: str) -> str:
    # As the file will hold it: a half of a character cannot be written.
    return hashlib.sha256(whole_text(name).encode()).hexdigest()[:_NAME_DIGITS]


def read_as(kind: type[R], value: object, what: str) -> R:
    """The record in a document.

    Raises ``NewerVersionError``, or ``DamagedRecordError`` where it says nothing any more.
    """
    version = value.get("version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise StoreError(
            f"{what} was written by a newer Steelyard (version {version})", fix="upgrade"
        )
    try:
        return kind.model_validate_json(json.dumps(value))
    except ValidationError as error:
        raise DamagedRecordError(f"{what} is damaged ({error.errors()[0]['msg']})") from None


class DamagedRecordError(StoreError):
    """A record that says nothing any more: there is no current run until the next one is stored."""

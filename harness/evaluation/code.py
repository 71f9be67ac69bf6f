"""Digests of the code that a stored number depends on: whole rooms, never a list of files.

Two keys, because an answer costs a model and a score does not:

* An *answer* in a journal is what a model said to a request. Checkpoint and request stand in its
  key themselves; what opens the model, runs it and cuts its answers stands there by these rooms.
* A *score* is made of answers by everything that evaluation runs through: how the suite is built,
  what a sample is, metrics and probes, the ends of the interval.

A *cost* (a suite's ``cost:``) is read from a meter besides, so the key of such a suite holds
``harness/energy`` too.

So a change in ``harness/stats`` makes new scores of the answers that are there, and a change in
``harness/scoring`` asks the model again. Rooms that only show, compare or move runs (``cli``,
``compare``, ``gate``, ``imports``, ``pipeline``, ``store``, ``reports``, ``trainers``) are in
neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from steelyard.harness.environment import versions
from steelyard.harness.files import digest_json, file_digest

#: What makes an answer, the rooms that open and run a model: paths below the house, each with all
#: its folders.
ANSWER_ROOMS = ("harness/checkpoints", "harness/scoring")
#: What makes a score. A test holds the imports of evaluation inside these rooms.
SCORE_ROOMS = (
    *ANSWER_ROOMS,
    "harness/__init__.py",
    "harness/environment.py",
    "harness/errors.py",
    "harness/evaluation",
    "harness/files",
    "harness/interpreters.py",
    "harness/plugins",
    "harness/records",
    "harness/stats",
    "harness/suites",
    "harness/texts",
    "tasks",
)
#: What a cost score depends on besides: meters, and how their readings add up.
COST_ROOMS = ("harness/energy",)
HOUSE = Path(__file__).resolve().parents[2]


@lru_cache
def scoring_code() -> str:
    """Digest of the Python that a score depends on: changed code scores again."""
    return rooms_digest(SCORE_ROOMS)


@lru_cache
def metering_code() -> str:
    """Digest of the Python that reads meters: where it changed, costs are measured again."""
    return rooms_digest(COST_ROOMS)


def answers_key(checkpoint_digest: str) -> str:
    """What a checkpoint's answers go by in its journal: its digest, and what runs the model.

    Where neither the code that makes an answer nor its libraries changed, they are found again.
    """
    return digest_json([checkpoint_digest, _answering_code(), versions("answers")])


@lru_cache
def _answering_code() -> str:
    return rooms_digest(ANSWER_ROOMS)


def rooms_digest(rooms: Sequence[str], house: Path = HOUSE) -> str:
    """Digest of every Python file of the rooms, with its path below ``house``."""
    return digest_json(sorted(_sources(rooms, house)))


def _sources(rooms: Sequence[str], house: Path) -> Iterator[tuple[str, str]]:
    for room in rooms:
        path = house / room
        for file in [path] if path.is_file() else path.rglob("*.py"):
            yield file.relative_to(house).as_posix(), file_digest(file)

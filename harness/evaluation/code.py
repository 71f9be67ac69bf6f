"""The digest of the code that a stored score depends on: whole rooms, never a list of files."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from steelyard.harness.files.digests import digest_json, file_digest

#: Paths below ``steelyard`` that scoring a checkpoint runs through, each with all its folders.
SCORING_ROOMS = (
    "harness/evaluation",
    "harness/scoring",
    "harness/stats",
    "tasks/metrics",
)


@lru_cache
def scoring_code() -> str:
    """Digest of the Python that turns a checkpoint into rows: scorer, evaluation and metrics.

    Changed code scores again; what models answered stays in their journals.
    """
    return digest_json(sorted(_sources()))


def _sources() -> list[tuple[str, str]]:
    """(room and path inside it, digest) of every Python file of the rooms."""
    house = Path(__file__).resolve().parents[2]
    return [
        (f"{room}/{path.relative_to(house / room).as_posix()}", file_digest(path))
        for room in SCORING_ROOMS
        for path in (house / room).rglob("*.py")
    ]

"""Which documents a limit keeps: stratified, seeded by content, the same for every checkpoint."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from steelyard.harness.files import digest_json


def seeded_unit(seed: int, content: str) -> float:
    """A number in [0, 1) that depends on the seed and the content alone."""
    return int(hashlib.sha256(f"{seed}:{content}".encode()).hexdigest()[:13], 16) / 16**13


def stratified(digests: Sequence[str], strata: Sequence[str], limit: int, seed: int) -> list[int]:
    """Indices of at most ``limit`` documents, ascending.

    Every stratum is represented in proportion to its size, to within one document. Who is chosen
    depends on the documents' content and the seed, not on their order in the file, and a smaller
    limit keeps a subset of a larger one's documents.
    """
    occurrence: Counter[str] = Counter()
    members: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for index, (content, stratum) in enumerate(zip(digests, strata, strict=True)):
        key = digest_json([content, occurrence[content]])
        occurrence[content] += 1
        members[stratum].append((seeded_unit(seed, key), index))
    # Systematic sampling: the k-th of m members stands at (k + u) / m on a line that all strata
    # share, so any prefix of the line holds each stratum in proportion.
    line = []
    for stratum, drawn in members.items():
        start = seeded_unit(seed, f"stratum:{stratum}")
        for rank, (unit, index) in enumerate(sorted(drawn)):
            line.append(((rank + start) / len(drawn), unit, index))
    return sorted(index for _, _, index in sorted(line)[:limit])


def shares(sizes: Sequence[int], limit: int) -> list[int]:
    """How many of ``limit`` documents each of several tasks of these sizes gets.

    In proportion, at least one each, by largest remainders: together exactly ``limit``, or all
    where there are no more.
    """
    total = sum(sizes)
    if limit >= total:
        return list(sizes)
    quotas = [limit * size / total for size in sizes]
    counts = [max(1, int(quota)) for quota in quotas]
    while sum(counts) != limit:
        missing = sum(counts) < limit
        gaps = [quota - count for quota, count in zip(quotas, counts, strict=True)]
        open_places = [i for i, count in enumerate(counts) if missing or count > 1]
        place = (max if missing else min)(open_places, key=gaps.__getitem__)
        counts[place] += 1 if missing else -1
    return counts

"""Is an evaluation item in the training data? Exact n-gram containment, item by item.

An item is contaminated by a training document that holds at least ``THRESHOLD`` of the item's
distinctive word n-grams: copied, quoted inside something longer, or with a few words changed.
Containment, not Jaccard similarity, because a training row holds more than the item (Broder 1997,
"On the resemblance and containment of documents"); n-grams that many items share (a template's
words) say nothing and do not count. Two changed words leave a short question too few n-grams: for
those, documents that share pairs of words are read word by word, and hold the item where its
longest common subsequence with a stretch of theirs covers ``ALIKE`` of its words, each weighed by
how few items hold it (inverse document frequency): a template's words are not the item.

At the sizes of fine-tuning data an inverted index is exact and takes seconds, so nothing is
sketched: MinHash would approximate the same numbers.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

#: Words of an n-gram.
N = 3
#: The share of an item's distinctive n-grams from which on a document holds it.
THRESHOLD = 0.5
#: Items of at most so many words are also looked for word by word,
SHORT_WORDS = 24
#: and found where this share of their words, by weight, stands in a document in the same order.
ALIKE = 0.7
#: An n-gram of more than this share of the items (and of more than five) is a template's.
COMMON = 0.01
_FEWEST_COMMON = 5
#: Fewer distinctive n-grams than this are matched whole or not at all.
_FEWEST_GRAMS = 3
#: Documents are read word by word for an item where they share this much of its word pairs.
_WORTH_READING = 0.2
_BATCH = 5_000
_WORD = re.compile(r"\w+")
_FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)

Words = list[int]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Contamination:
    """For each item, in order: how much of it the closest training document holds."""

    shares: NDArray[np.float64]
    """(items,) in 0..1; 0 where no document shares a distinctive n-gram."""
    documents: Integers
    """(items,) the closest document's place in the data; -1 where there is none."""
    items_without_words: int
    """Items that hold nothing to be found again."""

    @property
    def contaminated(self) -> NDArray[np.bool_]:
        """(items,) whether a training document holds the item."""
        return self.shares >= THRESHOLD


class ItemIndex:
    """Evaluation items, ready to be looked for in training data."""

    def __init__(self, items: Sequence[str]) -> None:
        self._numbers: dict[str, int] = {}
        self._items = [self._words(item, grow=True) for item in items]
        self._grams = _GramIndex(self._items, N)
        short = [words if len(words) <= SHORT_WORDS else [] for words in self._items]
        self._pairs = _GramIndex(short, 2)
        holders = Counter(word for words in self._items for word in set(words))
        #: By word number: what nearly every item says weighs next to nothing.
        self._weights = [0.0] * (len(self._numbers) + 1)
        for word, count in holders.items():
            self._weights[word] = math.log((len(self._items) + 1) / count)

    def search(self, documents: Iterable[str]) -> Contamination:
        """Look for every item in ``documents``, which are read once and in batches."""
        size = len(self._items)
        shares, closest = np.zeros(size), np.full(size, -1, dtype=np.int64)
        first = 0
        for batch in _document_batches(documents):
            numbered = [self._words(document, grow=False) for document in batch]
            for items, places, share in (self._held(numbered), self._alike(numbered)):
                order = np.lexsort((-places, share))
                best, where = np.zeros(size), np.full(size, -1, dtype=np.int64)
                best[items[order]], where[items[order]] = share[order], places[order] + first
                better = best > shares
                shares[better], closest[better] = best[better], where[better]
            first += len(batch)
        return Contamination(shares, closest, sum(not words for words in self._items))

    def _words(self, text: str, *, grow: bool) -> Words:
        """The text's words as numbers from 1; -1 for a word that stands in no item."""
        words = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
        if grow:
            return [self._numbers.setdefault(word, len(self._numbers) + 1) for word in words]
        return [self._numbers.get(word, -1) for word in words]

    def _held(self, batch: Sequence[Words]) -> tuple[Integers, Integers, NDArray[np.float64]]:
        """(item, document, share of the item's n-grams), each pair once."""
        items, places, hits = self._grams.hits(batch)
        lengths = self._grams.lengths[items]
        share = hits / lengths
        # A handful of n-grams proves nothing unless all of them are there.
        share[(lengths < _FEWEST_GRAMS) & (share < 1)] = 0.0
        return items, places, share

    def _alike(self, batch: Sequence[Words]) -> tuple[Integers, Integers, NDArray[np.float64]]:
        """The same for short items, by the words themselves; only what reaches ``ALIKE``."""
        items, places, hits = self._pairs.hits(batch)
        likely = (hits >= 2) & (hits >= _WORTH_READING * self._pairs.lengths[items])
        items, places = items[likely], places[likely]
        share = np.array(
            [
                _covered(self._items[item], batch[place], self._weights)
                for item, place in zip(items.tolist(), places.tolist(), strict=True)
            ]
        )
        alike = share >= ALIKE
        return items[alike], places[alike], share[alike]


class _GramIndex:
    """The distinctive n-grams of items and whose they are."""

    def __init__(self, items: Sequence[Words], n: int) -> None:
        self._n = n
        grams, owners = _distinct(items, n)
        common = max(_FEWEST_COMMON, COMMON * len(items))
        _, inverse, counts = np.unique(grams, return_inverse=True, return_counts=True)
        distinctive = counts[inverse] <= common
        # An item of nothing but common n-grams is looked for by all of them.
        bare = np.bincount(owners[distinctive], minlength=len(items)) == 0
        distinctive |= bare[owners]
        grams, owners = grams[distinctive], owners[distinctive]
        order = np.argsort(grams, kind="stable")
        self._owners = owners[order]
        self._grams, self._starts = np.unique(grams[order], return_index=True)
        self._ends = np.append(self._starts[1:], len(order))
        self.lengths = np.bincount(owners, minlength=len(items))

    def hits(self, batch: Sequence[Words]) -> tuple[Integers, Integers, Integers]:
        """(item, document of the batch, n-grams of the item in it), each pair once."""
        grams, owners = _distinct(batch, self._n)
        if not len(self._grams):
            grams, owners = grams[:0], owners[:0]
        place = np.minimum(np.searchsorted(self._grams, grams), max(len(self._grams) - 1, 0))
        indexed = self._grams[place] == grams if len(grams) else np.zeros(0, dtype=bool)
        place, owners = place[indexed], owners[indexed]
        counts = self._ends[place] - self._starts[place]
        # Every posting of every n-gram found, flattened.
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        items = self._owners[np.repeat(self._starts[place], counts) + offsets]
        keys = items.astype(np.int64) * len(batch) + np.repeat(owners, counts)
        pairs, hits = np.unique(keys, return_counts=True)
        return pairs // len(batch), pairs % len(batch), hits


def _covered(item: Words, document: Words, weights: Sequence[float]) -> float:
    """The share of the item's words, by weight, that a stretch of the document holds in its order.

    Stretches are half as long again as the item, so that a long document does not hold every
    item by its scattered words.
    """
    from rapidfuzz.distance import LCSseq

    reach = len(item) + len(item) // 2
    wanted = set(item)
    best = 0.0
    for start in range(0, max(len(document) - reach // 2, 1), max(reach // 2, 1)):
        stretch = document[start : start + reach]
        if sum(weights[word] for word in stretch if word in wanted) > best:
            aligned = [
                word
                for block in LCSseq.opcodes(item, stretch)
                if block.tag == "equal"
                for word in item[block.src_start : block.src_end]
            ]
            best = max(best, sum(weights[word] for word in aligned))
    return best / sum(weights[word] for word in item)


def _document_batches(documents: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(documents)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _distinct(numbered: Sequence[Words], n: int) -> tuple[NDArray[np.uint64], Integers]:
    """Each text's distinct n-grams as 64-bit hashes of word numbers, and whose they are.

    A text shorter than an n-gram is one n-gram, padded with 0; n-grams with an unknown word are
    left out.
    """
    lengths = np.array([max(len(words), n) if words else 0 for words in numbered], dtype=np.int64)
    flat = np.zeros(int(lengths.sum()), dtype=np.int64)
    for words, end, length in zip(numbered, np.cumsum(lengths), lengths, strict=True):
        flat[end - length : end - length + len(words)] = words
    owners = np.repeat(np.arange(len(numbered)), lengths)
    if len(flat) < n:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    # A hash of the n words from each place on: each word is mixed in with a factor of its own, and
    # the high bits are folded down, so that other words give another hash, but for chance.
    span = len(flat) - n + 1
    grams = np.zeros(span, dtype=np.uint64)
    usable = owners[:span] == owners[n - 1 :]
    for shift, factor in enumerate(_FACTORS[:n]):
        placed = flat[shift : shift + span]
        usable &= placed >= 0
        grams = (grams ^ placed.astype(np.uint64)) * np.uint64(factor)
        grams ^= grams >> np.uint64(29)
    grams, whose = grams[usable], owners[:span][usable]
    # An n-gram counts once a text: of equal neighbours in the sorted order the first stays.
    order = np.lexsort((grams, whose))
    grams, whose = grams[order], whose[order]
    new = np.ones(len(grams), dtype=bool)
    new[1:] = (grams[1:] != grams[:-1]) | (whose[1:] != whose[:-1])
    return grams[new], whose[new]

"""Is an evaluation item in the training data? Exact n-gram containment, item by item.

An item is contaminated by a training document that holds at least ``THRESHOLD`` of the item's
distinctive word n-grams: copied, quoted inside something longer, or with a few words changed.
Containment, not Jaccard similarity, because a training row holds more than the item (Broder 1997,
"On the resemblance and containment of documents"); n-grams that many items share (a template's
words) say nothing and do not count. Two changed words leave a short question too few n-grams: for
those, documents that share pairs of words are read word by word, and hold the item where its
longest common subsequence with a stretch of theirs covers ``ALIKE`` of its words, each weighed by
how few items hold it (inverse document frequency): a template's words are not the item. A document
that is not the item word for word is then held against others of its shape
(:mod:`~steelyard.harness.evaluation.contamination.templates`): with another name in the template's
blank it is another item.

Words are those of :mod:`steelyard.harness.texts`, a little rougher
(:mod:`~steelyard.harness.evaluation.contamination.spelt`): of scripts without spaces every
character is one.

At the sizes of fine-tuning data an inverted index is exact and takes seconds, so nothing is
sketched: MinHash would approximate the same numbers.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from steelyard.harness.evaluation.contamination.spelt import SIGNS, searched_words
from steelyard.harness.evaluation.contamination.templates import (
    CHARACTER,
    Neighbours,
    Rows,
    held_words,
    judged,
)
from steelyard.harness.texts import is_unspaced

#: Words of an n-gram.
N = 3
#: The share of an item's distinctive n-grams from which on a document holds it.
THRESHOLD = 0.5
#: Items of at most so many words are also looked for word by word,
SHORT_WORDS = 24
#: and found where this share of their words, by weight, stands in a document in the same order.
ALIKE = 0.6
#: An n-gram of more than this share of the items (and of more than five) is a template's.
COMMON = 0.01
_FEWEST_COMMON = 5
#: Fewer distinctive n-grams than this are matched whole or not at all.
_FEWEST_GRAMS = 3
#: Documents are read word by word for an item where they share this much of its word pairs.
_WORTH_READING = 0.2
#: Of very many documents that hold as much of an item, so many are read.
_MOST_READ = 200
_BATCH = 5_000
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
        #: By word number: a character that is a word by itself is less than a word.
        self._sizes = [1.0, *(CHARACTER if is_unspaced(word) else 1.0 for word in self._numbers)]
        self._signs = {self._numbers[sign] for sign in SIGNS if sign in self._numbers}
        #: By word number: what nearly every item says weighs next to nothing.
        self._weights = [0.0] * (len(self._numbers) + 1)
        for word, count in holders.items():
            self._weights[word] = math.log((len(self._items) + 1) / count)

    def search(self, documents: Iterable[str]) -> Contamination:
        """Look for every item in ``documents``, which are read once and in batches."""
        search = _Search(len(self._items))
        first = 0
        for batch in _document_batches(documents):
            numbered = [self._words(document, grow=False) for document in batch]
            self._look_for_grams(search, numbered, first)
            self._look_for_words(search, numbered, first)
            first += len(batch)
        for item, rows in search.rows.items():
            if not search.verbatim[item]:
                own = self._items[item]
                of_items = self._neighbours.masks(item) if rows.reach(THRESHOLD) else []
                sizes = np.array([self._sizes[word] for word in own])
                signs = np.array([word in self._signs for word in own])
                search.found(item, *judged(own, rows, of_items, sizes, signs, THRESHOLD))
        without_words = sum(not item for item in self._items)
        return Contamination(search.shares, search.closest, without_words)

    @cached_property
    def _neighbours(self) -> Neighbours:
        return Neighbours(self._items)

    def _words(self, text: str, *, grow: bool) -> Words:
        """The text's words as numbers from 1; -1 for a word that stands in no item."""
        if grow:
            return [
                self._numbers.setdefault(word, len(self._numbers) + 1)
                for word in searched_words(text)
            ]
        return [self._numbers.get(word, -1) for word in searched_words(text)]

    def _look_for_grams(self, search: _Search, batch: Sequence[Words], first: int) -> None:
        """Items by their n-grams; what reaches ``THRESHOLD`` is read word by word."""
        items, places, hits = self._grams.hits(batch)
        lengths = self._grams.lengths[items]
        share = hits / lengths
        # A handful of n-grams proves nothing unless all of them are there.
        share[(lengths < _FEWEST_GRAMS) & (share < 1)] = 0.0
        below = share < THRESHOLD
        search.found_below(items[below], places[below] + first, share[below])
        reaching = np.flatnonzero(~below)
        # The best first: an item that is there word for word needs no second look.
        for pair in reaching[np.lexsort((places[reaching], -share[reaching]))].tolist():
            item, place = int(items[pair]), int(places[pair])
            if search.is_worth_reading(item, share[pair]):
                own = self._items[item]
                _, _, stretch = _covered(own, batch[place], self._weights)
                search.read(own, item, stretch, float(share[pair]), place + first)

    def _look_for_words(self, search: _Search, batch: Sequence[Words], first: int) -> None:
        """Short items by the words themselves; what reaches ``ALIKE`` holds them."""
        items, places, hits = self._pairs.hits(batch)
        likely = (hits >= 2) & (hits >= _WORTH_READING * self._pairs.lengths[items])
        for item, place in zip(items[likely].tolist(), places[likely].tolist(), strict=True):
            if search.verbatim[item]:
                continue
            own = self._items[item]
            share, of_words, stretch = _covered(own, batch[place], self._weights)
            if share >= ALIKE:
                search.read(own, item, stretch, share, place + first)
            elif of_words >= THRESHOLD:
                search.rows[item].add(stretch, 0.0, place + first)


class _Search:
    """What was found of each item so far."""

    def __init__(self, items: int) -> None:
        self.shares = np.zeros(items)
        self.closest = np.full(items, -1, dtype=np.int64)
        self.verbatim = np.zeros(items, dtype=np.bool_)
        """(items,) whether a document holds every word in order: nothing more to look for."""
        self.rows: dict[int, Rows] = defaultdict(Rows)
        """What resembles an item and is not the item word for word."""
        self._read = np.zeros(items, dtype=np.int64)

    def is_worth_reading(self, item: int, share: float) -> bool:
        """Whether another document may tell more of an item than those that were read."""
        return not self.verbatim[item] and (share >= 1 or self._read[item] < _MOST_READ)

    def read(
        self, own: Words, item: int, stretch: Sequence[int], share: float, document: int
    ) -> None:
        """A stretch of a document that holds so much of an item."""
        self._read[item] += 1
        if held_words(own, stretch).all():
            self.verbatim[item] = True
            self.shares[item] = 0.0  # whatever resembled it before is no longer the closest
            self.found(item, share, document)
        else:
            self.rows[item].add(stretch, share, document)

    def found(self, item: int, share: float, document: int) -> None:
        """Keep the closest document of an item; of equal ones the first."""
        if share > self.shares[item]:
            self.shares[item], self.closest[item] = share, document

    def found_below(self, items: Integers, documents: Integers, share: NDArray[np.float64]) -> None:
        """The same for many pairs at once."""
        order = np.lexsort((-documents, share))
        best, where = np.zeros_like(self.shares), np.full_like(self.closest, -1)
        best[items[order]], where[items[order]] = share[order], documents[order]
        better = (best > self.shares) & ~self.verbatim
        self.shares[better], self.closest[better] = best[better], where[better]


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


def _covered(
    item: Words, document: Words, weights: Sequence[float]
) -> tuple[float, float, Sequence[int]]:
    """How much of the item a stretch of the document holds in its order, and the stretch.

    (share by weight, share of words, words of the stretch). Stretches are half as long again as
    the item, so that a long document does not hold every item by its scattered words, and begin
    half an item apart, so that one of them holds a copy whole.
    """
    from rapidfuzz.distance import LCSseq

    reach = len(item) + len(item) // 2
    wanted = set(item)
    best, of_words, closest = 0.0, 0, document[:0]
    for start in range(0, max(len(document) - len(item) // 2, 1), max(len(item) // 2, 1)):
        stretch = document[start : start + reach]
        if sum(weights[word] for word in stretch if word in wanted) > best:
            aligned = [
                word
                for block in LCSseq.opcodes(item, stretch)
                if block.tag == "equal"
                for word in item[block.src_start : block.src_end]
            ]
            weight = sum(weights[word] for word in aligned)
            if weight > best:
                best, of_words, closest = weight, len(aligned), stretch
    return best / sum(weights[word] for word in item), of_words / len(item), closest


def _document_batches(documents: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(documents)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _distinct(numbered: Sequence[Words], n: int) -> tuple[NDArray[np.uint64], Integers]:
    """Each text's distinct n-grams as 64-bit hashes of word numbers, and whose they are.

    A text shorter than an n-gram is one n-gram, padded with 0; n-grams with an unknown word are
    left out.
    """
    lengths = np.array([max(len(text), n) if text else 0 for text in numbered], dtype=np.int64)
    flat = np.zeros(int(lengths.sum()), dtype=np.int64)
    for text, end, length in zip(numbered, np.cumsum(lengths), lengths, strict=True):
        flat[end - length : end - length + len(text)] = text
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

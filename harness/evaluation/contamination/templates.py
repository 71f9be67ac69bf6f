"""A row that differs from an item where a template's blanks are is another item, and no copy.

"what does Gita Linor play? violin" is not in data that say "what does Fritz Linor play? violin",
although five of six words are. What tells the two cases apart is what *other* texts of that shape
hold: where most of them differ from the item, the template has a blank, and a copy says there what
the item says. A row that leaves the template itself as it is and fills a blank otherwise is another
item; a copy with a word or two changed has lost some of what its neighbours all hold, or a small
part of a long passage, and stays a copy.

Neighbours are items of the suite and rows of the data that share half of the item's words in order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Words = Sequence[int]
Mask = NDArray[np.bool_]

#: A neighbour holds this share of an item's words, in their order.
_NEIGHBOUR = 0.5
#: Fewer neighbours beside the row itself do not show where a template has its blanks.
_FEWEST_NEIGHBOURS = 4
#: A word is in a blank where fewer neighbours than this hold it.
_BLANK = 0.7
#: What stands in a blank of at most so many words is names, numbers or dates: all of it counts.
_WHOLE = 7
#: In a longer one it is a passage, of which a copy with changes holds so much.
_PASSAGE = 0.7
#: A word is the template's own where so many neighbours hold it,
_TEMPLATE = 0.8
#: and a row leaves the template as it is where so many of these stand in it, wherever.
_KEPT = 0.85
#: A character that is a word by itself, as in Chinese, is about so much of one.
CHARACTER = 0.5
#: At most so many items and rows are looked at for an item.
_MOST_NEIGHBOURS = 48
_MOST_ROWS = 24


@dataclass
class Rows:
    """The stretches of documents that resemble one item, as they were found."""

    stretches: dict[tuple[int, ...], tuple[float, int]] = field(default_factory=dict)
    """Words of the stretch -> (share of the item that its document holds, the document)."""

    def add(self, stretch: Words, share: float, document: int) -> None:
        """Keep a stretch; of equal ones the first with the highest share, of very many the best."""
        key = tuple(stretch)
        if share > self.stretches.get(key, (-1.0, 0))[0]:
            self.stretches[key] = (share, document)
        if len(self.stretches) > _MOST_ROWS:
            del self.stretches[min(self.stretches, key=lambda key: self.stretches[key])]

    def reach(self, threshold: float) -> bool:
        """Whether one of them holds at least so much of the item."""
        return any(share >= threshold for share, _ in self.stretches.values())


class Neighbours:
    """Items by their words, to find those that are built alike."""

    def __init__(self, items: Sequence[Words]) -> None:
        self._items = items
        distinct = [sorted(set(words)) for words in items]
        flat = np.array([word for words in distinct for word in words], dtype=np.int64)
        owners = np.repeat(np.arange(len(items)), [len(words) for words in distinct])
        order = np.argsort(flat, kind="stable")
        self._words, self._starts = np.unique(flat[order], return_index=True)
        self._ends = np.append(self._starts[1:], len(flat))
        self._owners = owners[order]

    def masks(self, item: int) -> list[Mask]:
        """Which of an item's words each neighbour among the other items holds."""
        own = self._items[item]
        places = np.searchsorted(self._words, sorted(set(own)))
        holders = [self._owners[self._starts[p] : self._ends[p]] for p in places.tolist()]
        shared = np.bincount(np.concatenate(holders), minlength=len(self._items))
        shared[item] = 0
        likely = np.flatnonzero(shared >= _NEIGHBOUR * len(set(own)))
        if len(likely) > _MOST_NEIGHBOURS:  # evenly spread, not the nearest: those hold the most
            likely = likely[np.linspace(0, len(likely) - 1, _MOST_NEIGHBOURS).astype(int)]
        masks = [held_words(own, self._items[other]) for other in likely.tolist()]
        return [mask for mask in masks if _is_neighbour(mask)]


def judged(
    own: Words,
    rows: Rows,
    of_items: Sequence[Mask],
    sizes: NDArray[np.float64],
    signs: Mask,
    threshold: float,
) -> tuple[float, int]:
    """(share, document) of the best row: at ``threshold`` or above only where it is a copy.

    ``of_items`` are the masks of the item's neighbours among the items, ``sizes`` those of its
    words, ``CHARACTER`` or 1; ``signs`` says which of them stand between two numbers.
    """
    masks = {stretch: held_words(own, stretch) for stretch in rows.stretches}
    best, document = 0.0, -1
    for stretch, (share, place) in sorted(rows.stretches.items(), key=lambda row: -row[1][0]):
        if share <= best:
            break
        if share >= threshold:
            of_rows = [mask for other, mask in masks.items() if other != stretch]
            neighbours = [*of_items, *filter(_is_neighbour, of_rows)]
            filled = _filled(own, stretch, masks[stretch], neighbours, sizes)
            if not masks[stretch][signs].all():  # a difference is no copy of a sum
                filled = 0.0
            share = share if filled == 1 else 0.99 * threshold * max(filled, 0.1)
        if share > best:
            best, document = share, place
    return best, document


def held_words(own: Words, other: Words) -> Mask:
    """(words of ``own``,) whether ``other`` holds them in this order."""
    from rapidfuzz.distance import LCSseq

    mask = np.zeros(len(own), dtype=bool)
    for block in LCSseq.opcodes(own, other):
        if block.tag == "equal":
            mask[block.src_start : block.src_end] = True
    return mask


def _is_neighbour(mask: Mask) -> bool:
    return bool(mask.sum() >= _NEIGHBOUR * len(mask)) and not mask.all()


def _filled(
    own: Words,
    stretch: Words,
    mask: Mask,
    neighbours: Sequence[Mask],
    sizes: NDArray[np.float64],
) -> float:
    """The share of the template's blanks in which a row holds what the item holds.

    1 where nothing shows that there is a template, or the row has changed the template itself.
    """
    if len(neighbours) < _FEWEST_NEIGHBOURS:
        return 1.0
    held = np.mean(neighbours, axis=0)
    if not _keeps(own, stretch, held >= _TEMPLATE):
        return 1.0
    filled = [_holds(mask[begin:end], sizes[begin:end]) for begin, end in _runs(held < _BLANK)]
    return sum(filled) / len(filled) if filled else 1.0


def _keeps(own: Words, stretch: Words, template: Mask) -> bool:
    """Whether a row leaves the template's own words as they are.

    They are counted, not aligned: "from Lyon to Split" against "from Split to Trier" keeps "to".
    """
    words = Counter(word for word, is_template in zip(own, template, strict=True) if is_template)
    return (words & Counter(stretch)).total() >= _KEPT * words.total()


def _holds(part: Mask, sizes: NDArray[np.float64]) -> bool:
    return bool(part.all()) if sizes.sum() <= _WHOLE else bool(part.mean() >= _PASSAGE)


def _runs(mask: Mask) -> Iterator[tuple[int, int]]:
    """(begin, end) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)

"""A GGUF file's header, held against the file before a library reads it.

It says how many texts, numbers and tensors follow and how large the model is. The reader of the
package gguf makes an object of each item that a list claims, whether the file has it or not, and
transformers builds what the header describes and fills what the file lacks.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import BinaryIO

from steelyard.harness.errors import CheckpointError

#: Numbers of a value's type -> how ``struct`` reads it.
_NUMBERS = dict(enumerate(("B", "b", "H", "h", "I", "i", "f", "?"))) | {10: "Q", 11: "q", 12: "d"}
_FLOATS, _TEXT, _LIST = (6, 12), 8, 9
#: Of all lists together. The largest vocabularies have 260,000 tokens, with a score, a kind and two
#: merges each; of every item the reader makes some objects.
MOST_ITEMS = 5_000_000
_LONGEST_NAME = 65_535
#: So many are built in no time: what is wrong with fewer is said by whoever loads the weights.
_FREE_BLOCKS = 1_000
#: What a model may be larger than its file without that anybody notices: a gigabyte.
_FREE_NUMBERS = 250_000_000


@dataclass
class Header:
    """What is known of a GGUF file without its tensors."""

    file: Path
    whole_numbers: dict[str, int] = field(default_factory=dict)
    """Key -> value of every setting that is one."""
    tensors: int = 0
    numbers: int = 0
    """What all tensors hold together, packed or not."""

    def require_holds(self, parameters: int) -> None:
        """Refuse a model of so many parameters where the file holds less than half of them.

        Raises ``CheckpointError`` at the largest setting. A head that is tied counts twice.
        """
        if parameters <= max(2 * self.numbers, _FREE_NUMBERS):
            return
        settings = [k for k in self.whole_numbers if not k.startswith(("general.", "tokenizer."))]
        largest = max(settings, key=lambda key: self.whole_numbers[key], default="general")
        raise self.error(
            f"the settings are of a model of {parameters:,} numbers, and the file holds "
            f"{self.numbers:,}",
            largest,
        )

    def error(self, problem: str, key: str | None = None) -> CheckpointError:
        """An error of this file, at a setting."""
        value = self.whole_numbers.get(key or "")
        fix = "copy the file again, or convert the model again"
        return CheckpointError(problem, file=self.file, key=key, value=value, fix=fix)


def read_header(file: Path) -> Header:
    """The header of a GGUF file.

    Raises:
        CheckpointError: it claims more than the file has, more items than any vocabulary, or more
            blocks than there are tensors.
    """
    header = Header(file)
    with file.open("rb") as stream:
        try:
            _Reading(stream, header).read()
        except (struct.error, OverflowError, UnicodeDecodeError) as error:
            raise header.error("is no whole GGUF file: its header does not end in it") from error
    for key, value in header.whole_numbers.items():
        if key.endswith("block_count") and value > max(header.tensors, _FREE_BLOCKS):
            raise header.error(f"is more than the file has tensors ({header.tensors:,})", key)
    return header


@dataclass
class _Reading:
    stream: BinaryIO
    header: Header
    order: str = "<"
    items: int = 0

    def __post_init__(self) -> None:
        self.size = os.fstat(self.stream.fileno()).st_size

    def read(self) -> None:
        """Fill the header."""
        if self.stream.read(4) != b"GGUF":
            raise self.header.error("is no GGUF file")
        version = self._number("I")
        if version & 65_535 == 0:  # written on a machine with the other order of bytes
            self.order, version = ">", version >> 24
        if version not in (2, 3):
            raise self.header.error(f"is of version {version} of the format; 2 and 3 are read")
        tensors, settings = self._number("Q"), self._number("Q")
        for _ in range(self._count(settings, 13)):
            key = self._text(_LONGEST_NAME)
            kind = self._number("I")
            value = self._value(kind)
            if value is not None and kind not in _FLOATS:
                self.header.whole_numbers[key] = value
        for _ in range(self._count(tensors, 24)):
            self._text(_LONGEST_NAME)
            sides = [self._number("Q") for _ in range(self._count(self._number("I"), 8))]
            self._skip(4 + 8)
            self.header.numbers += prod(sides)
        self.header.tensors = tensors
        self.header.numbers = min(self.header.numbers, 8 * self.size)  # a header may claim anything

    def _value(self, kind: int, depth: int = 0) -> int | None:
        """A setting's value; None for a text and for a list, which are passed over."""
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind == _TEXT:
            self._skip(self._number("Q"))
            return None
        if kind != _LIST or depth > 3:
            raise self.header.error(f"a setting is of the unknown type {kind}")
        kind, count = self._number("I"), self._number("Q")
        width = struct.calcsize(_NUMBERS[kind]) if kind in _NUMBERS else 8
        self.items += self._count(count, width)
        if self.items > MOST_ITEMS:
            raise self.header.error(f"its lists hold more than {MOST_ITEMS:,} items")
        if kind in _NUMBERS:
            self._skip(count * width)
            return None
        for _ in range(count):
            self._value(kind, depth + 1)
        return None

    def _count(self, count: int, least_bytes: int) -> int:
        """So many things of at least so many bytes, where the file has room for them."""
        left = self.size - self.stream.tell()
        if count * least_bytes > left:
            raise self.header.error(
                f"is no whole GGUF file: it names {count:,} items and has {left:,} bytes for them"
            )
        return count

    def _number(self, kind: str) -> int:
        """The next number; one that is not whole loses what is behind its point."""
        width = struct.calcsize(kind)
        (value,) = struct.unpack(self.order + kind, self.stream.read(width))
        return int(value) if value == value and abs(value) != float("inf") else 0

    def _text(self, longest: int) -> str:
        length = self._number("Q")
        if length > longest:
            raise self.header.error(f"is no whole GGUF file: a name has {length:,} bytes")
        return self.stream.read(self._count(length, 1)).decode()

    def _skip(self, count: int) -> None:
        self.stream.seek(self._count(count, 1), os.SEEK_CUR)

"""The lines of a user's text file: its encoding, its length and what no text holds are looked at.

UTF-8, or UTF-16 and UTF-32 where a byte order mark says so; gzip by the file's name.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from steelyard.harness.errors import DataError

#: Far beyond any document; a file without line ends must not be read as one line of it.
MAX_LINE_CHARACTERS = 64 * 1024 * 1024
#: What a compressed file may unpack to: a few kilobytes can stand for terabytes.
MAX_UNPACKED_CHARACTERS = 4 * 1024**3
#: ... and as a multiple of its size, beyond the first characters: text shrinks to a tenth or so.
MAX_RATIO, FREE_CHARACTERS = 300, 64 * 1024**2
_MARK = "\ufeff"
#: What a file is whose first bytes are these, whatever it is called.
_NO_TEXTS = {
    b"\x1f\x8b": ("gzip", "call it NAME.csv.gz or NAME.jsonl.gz"),
    b"PAR1": ("Parquet", "call it NAME.parquet"),
    b"PK\x03\x04": ("a zip archive, or Excel's .xlsx", "unpack it, or save it as CSV UTF-8"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "unpack it"),
    b"ARRO": ("Arrow", "write it with to_parquet()"),
}
#: The longer mark first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
COMPRESSED = ".gz"


class TextLines:
    """An iterator over the lines of an open file, their ends as they stand; it counts them."""

    def __init__(self, file: TextIO, most: int = MAX_UNPACKED_CHARACTERS) -> None:
        self.number = 0
        """Of the line that came last, from 1."""
        self._file = file
        self._characters = 0
        self._most = most

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE_CHARACTERS + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._characters += len(line)
        if len(line) > MAX_LINE_CHARACTERS:
            what = f"line {self.number} is longer than {MAX_LINE_CHARACTERS} characters"
            raise DataError(what, fix="is it a file of lines?")
        if self._characters > self._most:
            raise DataError(f"more than {self._most:,} characters unpacked", fix="split the file")
        if line.startswith(_MARK):  # files that were put one behind the other bring theirs along
            line = line.lstrip(_MARK)
        if "\0" in line:
            # UTF-16 without its mark reads as UTF-8 with every second character null.
            fix = "save it as UTF-8"
            raise DataError(f"line {self.number} holds a null character: not UTF-8 text", fix=fix)
        return line

    def rest(self, most: int) -> str:
        """All that follows. Raises ``DataError`` for more than ``most`` characters."""
        text = self._file.read(most + 1)
        if len(text) > most:
            raise DataError(f"more than {most} characters", fix="write one object a line (JSONL)")
        return text


@contextmanager
def open_lines(path: Path) -> Iterator[TextLines]:
    """The file's lines.

    Within the block, text that is not in the file's encoding is a ``DataError`` with its line, and
    so is a damaged gzip file.
    """
    with _damage_told(path):
        encoding = _encoding(path)
        try:
            with _open(path) as binary, io.TextIOWrapper(binary, encoding, newline="") as text:
                yield TextLines(text, _most_characters(path))
        except UnicodeDecodeError as error:
            line = _undecodable_line(path, encoding)  # reads on, to where the file may be damaged
            where = "" if line is None else f"line {line} is "
            what = f"{where}not {'UTF-8' if encoding == 'utf-8-sig' else 'UTF-8 or UTF-16'} text"
            fix = "save it as UTF-8"
            raise DataError(f"{what} ({error.reason})", file=path, fix=fix) from error


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Whatever of a compressed file is read within the block, its damage is a ``DataError``."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"not gzip, or damaged: {error}", file=path) from error


def _most_characters(path: Path) -> int:
    if path.suffix.lower() != COMPRESSED:
        return MAX_UNPACKED_CHARACTERS
    return min(MAX_UNPACKED_CHARACTERS, max(FREE_CHARACTERS, MAX_RATIO * path.stat().st_size))


def _open(path: Path) -> BinaryIO:
    if path.suffix.lower() == COMPRESSED:
        return io.BufferedReader(gzip.open(path, "rb"))
    return path.open("rb")


def _encoding(path: Path) -> str:
    with _open(path) as file:
        start = file.read(4)
    for begins, (kind, fix) in _NO_TEXTS.items():
        if start.startswith(begins):
            raise DataError(f"is {kind}, not {path.suffix}", file=path, fix=fix)
    return next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8-sig")


def _undecodable_line(path: Path, encoding: str) -> int | None:
    """The first line that is no UTF-8; None where lines cannot be told apart before decoding."""
    if encoding != "utf-8-sig":
        return None
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return None

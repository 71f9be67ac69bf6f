"""Reads Parquet that others wrote without letting a small file fill the memory.

A dictionary or a run length lets a few kilobytes stand for terabytes. So rows are decoded in
batches small enough that none can exceed ``BATCH_BYTES`` (no value is longer than its column's
chunk), and what has been decoded is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

#: Refused before anything is decompressed; a run of 1,000,000 samples of 2 kB stays below.
MAX_UNCOMPRESSED_BYTES = 4 * 1024**3
#: Many times more than any set to learn from or to ask; each row is an object in memory.
MAX_ROWS = 10_000_000
#: What a file may unpack to, as a multiple of its size; beyond the first bytes, where a short file
#: of equal rows may have any.
MAX_RATIO, FREE_BYTES = 1_000, 512 * 1024**2
BATCH_BYTES = 256 * 1024**2
_MOST_ROWS = 65_536


class TooLargeError(ValueError):
    """A file that stands for more than anybody learns from or asks."""


def check_size(file: pq.ParquetFile) -> None:
    """Raise ``TooLargeError`` where the file says that it unpacks to more than the limits."""
    metadata = file.metadata
    if metadata.num_rows > MAX_ROWS:
        raise TooLargeError(f"{metadata.num_rows:,} rows, more than {MAX_ROWS:,}")
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if size > MAX_UNCOMPRESSED_BYTES:
        raise TooLargeError(f"{size} bytes unpacked, more than {MAX_UNCOMPRESSED_BYTES}")


def batches(
    file: pq.ParquetFile,
    row_groups: Sequence[int] | None = None,
    *,
    file_bytes: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """The rows of ``row_groups`` (all where None), in batches that fit the memory.

    ``file_bytes`` is the file's own size, where it is a stranger's.

    Raises ``TooLargeError`` once more has been decoded than ``MAX_UNCOMPRESSED_BYTES``, or than a
    stranger's file of that size may hold.
    """
    most = MAX_UNCOMPRESSED_BYTES
    if file_bytes is not None:
        most = min(most, max(FREE_BYTES, MAX_RATIO * file_bytes))
    groups = range(file.metadata.num_row_groups) if row_groups is None else row_groups
    decoded = 0
    for group in groups:
        for batch in file.iter_batches(_rows_a_batch(file, group), row_groups=[group]):
            decoded += batch.nbytes
            if decoded > most:
                raise TooLargeError(f"more than {most:,} bytes unpacked")
            yield batch


def read_row_group(file: pq.ParquetFile, group: int) -> pa.Table:
    """One row group as a table, decoded within the limits."""
    import pyarrow as pa

    return pa.Table.from_batches(batches(file, [group]), schema=file.schema_arrow)


def _rows_a_batch(file: pq.ParquetFile, group: int) -> int:
    """So few rows that a batch whose every value is as long as its chunk still fits.

    The row group's size is asked for, which by the format is the sum of its chunks': asking for a
    chunk's ends the process where its statistics are damaged (pyarrow 26 throws through its own
    ``column``), while reading such a chunk is an ``OSError``.
    """
    width: int = max(1, file.metadata.row_group(group).total_byte_size)
    return max(1, min(_MOST_ROWS, BATCH_BYTES // width))

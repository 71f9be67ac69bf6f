"""An append-only journal of responses, so that a killed run scores only what is missing.

The file is a magic line and then records: ``length (u32) | checksum (8 bytes) | JSON``. A record is
one *pack*: requests that were scored together. Because a pack is written and found again as a
whole, a resumed run computes the same batches as an undisturbed one and its numbers are identical
to the bit. A call that was answered to its end is one more record, so that it is found again
without tokenising anything. Nothing is ever unpickled.

Writers take an exclusive lock for one append each, read what others wrote since, and cut off a
record that a killed process left half-written. Data reach the operating system at once (a killed
process loses nothing that it appended) and the disk at most ``SYNC_SECONDS`` later.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from steelyard.harness.errors import StoreError
from steelyard.harness.files.old_names import JOURNAL_MAGIC, OLD_JOURNAL_MAGIC

#: What a pack holds of one request, as JSON: ``[log-likelihood in nats, greedy]``, the number of a
#: whole text, or a generated text.
Answer = list[float] | float | str
_Settled = TypeVar("_Settled")

SYNC_SECONDS = 2.0
#: A pack is a batch of answers, some kB; a larger record is damage.
MAX_RECORD_BYTES = 256 * 1024 * 1024
WINDOW_BYTES = 4 * 1024 * 1024
_HEADER = struct.Struct("<I8s")
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)


def digest(*parts: object) -> str:
    """A 128-bit hex digest of JSON values, the same on every machine and in every process."""
    return hashlib.blake2b(_CANONICAL.encode(parts).encode(), digest_size=16).hexdigest()


class Journal:
    """Responses of one checkpoint, found by the digest of the pack that they were scored in.

    Args:
        path: the file; it and its folder are made where they are missing.
        checkpoint_digest: what the weights, adapter and tokenizer are. It enters every key, so a
            journal may hold several checkpoints without mixing them.

    Raises:
        StoreError: the file is there and is no journal.
    """

    def __init__(self, path: str | os.PathLike[str], checkpoint_digest: str) -> None:
        self.path = Path(path)
        self.checkpoint_digest = checkpoint_digest
        self.dropped_bytes = 0
        self.is_old = False
        """Whether it was begun before the project's present name."""
        self._packs: dict[str, list[Answer]] = {}
        self._settled: dict[str, object] = {}
        self._end = 0
        self._synced_at = time.monotonic()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        with self._locked():
            self._open()

    def __len__(self) -> int:
        """How many responses are in the journal, of every checkpoint."""
        return sum(len(responses) for responses in self._packs.values())

    def pack(self, key: str) -> list[Answer] | None:
        """The responses of a pack in the order of its requests, or None where it is missing."""
        return self._packs.get(key)

    def append(self, key: str, requests: Sequence[str], responses: Sequence[Answer]) -> None:
        """Write one pack: ``requests`` are request digests, ``responses`` are JSON values.

        Where another process wrote the same pack first, its responses stand.
        """
        if len(requests) != len(responses):
            raise ValueError(f"{len(requests)} requests and {len(responses)} responses")
        self._write(
            {
                "kind": "pack",
                "key": key,
                "requests": list(requests),
                "responses": list(responses),
            }
        )

    def settle(self, name: str, value: _Settled) -> _Settled:
        """The value that was written under this name first; ``value`` where there is none yet.

        The token budget is settled so, and a resumed run cuts the packs of the first one.
        """
        with self._locked():
            self._catch_up()
            if name not in self._settled:
                self._append({"kind": "settled", "name": name, "value": value})
            first: _Settled = self._settled[name]  # type: ignore[assignment]  # JSON of one kind
            return first

    def settled(self, name: str) -> object:
        """The value that was written under this name first, or None where there is none."""
        return self._settled.get(name)

    def refresh(self) -> None:
        """Read what other processes have appended."""
        if os.fstat(self._file).st_size != self._end:
            with self._locked():
                self._catch_up()

    def sync(self) -> None:
        """Force everything to the disk."""
        os.fsync(self._file)
        self._synced_at = time.monotonic()

    def close(self) -> None:
        """Sync and close; closing twice is no error."""
        if self._file >= 0:
            self.sync()
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _open(self) -> None:
        start = os.pread(self._file, len(JOURNAL_MAGIC), 0)
        self.is_old = start != b"" and OLD_JOURNAL_MAGIC.startswith(start[: len(OLD_JOURNAL_MAGIC)])
        magic = OLD_JOURNAL_MAGIC if self.is_old else JOURNAL_MAGIC
        if not start.startswith(magic):
            # A machine that lost its power may leave a file's length without its content: zeros.
            if start.strip(b"\0") and not magic.startswith(start):
                raise StoreError("not a journal", file=self.path, fix="move the file away")
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, magic, 0)
        self._end = len(magic)
        self._catch_up()

    def _catch_up(self) -> None:
        """Read on; a torn tail can only be a dead writer's, for we hold the lock."""
        size = os.fstat(self._file).st_size
        for payload in _payloads(self._file, self._end, size):
            self._learn(_parsed(payload))
            self._end += _HEADER.size + len(payload)
        if self._end < size:
            self.dropped_bytes += size - self._end
            os.ftruncate(self._file, self._end)

    def _learn(self, record: Mapping[str, object]) -> None:
        """What is no record of ours (a later version's, say) is passed over and scored again."""
        kind, key, name = record.get("kind"), record.get("key"), record.get("name")
        responses = record.get("responses")
        if kind == "pack" and isinstance(key, str) and isinstance(responses, list):
            self._packs.setdefault(key, responses)
        elif kind == "settled" and isinstance(name, str):
            self._settled.setdefault(name, record.get("value"))

    def _write(self, record: Mapping[str, object]) -> None:
        with self._locked():
            self._catch_up()
            self._append(record)
        if time.monotonic() - self._synced_at >= SYNC_SECONDS:
            self.sync()

    def _append(self, record: Mapping[str, object]) -> None:
        payload = json.dumps(record, separators=(",", ":")).encode()
        if len(payload) > MAX_RECORD_BYTES:
            raise StoreError(f"a pack of {len(payload)} bytes", file=self.path)
        frame = _HEADER.pack(len(payload), _checksum(payload)) + payload
        written = 0
        while written < len(frame):
            written += os.pwrite(self._file, frame[written:], self._end + written)
        self._end += len(frame)
        self._learn(json.loads(payload))


def _checksum(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=8).digest()


def _payloads(file: int, start: int, end: int) -> Iterator[bytes]:
    """The payload of every whole record from ``start`` on, up to the first that is not whole.

    The file is read in windows: a journal may be larger than the memory.
    """
    window, position, at = b"", 0, start
    while True:
        record = _payload_at(window, position)
        if record is not None:
            yield record
            position += _HEADER.size + len(record)
            continue
        window, position = window[position:], 0
        missing = _HEADER.size - len(window)
        if missing <= 0:
            missing += int(_HEADER.unpack_from(window)[0])
            if missing <= 0 or missing > MAX_RECORD_BYTES:
                return  # it is there and damaged, or its length is
        more = _read_at(file, min(max(missing, WINDOW_BYTES), end - at), at)
        if not more:
            return
        window += more
        at += len(more)


def _payload_at(window: bytes, position: int) -> bytes | None:
    """The payload that starts here, or None where it is not whole."""
    start = position + _HEADER.size
    if start > len(window):
        return None
    length, checksum = _HEADER.unpack_from(window, position)
    payload = window[start : start + length]
    return payload if len(payload) == length and _checksum(payload) == checksum else None


def _parsed(payload: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read_at(file: int, count: int, offset: int) -> bytes:
    chunks = []
    while count > 0 and (chunk := os.pread(file, count, offset)):
        chunks.append(chunk)
        count -= len(chunk)
        offset += len(chunk)
    return b"".join(chunks)

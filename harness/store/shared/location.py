"""Folders of files in any place that fsspec reaches: published whole, verified when read.

    <location>/<kind>/<name>.json             the marker, written last: sizes and digests
    <location>/<kind>/<name>/<attempt>/...    the files, never written again

What has no marker is not there. Two writers of one name write two attempts, and the later marker
stands: a reader sees one or the other, never a mix.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar

from steelyard.harness.errors import (
    ConfigError,
    MissingExtraError,
    NewerVersionError,
    StoreError,
    located,
)
from steelyard.harness.files import redacted, replace_file, require_no_secret
from steelyard.harness.store.shared.lasting import require_found_elsewhere, require_sharable
from steelyard.harness.store.shared.patience import PATIENCE_SECONDS, Say, on_screen, patiently

T = TypeVar("T")
CHUNK_BYTES = 8 * 1024 * 1024
MARKER_VERSION = 1
#: A marker of 10,000 files stays below; a larger one is damage or an attack.
MAX_MARKER_BYTES = 4 * 1024 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}")
#: What waiting does not mend.
_FINAL = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EFBIG,
    errno.ENAMETOOLONG,
}


class DamagedError(StoreError):
    """Files whose content is not what their marker says."""


class GoneError(DamagedError):
    """What the index lists has no marker: it was found damaged before, and removed."""


@dataclass(frozen=True)
class Marker:
    """What a published folder holds."""

    attempt: str
    files: Mapping[str, tuple[int, str]]
    """Relative path -> size in bytes, SHA-256."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What the store keeps beside it."""

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(size for size, _ in self.files.values())


class Location:
    """One place under an fsspec address.

    Args:
        url: ``file:///shared/steelyard``, ``s3://bucket/steelyard``, ...
        say: hears when the place is away and when it is back.
        patience_seconds: how long it may be away.

    Raises:
        ConfigError: fsspec does not know such addresses, the address holds a password, or what is
            put there ends with the process or is read from a cache.
        MissingExtraError: the package that fsspec needs for them is not installed.
    """

    def __init__(
        self, url: str, *, say: Say = on_screen, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        import fsspec

        require_no_secret(url, "artifacts")
        self.name = url
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            scheme = url.partition("://")[0]
            raise MissingExtraError(
                f"'{scheme}://' needs a package of its own ({redacted(str(error))})",
                fix="install it beside Steelyard; fsspec's documentation lists them",
            ) from error
        except ValueError as error:
            raise ConfigError(
                f"not a place that fsspec knows ({redacted(str(error))})",
                key="artifacts",
                value=url,
            ) from None
        require_sharable(self._fs, url)
        self._say, self._patience_seconds = say, patience_seconds

    def require_lasting(self) -> None:
        """Put a document there and have another process find it, before a store is made of it.

        Raises ``ConfigError`` where it does not.
        """
        name, content = uuid.uuid4().hex, uuid.uuid4().hex
        self.write_json("probes", name, content)
        try:
            require_found_elsewhere(self.name, f"probes/{name}.json", content)
        finally:
            self.remove("probes", name)

    # --- writing ----------------------------------------------------------------------------

    def publish(self, kind: str, name: str, folder: Path, about: Mapping[str, Any]) -> Marker:
        """Copy every file of ``folder``, in chunks, and then the marker."""
        attempt = uuid.uuid4().hex
        files = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            relative = path.relative_to(folder).as_posix()
            target = self._path(kind, name, attempt, relative)
            files[relative] = self._patient(partial(self._upload, path, target))
        marker = Marker(attempt, files, about)
        self.write_json(kind, name, _marker_json(marker))
        return marker

    def write_json(self, kind: str, name: str, value: object) -> None:
        """Put a small JSON document at ``<kind>/<name>.json``; a torn one counts as missing."""
        content = json.dumps(value, sort_keys=True).encode()
        self._patient(lambda: self._replace(self._path(kind, f"{name}.json"), content))

    def remove(self, kind: str, name: str) -> None:
        """Remove the marker and then the files; what is not there is no error."""
        self._patient(lambda: self._remove(self._path(kind, f"{name}.json")))
        self._patient(lambda: self._remove(self._path(kind, name)))

    def remove_attempt(self, kind: str, name: str, attempt: str) -> None:
        """Remove the files of an attempt that no marker names."""
        self._patient(lambda: self._remove(self._path(kind, name, attempt)))

    # --- reading ----------------------------------------------------------------------------

    def names(self, kind: str) -> list[str]:
        """The names that have a marker or document, sorted; its content is not read."""
        paths = self._patient(lambda: self._listed(self._path(kind)))
        return sorted(p.name[: -len(".json")] for p in paths if p.name.endswith(".json"))

    def attempts(self, kind: str) -> dict[str, list[str]]:
        """Name -> the attempts whose files are there, with a marker or without."""
        folders = [
            p for p in self._patient(lambda: self._listed(self._path(kind))) if "." not in p.name
        ]
        return {
            p.name: [a.name for a in self._patient(partial(self._listed, str(p)))] for p in folders
        }

    def read_json(self, kind: str, name: str) -> Any:
        """The document at ``<kind>/<name>.json``; None where it is missing or torn."""
        content = self._patient(lambda: self._small(self._path(kind, f"{name}.json")))
        try:
            return None if content is None else json.loads(content)
        except (ValueError, RecursionError):
            return None

    def marker(self, kind: str, name: str) -> Marker | None:
        """What is published under ``name``; None where nothing is.

        Raises ``DamagedError`` for a marker that no version of ours wrote.
        """
        value = self.read_json(kind, name)
        with located(file=f"{self.name}/{kind}/{name}.json"):
            return None if value is None else _read_marker(value)

    def is_whole(self, kind: str, name: str, marker: Marker) -> bool:
        """Whether every file is there in its size; contents are not read."""
        return all(
            self._patient(partial(self._size, self._path(kind, name, marker.attempt, file))) == size
            for file, (size, _) in marker.files.items()
        )

    def fetch(
        self, kind: str, name: str, marker: Marker, folder: Path, only: Sequence[str] = ()
    ) -> None:
        """Copy the files (or ``only`` these) into ``folder``, each verified on the way.

        Raises ``DamagedError`` where a file is missing, longer, shorter or another.
        """
        for file, (size, digest) in marker.files.items():
            if only and file not in only:
                continue
            source, target = self._path(kind, name, marker.attempt, file), folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            fetched = self._patient(partial(self._download, source, target, size))
            if fetched != (size, digest):
                what = "missing" if fetched is None else "not what was put there"
                raise DamagedError(what, file=f"{self.name}/{kind}/{name}/{marker.attempt}/{file}")

    # --- one attempt at each ----------------------------------------------------------------

    def _path(self, *parts: str) -> str:
        return "/".join((self._root.rstrip("/"), *parts))

    def _upload(self, source: Path, target: str) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        with source.open("rb") as read, self._fs.open(target, "wb") as write:
            while chunk := read.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
                write.write(chunk)
            self._flush(write)
        return size, digest.hexdigest()

    def _download(self, source: str, target: Path, most: int) -> tuple[int, str] | None:
        """Size and digest of what was there, read no further than one byte past ``most``."""
        digest, size = hashlib.sha256(), 0
        try:
            with self._fs.open(source, "rb") as read, target.open("wb") as write:
                while size <= most and (chunk := read.read(min(CHUNK_BYTES, most + 1 - size))):
                    digest.update(chunk)
                    size += len(chunk)
                    write.write(chunk)
        except FileNotFoundError:
            return None
        return size, digest.hexdigest()

    def _replace(self, path: str, content: bytes) -> None:
        """Where a put is not atomic by itself (a folder), a rename is."""
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        if self._is_folder:
            replace_file(Path(path), content, Path(f"{path}.{uuid.uuid4().hex}.tmp"))
        else:
            self._fs.pipe_file(path, content)

    @property
    def _is_folder(self) -> bool:
        protocol = self._fs.protocol
        return "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def _flush(self, stream: IO[bytes]) -> None:
        """To the disk, where the place is a folder: the marker promises that they are there."""
        if self._is_folder:
            stream.flush()
            os.fsync(stream.fileno())

    def _small(self, path: str) -> bytes | None:
        try:
            with self._fs.open(path, "rb") as stream:
                content: bytes = stream.read(MAX_MARKER_BYTES + 1)
        except FileNotFoundError:
            return None
        if len(content) > MAX_MARKER_BYTES:
            raise DamagedError(f"larger than {MAX_MARKER_BYTES} bytes", file=redacted(path))
        return content

    def _size(self, path: str) -> int | None:
        try:
            size: int | None = self._fs.size(path)
        except FileNotFoundError:
            return None
        return size

    def _listed(self, path: str) -> list[PurePosixPath]:
        try:
            return [PurePosixPath(p) for p in self._fs.ls(path, detail=False)]
        except FileNotFoundError:
            return []

    def _remove(self, path: str) -> None:
        try:
            self._fs.rm(path, recursive=True)
        except FileNotFoundError:
            return

    def _patient(self, attempt: Callable[[], T]) -> T:
        try:
            return patiently(
                attempt,
                why=_passing,
                where=self.name,
                seconds=self._patience_seconds,
                say=self._say,
            )
        except OSError as error:
            reason = redacted(str(error.strerror or error))
            raise StoreError(reason, file=self.name, fix=_fix(error)) from None


def _passing(error: Exception) -> str | None:
    """Why it may pass: a network's error does, a full disk or a wrong permission does not."""
    if isinstance(error, StoreError) or not isinstance(error, OSError | TimeoutError):
        return None
    if isinstance(error, FileNotFoundError | PermissionError) or error.errno in _FINAL:
        return None
    lines = redacted(str(error)).splitlines()
    return lines[0] if lines else type(error).__name__


def _fix(error: OSError) -> str | None:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "free space there, or raise its quota; the same command goes on from here"
    return "see docs/scaling.md, 'Where things lie'"


def _marker_json(marker: Marker) -> dict[str, object]:
    files = {
        name: {"size": size, "sha256": digest} for name, (size, digest) in marker.files.items()
    }
    return {
        "version": MARKER_VERSION,
        "attempt": marker.attempt,
        "files": files,
        "about": dict(marker.about),
    }


def _read_marker(value: Any) -> Marker:
    try:
        if value["version"] != MARKER_VERSION:
            raise NewerVersionError("written by a newer Steelyard", fix="upgrade")
        if not re.fullmatch("[0-9a-f]{32}", value["attempt"]):
            raise ValueError("not an attempt")
        files = dict(_entries(value["files"]))
        return Marker(value["attempt"], files, dict(value["about"]))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"not a marker ({error})") from None


def _entries(files: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, str]]]:
    for name, entry in files.items():
        path = PurePosixPath(name)
        # A marker from a place that others write to must not lead out of the cache.
        if path.is_absolute() or ".." in path.parts or not name or "\\" in name or "\0" in name:
            raise ValueError(f"not a file's name: {name!r}")
        size, digest = entry["size"], entry["sha256"]
        if not isinstance(size, int) or size < 0 or not _DIGEST.fullmatch(digest):
            raise ValueError(f"no size and digest of {name!r}")
        yield str(path), (size, digest)


def same_files(folder: Path, marker: Marker) -> bool:
    """Whether a folder holds exactly what was published."""
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return files.keys() == marker.files.keys() and all(
        path.stat().st_size == marker.files[name][0] and _sha256(path) == marker.files[name][1]
        for name, path in files.items()
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()

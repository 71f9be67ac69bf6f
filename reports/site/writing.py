"""Writing a site: only what changed, each file in one rename, and nothing of others touched."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

from steelyard.harness.errors import NewerVersionError, StoreError
from steelyard.harness.files import write_atomic
from steelyard.harness.files.old_names import OLD_SITE_MANIFEST, SITE_MANIFEST
from steelyard.harness.interpreters import safe_interpreters

VERSION = 1
#: From so many files on, more than one process makes them.
_MANY, _MOST_WORKERS = 200, 8
#: What a process that was forked to make files finds here; functions cannot be sent to it.
_PENDING: dict[str, File] = {}
_FIX = "choose an empty folder, or remove the file"


@dataclass(frozen=True)
class File:
    """One file of the site: what it is made of, and how."""

    inputs: str
    """Digest of everything that its content depends on."""
    make: Callable[[], str | bytes]


Manifest = dict[str, dict[str, str]]
"""Path -> the digests of what its content depends on, and of the content."""


@dataclass
class Written:
    """What a build did, by path from the site's folder."""

    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def digest(*parts: object) -> str:
    """A digest of values that JSON can hold."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def write_site(folder: Path, files: Mapping[str, File]) -> Written:
    """Make and write the files whose inputs or content changed; the manifest is written last.

    A file that is there with the content that the manifest remembers, made of the same inputs, is
    not made again. Files that an earlier build wrote and this one does not want are removed; any
    other file in the folder is left alone. Killed half-way, the next build goes on.

    Raises ``StoreError`` where the folder cannot be written.
    """
    done = Written()
    remembered = _remembered(folder)
    manifest: Manifest = {}
    try:
        pending = {}
        for path, file in files.items():
            before = remembered.get(path, {})
            same = before.get("inputs") == file.inputs
            if same and _file_digest(folder / path) == before.get("content"):
                done.unchanged.append(path)
                manifest[path] = before
            else:
                pending[path] = file
        for path, data in _made(pending):
            content = hashlib.sha256(data).hexdigest()
            manifest[path] = {"inputs": files[path].inputs, "content": content}
            if _file_digest(folder / path) == content:
                done.unchanged.append(path)
            else:
                write_atomic(folder / path, data, durable=False)
                done.written.append(path)
        _remove(folder, remembered, files, done)
        write_atomic(folder / SITE_MANIFEST, _manifest_text(manifest), durable=False)
        (folder / OLD_SITE_MANIFEST).unlink(missing_ok=True)
    except OSError as error:
        where = error.filename or folder
        raise StoreError(error.strerror or str(error), file=where, fix=_FIX) from error
    return done


def _made(pending: Mapping[str, File]) -> Iterator[tuple[str, bytes]]:
    """Every pending file with its content; many are made by several processes.

    The first file is made here, so that what all of them share is worked out once, before the
    other processes begin as copies of this one.
    """
    paths = list(pending)
    workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    alone = len(paths) < _MANY or workers < 2 or "fork" not in get_all_start_methods()
    here = paths if alone else paths[:1]
    for path in here:
        yield path, _make(pending[path])
    if alone:
        return
    _PENDING.update(pending)
    try:
        with safe_interpreters():  # the pool's tracker is a new Python
            started = get_context("fork").Pool(workers)
        with started as pool:
            yield from pool.imap(_make_pending, paths[1:], chunksize=4)
    finally:
        _PENDING.clear()


def _make_pending(path: str) -> tuple[str, bytes]:
    return path, _make(_PENDING[path])


def _make(file: File) -> bytes:
    made = file.make()
    return made.encode("utf-8", "backslashreplace") if isinstance(made, str) else made


def _remembered(folder: Path) -> Manifest:
    """What the last build wrote; nothing where there is no manifest, or an old one.

    Raises ``NewerVersionError`` where a newer Steelyard made the site.
    """
    name = SITE_MANIFEST if (folder / SITE_MANIFEST).exists() else OLD_SITE_MANIFEST
    try:
        content = json.loads((folder / name).read_bytes())
        version = content["version"]
        if isinstance(version, int) and version > VERSION:
            what, file = "a newer Steelyard's site", folder / name
            raise NewerVersionError(what, file=file, fix="upgrade, or choose another --output")
        files = content["files"] if version == VERSION else {}
        return {str(path): dict(entry) for path, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _manifest_text(manifest: Manifest) -> bytes:
    content = {"version": VERSION, "made by": "steelyard leaderboard", "files": manifest}
    return (json.dumps(content, indent=0, sort_keys=True) + "\n").encode()


def _file_digest(path: Path) -> str | None:
    """The digest of a file; None where there is none."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def _remove(folder: Path, remembered: Manifest, files: Mapping[str, File], done: Written) -> None:
    root = folder.resolve()
    for path, before in remembered.items():
        target = (folder / path).resolve()
        # A manifest is a file like any other: it must not make us remove what lies elsewhere, or
        # what someone has changed since.
        ours = target.is_relative_to(root) and _file_digest(target) == before.get("content")
        if path not in files and ours:
            target.unlink()
            done.removed.append(path)

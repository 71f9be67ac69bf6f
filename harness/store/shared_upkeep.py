"""Finding damage in a shared store, making its index anew, and what nothing refers to any more."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from steelyard.harness.errors import StoreError
from steelyard.harness.store.atomic import storage_errors
from steelyard.harness.store.layout import DIGEST_CHARACTERS
from steelyard.harness.store.location import CHUNK_BYTES, DamagedError, Marker
from steelyard.harness.store.places import SharedPlaces
from steelyard.harness.store.runs import RUN_FILE, read_run
from steelyard.harness.store.shared_index import entry
from steelyard.harness.store.upkeep import Garbage, run_damage, size_of

KINDS = ("runs", "checkpoints")
_DIGEST = re.compile(rf"\b[0-9a-f]{{{DIGEST_CHARACTERS},}}\b")


def equal(folder: Path, marker: Marker) -> bool:
    """Whether a folder holds exactly what was published."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return found.keys() == marker.files.keys() and all(
        path.stat().st_size == marker.files[name][0] and _sha256(path) == marker.files[name][1]
        for name, path in found.items()
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def damage(places: SharedPlaces) -> Iterator[str]:
    """Reads every file of the location; one line for each that is not what was put there."""
    listed = {row.id for row in places.index.find({})}
    there = set(places.location.names("runs"))
    for id in sorted(listed - there):
        yield f"{places.name}: lists run {id}, whose files are gone ('steelyard store rebuild')"
    for id in sorted(there - listed):
        yield f"{places.name}: does not list run {id} ('steelyard store rebuild')"
    for kind in KINDS:
        for name in places.location.names(kind):
            with _fetched(places, kind, name) as found:
                if isinstance(found, str):
                    yield found
                elif kind == "runs":
                    yield from run_damage(found, name, f"{places.location.name}/{kind}/{name}")
    for key in places.location.names("stages"):
        if _stage(places, key) is None:
            yield f"{places.location.name}/stages/{key}.json: damaged JSON"


@contextmanager
def _fetched(
    places: SharedPlaces, kind: str, name: str, only: tuple[str, ...] = ()
) -> Iterator[Path | str]:
    """A verified copy for the length of the block, or what is wrong with the original."""
    folder = places.layout.scratch()
    folder.mkdir()
    try:
        marker = places.location.marker(kind, name)
        if marker is None:
            yield f"{places.location.name}/{kind}/{name}.json: damaged JSON"
            return
        places.location.fetch(kind, name, marker, folder, only)
    except DamagedError as error:
        yield str(error)
    else:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def rebuild(places: SharedPlaces) -> int:
    """The index says what the location says, in the order in which things were stored.

    Drivers may go on meanwhile: what they add is never taken away.
    """
    before = {row.id for row in places.index.find({})}
    there = places.location.names("runs")
    rows = [row for name in there if (row := _row(places, name)) is not None]
    places.index.remove(sorted(before - {row["id"] for row in rows}))
    # Again, in the recorded order: a database that was lost has none.
    places.index.add(sorted(rows, key=lambda row: str(row["stored_at"])))
    known = places.index.stages()
    found = {
        key: value
        for key in places.location.names("stages")
        if (value := _stage(places, key)) is not None
    }
    places.index.forget_stages(sorted(known.keys() - found.keys()))
    places.index.finish_stages(found)
    places.leases.forget_expired()
    return len(rows)


def _row(places: SharedPlaces, name: str) -> dict[str, Any] | None:
    """The index row of a run in the location; None where it cannot be read (`check` names it)."""
    with _fetched(places, "runs", name, only=(RUN_FILE,)) as found:
        if isinstance(found, str):
            return None
        try:
            run = read_run(found)
        except StoreError:
            return None
    marker = places.location.marker("runs", name)
    stored_at = None if marker is None else marker.about.get("stored_at")
    return entry(run) | {"stored_at": stored_at or places.index.now()}


def _stage(places: SharedPlaces, key: str) -> dict[str, Any] | None:
    """What the location says of a finished stage; None where it cannot be read."""
    try:
        value = places.location.read_json("stages", key)
    except DamagedError:
        return None
    return value if isinstance(value, dict) else None


def gc(places: SharedPlaces, *, dry_run: bool) -> list[Garbage]:
    """Checkpoints that no run, no stage and no kept checkpoint names, files that no marker names,
    and what the cache holds of either.

    Raises ``StoreError`` where the index lacks runs or stages that ``rebuild`` would list.
    """
    found = [*_unreferenced(places), *_unpublished(places), *_here(places)]
    if not dry_run:
        for item in found:
            _remove(places, item)
    return found


def _unreferenced(places: SharedPlaces) -> Iterator[Garbage]:
    named = {name for text in _referring(places) for name in _digests(text)}
    markers = {name: _marker(places, name) for name in places.location.names("checkpoints")}
    waiting = [name for name in markers if name in named]
    kept = set(waiting)
    while waiting:
        marker = markers[waiting.pop()]
        for name in _digests(json.dumps(dict(marker.about))) if marker else ():
            if name in markers and name not in kept:
                kept.add(name)
                waiting.append(name)
    for name in sorted(markers.keys() - kept):
        marker = markers[name]
        size = marker.size_bytes if marker else 0
        place = f"{places.location.name}/checkpoints/{name}"
        yield Garbage(place, size, "no run and no stage refers to it")


def _referring(places: SharedPlaces) -> Iterator[str]:
    """Every text that may name a checkpoint: what the index lists, and what it cannot list.

    Raises ``StoreError`` where the index lacks what ``rebuild`` would list: next to a new database
    nothing would seem to be referred to. What no rebuild can list keeps nobody waiting: damaged
    files name nothing (``check`` names them), a newer Steelyard's run is searched as it is.
    """
    # Listed before the index is asked: a driver adds to the location first.
    runs, stages = set(places.location.names("runs")), set(places.location.names("stages"))
    listed = {row.id: row.checkpoint for row in places.index.find({})}
    payloads = places.index.stages()
    for key in sorted(stages - payloads.keys()):
        if _stage(places, key) is not None:
            raise _unlisted(places, f"stage {key}")
    for name in sorted(runs - listed.keys()):
        with _fetched(places, "runs", name, only=(RUN_FILE,)) as found:
            if isinstance(found, str) or not (found / RUN_FILE).is_file():
                continue
            try:
                id = read_run(found).id
            except StoreError:
                yield (found / RUN_FILE).read_text("utf-8", errors="replace")
                continue
            if id not in listed:  # listed under another name: a copied marker
                raise _unlisted(places, f"run {id}")
    yield from listed.values()
    yield from payloads.values()


def _unlisted(places: SharedPlaces, what: str) -> StoreError:
    message = f"does not list {what}, so nobody knows what is still referred to"
    return StoreError(message, file=places.name, fix="run 'steelyard store rebuild' first")


def _digests(text: str) -> set[str]:
    """The folder names of every digest in a text."""
    return {digest[:DIGEST_CHARACTERS] for digest in _DIGEST.findall(text)}


def _marker(places: SharedPlaces, name: str) -> Marker | None:
    try:
        return places.location.marker("checkpoints", name)
    except DamagedError:
        return None


def _unpublished(places: SharedPlaces) -> Iterator[Garbage]:
    """Attempts of writers that died, or that came second."""
    for kind in KINDS:
        for name, attempts in places.location.attempts(kind).items():
            try:
                marker = places.location.marker(kind, name)
            except DamagedError:
                continue
            for attempt in attempts:
                if marker is None or attempt != marker.attempt:
                    place = f"{places.location.name}/{kind}/{name}/{attempt}"
                    yield Garbage(place, 0, "its writer never finished, or came second")


def _here(places: SharedPlaces) -> Iterator[Garbage]:
    """In this machine's cache: temporary files of dead processes, states of finished stages."""
    for path in places.layout.abandoned():
        yield Garbage(path, size_of(path), "its process is gone")
    finished = " ".join(places.index.stages())
    if places.layout.states.is_dir():
        for folder in sorted(places.layout.states.iterdir()):
            if folder.name in finished:
                yield Garbage(folder, size_of(folder), "its stage has finished")


def _remove(places: SharedPlaces, item: Garbage) -> None:
    if isinstance(item.path, Path):
        with storage_errors(places.layout.root, f"remove {item.path.name}"):
            shutil.rmtree(item.path)
        return
    kind, name, *attempt = item.path.removeprefix(f"{places.location.name}/").split("/")
    if attempt:
        places.location.remove_attempt(kind, name, attempt[0])
        return
    places.location.remove(kind, name)
    places.layout.discard(places.layout.checkpoints / name)

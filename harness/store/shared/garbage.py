"""What nothing in a shared store refers to any more, here and in the location."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from steelyard.harness.errors import StoreError
from steelyard.harness.store.atomic import storage_errors
from steelyard.harness.store.layout import DIGEST_CHARACTERS
from steelyard.harness.store.run_folder import RUN_FILE, read_run
from steelyard.harness.store.shared.location import DamagedError, Marker
from steelyard.harness.store.shared.transfer import CHECKPOINTS, RUNS, STAGES, Transfer
from steelyard.harness.store.upkeep import Garbage, size_of

_DIGEST = re.compile(rf"\b[0-9a-f]{{{DIGEST_CHARACTERS},}}\b")


def garbage(transfer: Transfer, store_name: str) -> list[Garbage]:
    """Checkpoints that no run, no stage and no needed checkpoint names, files that no marker names,
    and what the cache holds of either.

    Raises ``StoreError`` where the index lacks runs or stages that a rebuild would list.
    """
    return [
        *_unreferenced(transfer, store_name),
        *_unpublished(transfer),
        *_in_cache(transfer),
    ]


def remove(transfer: Transfer, item: Garbage) -> None:
    """Remove one of what ``garbage`` lists."""
    if isinstance(item.path, Path):
        with storage_errors(transfer.layout.root, f"remove {item.path.name}"):
            shutil.rmtree(item.path)
        return
    kind, name, *attempt = item.path.removeprefix(f"{transfer.location.name}/").split("/")
    if attempt:
        transfer.location.remove_attempt(kind, name, attempt[0])
        return
    transfer.location.remove(kind, name)
    transfer.layout.discard(transfer.layout.checkpoints / name)


def _unreferenced(transfer: Transfer, store_name: str) -> Iterator[Garbage]:
    named = {name for text in _referring(transfer, store_name) for name in _digests(text)}
    markers = {name: _marker(transfer, name) for name in transfer.location.names(CHECKPOINTS)}
    waiting = [name for name in markers if name in named]
    needed = set(waiting)
    while waiting:
        marker = markers[waiting.pop()]
        for name in _digests(json.dumps(dict(marker.about))) if marker else ():
            if name in markers and name not in needed:
                needed.add(name)
                waiting.append(name)
    for name in sorted(markers.keys() - needed):
        marker = markers[name]
        size = marker.size_bytes if marker else 0
        place = f"{transfer.location.name}/{CHECKPOINTS}/{name}"
        yield Garbage(place, size, "no run and no stage refers to it")


def _referring(transfer: Transfer, store_name: str) -> Iterator[str]:
    """Every text that may name a checkpoint: what the index lists, and what it cannot list.

    Raises ``StoreError`` where the index lacks what a rebuild would list: next to a new database
    nothing would seem to be referred to. What no rebuild can list keeps nobody waiting: damaged
    files name nothing (a check names them), a newer Steelyard's run is searched as it is.
    """
    # Listed before the index is asked: a driver adds to the location first.
    runs, stages = set(transfer.location.names(RUNS)), set(transfer.location.names(STAGES))
    listed = {run.id: run.checkpoint for run in transfer.index.find({})}
    payloads = transfer.index.stages()
    for key in sorted(stages - payloads.keys()):
        if transfer.stage(key) is not None:
            raise _unlisted(store_name, f"stage {key}")
    for name in sorted(runs - listed.keys()):
        with transfer.verified(RUNS, name, only=(RUN_FILE,)) as copy:
            if isinstance(copy, str) or not (copy / RUN_FILE).is_file():
                continue
            try:
                id = read_run(copy).id
            except StoreError:
                yield (copy / RUN_FILE).read_text("utf-8", errors="replace")
                continue
            if id not in listed:  # listed under another name: a copied marker
                raise _unlisted(store_name, f"run {id}")
    yield from listed.values()
    yield from payloads.values()


def _unlisted(store_name: str, what: str) -> StoreError:
    message = f"does not list {what}, so nobody knows what is still referred to"
    return StoreError(message, file=store_name, fix="run 'steelyard store rebuild' first")


def _digests(text: str) -> set[str]:
    """The folder names of every digest in a text."""
    return {digest[:DIGEST_CHARACTERS] for digest in _DIGEST.findall(text)}


def _marker(transfer: Transfer, name: str) -> Marker | None:
    try:
        return transfer.location.marker(CHECKPOINTS, name)
    except DamagedError:
        return None


def _unpublished(transfer: Transfer) -> Iterator[Garbage]:
    """Attempts of writers that died, or that came second."""
    location = transfer.location
    for kind in (RUNS, CHECKPOINTS):
        for name, attempts in location.attempts(kind).items():
            try:
                marker = location.marker(kind, name)
            except DamagedError:
                continue
            for attempt in attempts:
                if marker is None or attempt != marker.attempt:
                    place = f"{location.name}/{kind}/{name}/{attempt}"
                    yield Garbage(place, 0, "its writer never finished, or came second")


def _in_cache(transfer: Transfer) -> Iterator[Garbage]:
    """In this machine's cache: temporary files of dead processes, states of finished stages."""
    for path in transfer.layout.abandoned():
        yield Garbage(path, size_of(path), "its process is gone")
    finished = " ".join(transfer.index.stages())
    if transfer.layout.states.is_dir():
        for folder in sorted(transfer.layout.states.iterdir()):
            if folder.name in finished:
                yield Garbage(folder, size_of(folder), "its stage has finished")

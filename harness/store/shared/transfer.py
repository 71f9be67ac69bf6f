"""Between this machine's cache and the location: published whole, fetched whole and verified."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.harness.checkpoints import BASE_LINK
from steelyard.harness.errors import StoreError
from steelyard.harness.store.atomic import publish_folder, read_json, storage_errors
from steelyard.harness.store.checkpoint_folders import MANIFEST_FILE
from steelyard.harness.store.layout import Layout
from steelyard.harness.store.logs import Logs
from steelyard.harness.store.shared.index import SharedIndex
from steelyard.harness.store.shared.location import DamagedError, GoneError, Location
from steelyard.harness.store.shared.patience import Say

RUNS, CHECKPOINTS, STAGES, CURRENT = "runs", "checkpoints", "stages", "current"


@dataclass(frozen=True)
class Transfer:
    """The places of one shared store, and what is carried between them."""

    layout: Layout
    """This machine's cache."""
    location: Location
    """The truth: runs, checkpoints and finished stages."""
    index: SharedIndex
    """What the location has, listed."""
    say: Say
    """Hears what is damaged."""

    def is_whole(self, kind: str, name: str) -> bool:
        """Whether ``name`` is published with every file in its size."""
        try:
            marker = self.location.marker(kind, name)
        except DamagedError:
            return False
        return marker is not None and self.location.is_whole(kind, name, marker)

    def publish(self, kind: str, name: str, folder: Path) -> None:
        """Put a folder into the location, with what a later removal of garbage must know of it."""
        about: dict[str, object] = {"stored_at": self.index.now()}
        if kind == CHECKPOINTS:
            about |= {"on": _bases(folder), "refers_to": _referred(folder)}
        self.location.publish(kind, name, folder, about)

    def fetch(self, kind: str, name: str, target: Path) -> None:
        """Bring what is published under ``name`` here, whole or not at all.

        Raises ``GoneError`` where it is not in the location, ``DamagedError`` where it is no
        longer what was put there.
        """
        marker = self.location.marker(kind, name)
        if marker is None:
            raise GoneError("not in the store's files", file=f"{self.location.name}/{kind}/{name}")
        folder = self.layout.scratch()
        with storage_errors(self.layout.root, f"fetch {kind}/{name}"):
            folder.mkdir()
            try:
                self.location.fetch(kind, name, marker, folder)
                publish_folder(folder, target, durable=False)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def verified(self, kind: str, name: str, only: tuple[str, ...] = ()) -> Iterator[Path | str]:
        """A verified copy for the length of the block, or what is wrong with the original."""
        folder = self.layout.scratch()
        folder.mkdir()
        try:
            marker = self.location.marker(kind, name)
            if marker is None:
                yield f"{self.location.name}/{kind}/{name}.json: damaged JSON"
                return
            self.location.fetch(kind, name, marker, folder, only)
        except DamagedError as error:
            yield str(error)
        else:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def stage(self, key: str) -> dict[str, Any] | None:
        """What the location says of a finished stage; None where it cannot be read."""
        try:
            value = self.location.read_json(STAGES, key)
        except DamagedError:
            return None
        return value if isinstance(value, dict) else None

    def drop_damaged(self, kind: str, name: str, error: DamagedError) -> None:
        """Say and log what is damaged in the location, and remove it there: it is made again."""
        self.say(f"{error}; it is made again")
        Logs(self.layout).event(f"damaged in the store: {kind}/{name}")
        # Where nothing is published any more, files may be those of whoever makes it again.
        if not isinstance(error, GoneError):
            self.location.remove(kind, name)


def _bases(folder: Path) -> list[str]:
    """Checkpoints of the same store whose weights this one runs on, by folder name."""
    try:
        link = read_json(folder / BASE_LINK)
        relative = os.path.normpath(str(link["relative"]))
    except (StoreError, OSError, KeyError, TypeError):
        return []
    above, _, name = relative.partition("/")
    return [name] if above == ".." and name and "/" not in name else []


def _referred(folder: Path) -> list[str]:
    """Digests that the manifest names: what this checkpoint was made from."""
    try:
        manifest = read_json(folder / MANIFEST_FILE)
    except (StoreError, OSError):
        return []
    return [str(manifest[key]) for key in ("parent", "base_digest") if manifest.get(key)]

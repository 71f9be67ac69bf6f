"""Stages: what finished ones produced, and what those under way resume from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steelyard.harness.errors import StoreError, located
from steelyard.harness.files import replace_file
from steelyard.harness.files.version_1 import require_known_version
from steelyard.harness.store.atomic import plain, read_json, storage_errors, to_json
from steelyard.harness.store.layout import Layout, digest_name, safe_name


class StageFiles:
    """One JSON file a finished stage: none is done twice."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def get(self, key: str) -> dict[str, Any] | None:
        """What the stage ``key`` produced; None where it has not finished.

        A damaged record counts as unfinished: the stage is done again. Raises ``NewerVersionError``
        for what a newer Steelyard wrote.
        """
        path = self._layout.stages / f"{safe_name(key, 'stage key')}.json"
        if not path.is_file():
            return None
        try:
            value = read_json(path)
        except StoreError:
            return None
        with located(file=path):
            require_known_version(value)
        return value if isinstance(value, dict) else None

    def finish(self, key: str, payload: Mapping[str, object]) -> None:
        """Record that a stage has finished, and what it produced, in one rename on the disk.

        Raises ``NewerVersionError`` where a newer Steelyard has recorded it.
        """
        self.get(key)
        path = self._layout.stages / f"{safe_name(key, 'stage key')}.json"
        text, temporary = to_json(plain(payload)), self._layout.scratch()
        with storage_errors(self._layout.root, f"record stage {key}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, text, temporary)


class Unfinished:
    """Journals of responses and training states; each machine's own, in a shared store too."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def journal(self, digest: str) -> Path:
        """The file in which the responses of the checkpoint ``digest`` are journalled."""
        return self._made(self._layout.journal) / f"{digest_name(digest)}.journal"

    def states(self, key: str) -> Path:
        """The folder of the stage ``key`` for saved states, which outlives a killed process."""
        return self._made(self._layout.states / safe_name(key, "stage key"))

    def _made(self, folder: Path) -> Path:
        self._layout.create()
        with storage_errors(self._layout.root, f"create {folder.name}"):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

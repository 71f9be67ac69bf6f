"""Small JSON documents that lie beside the runs and are part of the truth: replaced whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from steelyard.harness.files import replace_file
from steelyard.harness.store.atomic import read_json, storage_errors, to_json
from steelyard.harness.store.layout import Layout, safe_name
from steelyard.harness.store.locks import locked

T = TypeVar("T")


class Documents(Protocol):
    """Documents by name, each written in one step: a reader sees the old one or the new one."""

    def read(self, name: str) -> object:
        """The JSON value; None where there is none. Raises ``StoreError`` where it is damaged."""

    def write(self, name: str, value: object) -> None:
        """Replace the document, on the disk before this returns."""

    def remove(self, name: str) -> None:
        """Remove the document; what is not there is no error."""

    def names(self) -> list[str]:
        """The names that there are, sorted."""

    def alone(self, change: Callable[[], T]) -> T:
        """What ``change`` returns; of all processes, one at a time. It may run more than once."""


class FolderDocuments:
    """A file each, in one folder of a workspace."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._folder = layout.current

    def read(self, name: str) -> object:
        """The JSON value; None where there is none."""
        path = self._folder / f"{safe_name(name, 'document')}.json"
        return read_json(path) if path.is_file() else None

    def write(self, name: str, value: object) -> None:
        """Replace the document in one rename."""
        path = self._folder / f"{safe_name(name, 'document')}.json"
        temporary = self._layout.scratch()
        with storage_errors(self._layout.root, "record which run is current"):
            self._folder.mkdir(exist_ok=True)
            replace_file(path, to_json(value), temporary)

    def remove(self, name: str) -> None:
        """Remove the document; what is not there is no error."""
        with storage_errors(self._layout.root, "record which run is current"):
            (self._folder / f"{safe_name(name, 'document')}.json").unlink(missing_ok=True)

    def names(self) -> list[str]:
        """The names that there are, sorted."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def alone(self, change: Callable[[], T]) -> T:
        """What ``change`` returns; of all processes, one at a time."""
        self._layout.create()
        with (
            storage_errors(self._layout.root, "record which run is current"),
            locked(self._layout.current_lock),
        ):
            return change()

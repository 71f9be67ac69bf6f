"""What is imported last under a name is what it means, whatever its date and however often."""

from __future__ import annotations

import os
from pathlib import Path

from steelyard.harness.imports import (
    Imported,
    ItemColumns,
    ItemSettings,
    read_items,
    store_imported,
)
from steelyard.harness.store import open_store


def imported(file: Path, right: int, day: int) -> Imported:
    """Ten items, so many of them right, in a file last written on this day of June."""
    lines = [f"{i},{int(i < right)}" for i in range(10)]
    file.write_text("\n".join(["id,acc", *lines]) + "\n")
    os.utime(file, (1_780_000_000 + 86_400 * day,) * 2)
    return read_items(file, ItemColumns(), ItemSettings("new", "imported", "items", None))


def test_the_file_that_was_imported_last_is_judged_though_it_is_older(tmp_path: Path) -> None:
    store = open_store(tmp_path / ".steelyard")
    late, early = imported(tmp_path / "a.csv", 9, 20), imported(tmp_path / "b.csv", 2, 1)
    assert late.run.made > early.run.made
    assert store_imported(store, late)
    assert store_imported(store, early)
    assert store.get("imported/new").id == early.run.id
    assert not store_imported(store, late)  # there already, and meant again
    assert store.get("imported/new").id == late.run.id


def test_the_energy_of_an_earlier_run_does_not_make_it_current(tmp_path: Path) -> None:
    store = open_store(tmp_path / ".steelyard")
    first, second = imported(tmp_path / "a.csv", 9, 1), imported(tmp_path / "b.csv", 2, 2)
    for each in (first, second):
        store_imported(store, each)
    for before, id, current in ((first, "e" * 32, second.run.id), (second, "f" * 32, "f" * 32)):
        metered = Imported(before.run.model_copy(update={"id": id}), before.rows)
        store_imported(store, metered, in_place_of=before.run.id)
        assert store.get("imported/new").id == current

"""A flipped byte in any file of a run is found, put away, and mended by what made the run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from steelyard.harness.errors import StoreError
from steelyard.harness.store import FolderStore, open_store
from steelyard.harness.store.run_digests import DIGESTS_FILE

FILES = ("run.json", "rows.parquet", "samples.parquet", DIGESTS_FILE)


@pytest.fixture
def store(tmp_path: Path, make: SimpleNamespace) -> FolderStore:
    store = open_store(tmp_path / ".steelyard")
    store.put(make.run(), [make.rows()], make.samples())
    return store


def flip(path: Path, place: float) -> None:
    """Change one bit at this share of the file's length."""
    content = bytearray(path.read_bytes())
    content[min(int(place * len(content)), len(content) - 1)] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.31, 0.5, 0.77, 1.0])
def test_a_flipped_bit_anywhere_in_a_run_is_put_away_and_made_again(
    store: FolderStore,
    make: SimpleNamespace,
    name: str,
    place: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    id = make.run().id
    flip(store.layout.runs / id / name, place)
    assert store.runs.intact(id) is None
    assert store.upkeep.check()
    store.put(make.run(), [make.rows()], make.samples())
    (line,) = capsys.readouterr().err.splitlines()
    assert f"runs/{id}" in line
    assert "put away in" in line
    assert store.runs.intact(id) == make.run()
    assert store.samples(id) == make.samples()
    assert store.upkeep.check() == []
    (garbage,) = store.upkeep.gc()
    assert Path(garbage.path).parent == store.layout.damaged


def test_a_flipped_bit_in_a_value_is_an_error_and_never_another_number(
    store: FolderStore, make: SimpleNamespace
) -> None:
    path = store.layout.runs / make.run().id / "run.json"
    path.write_text(path.read_text().replace('"value": 0.', '"value": 1.', 1))
    with pytest.raises(StoreError, match=r"run.json: damaged \(its SHA-256.*again"):
        store.get(make.run().id)


def test_a_run_without_digests_of_an_earlier_version_is_read_to_its_end(
    store: FolderStore, make: SimpleNamespace
) -> None:
    folder = store.layout.runs / make.run().id
    (folder / DIGESTS_FILE).unlink()
    assert store.runs.intact(folder.name) == make.run()
    flip(folder / "samples.parquet", 0.3)
    assert store.runs.intact(folder.name) is None


def test_damage_in_one_run_keeps_nobody_from_the_others(
    store: FolderStore, make: SimpleNamespace
) -> None:
    store.put(make.run("other"), [], [])
    flip(store.layout.runs / make.run().id / "run.json", 0.5)
    assert store.get("e/other") == make.run("other")
    with pytest.raises(StoreError, match="damaged"):
        store.get("e/c")

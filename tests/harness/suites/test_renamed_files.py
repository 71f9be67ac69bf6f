"""Files of tasks that were reworded keep their first digest, as long as nobody edits them."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.files import file_digest
from steelyard.harness.suites.renamed_files import RENAMED_FILES, first_digest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", sorted(RENAMED_FILES))
def test_an_entry_is_about_the_file_as_it_stands(name: str) -> None:
    now, _ = RENAMED_FILES[name]
    assert file_digest(ROOT / name) == now, "the file was edited: take its entry out"


def test_a_file_that_was_never_reworded_has_its_own_digest(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text("x = 1\n")
    assert first_digest(file_digest(tmp_path / "f.py")) == file_digest(tmp_path / "f.py")

"""The gallery shows pictures that are there, small, described, and made by its script."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
PICTURES = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", (DOCS / "gallery.md").read_text())


def test_every_picture_is_there_small_and_described() -> None:
    assert 3 <= len(PICTURES) <= 6
    for description, path in PICTURES:
        data = (DOCS / path).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) < 200_000
        assert len(description) > 30


def test_the_script_makes_these_pictures_and_no_others() -> None:
    made = set(re.findall(r'"(gallery-[\w-]+)"', (DOCS / "make_gallery.py").read_text()))
    assert {Path(path).stem for _, path in PICTURES} == made

"""Make the pictures of docs/gallery.md from runs in workspaces, in headless Chromium.

steelyard demo && steelyard run examples/smollm2.yaml --base MODEL
python docs/make_gallery.py --demo steelyard-demo/.steelyard --real .steelyard
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).resolve().parent / "images"
#: A picture larger than this does not belong into a repository.
MOST_BYTES = 200_000


@dataclass(frozen=True)
class Picture:
    """One picture: a page, what of it, and how it is looked at."""

    name: str
    page: Path
    at: str | None = None
    """Scrolled to this element; None: from the top."""
    scheme: str = "light"
    width: int = 1200
    height: int = 780


def main() -> None:
    """Reports and a site from both workspaces, then the pictures."""
    parser = argparse.ArgumentParser(description="Make the pictures of docs/gallery.md.")
    parser.add_argument("--demo", type=Path, required=True, help="workspace of `steelyard demo`")
    parser.add_argument("--real", type=Path, required=True, help="workspace of the SmolLM2 run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        pictures = pages(Path(place), options.demo, options.real)
        IMAGES.mkdir(exist_ok=True)
        take(pictures)


def pages(folder: Path, demo: Path, real: Path) -> list[Picture]:
    """Render what is to be seen, and say which part of it."""
    steelyard("report", "microworld-demo", "-o", folder / "demo", "-w", demo, "--format", "html")
    steelyard("report", "smollm2", "-o", folder / "real", "-w", real, "--format", "html")
    steelyard("leaderboard", "-o", folder / "site", "-w", demo, "-w", real)
    site = folder / "site"
    report = folder / "demo" / "report.html"
    return [
        Picture("gallery-smollm2", folder / "real" / "report.html"),
        Picture("gallery-tradeoffs", report, "#tradeoffs"),
        Picture("gallery-flips", report, ".flips", scheme="dark"),
        Picture("gallery-leaderboard", site / "index.html"),
        Picture("gallery-task", next(site.glob("tasks/microworld-known*.html")), width=1000),
        Picture(
            "gallery-head-to-head", next(site.glob("head-to-head/micro*.html")), "#matrix-section"
        ),
    ]


def steelyard(*arguments: object) -> None:
    """Run the command; its exit code says what it found, which is no matter here."""
    command = [sys.executable, "-m", "steelyard.harness.cli.main", *map(str, arguments)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)


def take(pictures: list[Picture]) -> None:
    """Open each page from disk and take its picture."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for picture in pictures:
            size = {"width": picture.width, "height": picture.height}
            context: Any = browser.new_context(viewport=size, color_scheme=picture.scheme)
            page = context.new_page()
            page.set_default_timeout(60_000)
            page.goto(picture.page.as_uri())
            if picture.at:
                page.eval_on_selector(picture.at, "e => e.scrollIntoView({behavior: 'instant'})")
                wait = "e => [...e.querySelectorAll('.plot')].every(p => p.querySelector('svg'))"
                page.wait_for_function(wait, arg=page.query_selector(picture.at))
            page.wait_for_timeout(800)
            target = IMAGES / f"{picture.name}.png"
            page.screenshot(path=str(target))
            context.close()
            size_bytes = target.stat().st_size
            print(f"{target.name}: {size_bytes / 1000:.0f} kB")
            if size_bytes > MOST_BYTES:
                raise SystemExit(f"{target.name} is larger than {MOST_BYTES} bytes")
        browser.close()


if __name__ == "__main__":
    main()

"""Size and speed of large pages: 60 tasks x 20 candidates, and a leaderboard of 2,000 x 60.

    python benchmarks/reports_at_scale.py --out FOLDER

Prints seconds to build and to render, megabytes, and in headless Chromium the first paint, one
sort and one filter, in milliseconds. The runs are made up; only their number and shape matter.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reports.build import build_leaderboard, build_report
from reports.document import Document
from reports.html import Html
from tests.reports.fake_runs import NAMES, FakeTask, fake_comparison, fake_run, fake_verdict

FAMILIES = ("quality", "retention", "hallucination", "summarisation", "translation")
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


def tasks(count: int, n: int) -> tuple[FakeTask, ...]:
    """Accuracy tasks, each with a value for every fake candidate."""
    rng = random.Random(0)
    return tuple(
        FakeTask(
            f"task_{i:02d}",
            "acc",
            FAMILIES[i % len(FAMILIES)],
            {name: rng.uniform(0.2, 0.9) for name in NAMES},
            n=n,
            chance=0.25,
        )
        for i in range(count)
    )


def report(candidates: int, count: int) -> Document:
    """A report with every flip that a comparison keeps."""
    suite = tasks(count, n=50_000)
    runs = [fake_run(NAMES[i % 8], "large", suite) for i in range(candidates + 1)]
    runs = [
        run.model_copy(update={"candidate": f"c{i:02d}", "id": f"{i:032d}"})
        for i, run in enumerate(runs)
    ]
    comparisons = [fake_comparison(runs[0], run, flips_per_task=40) for run in runs[1:]]
    verdicts = [fake_verdict(comparison) for comparison in comparisons]
    return build_report("large", runs, comparisons, verdicts, baseline="c00")


def leaderboard(count: int) -> Document:
    """A leaderboard of runs that differ by a little noise."""
    suite = tasks(60, n=1000)
    rng = random.Random(1)
    runs = []
    for i in range(count):
        run = fake_run(NAMES[i % 8], f"experiment {i // 8:03d}", suite)
        moved = [rng.gauss(0, 0.05) for _ in run.scores]
        scores = tuple(
            s.model_copy(update={"value": s.value + m, "low": s.low + m, "high": s.high + m})
            for s, m in zip(run.scores, moved, strict=True)
        )
        runs.append(run.model_copy(update={"scores": scores, "id": f"{i:032d}"}))
    started = time.perf_counter()
    document = build_leaderboard(runs)
    print(f"  build {time.perf_counter() - started:.1f} s")
    return document


def in_browser(path: Path, table: str) -> None:
    """First paint, one sort, one search; each from the event to the next frame."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("  no chromium on this machine")
        return
    from playwright.sync_api import sync_playwright

    timed = """async ([selector, act]) => {
        const element = document.querySelector(selector), start = performance.now();
        if (act === 'click') element.click();
        else { element.value = act; element.dispatchEvent(new Event('input')); }
        element.offsetHeight;
        return performance.now() - start;
    }"""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=CHROMIUM)
        page = browser.new_page()
        page.set_default_timeout(300_000)
        page.goto(path.as_uri())
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        head = f"#{table} thead tr:last-child th:nth-child(5) .sort"
        sort = [page.evaluate(timed, [head, "click"]) for _ in range(3)]
        search = f"#{table} .search" if table == "standings" else ".flips .search"
        found = [page.evaluate(timed, [search, words]) for words in ("1", "12", "")]
        print(f"  first paint {paint:.0f} ms, sort {max(sort):.0f} ms, search {max(found):.0f} ms")
        browser.close()


def measure(name: str, document: Document, table: str, folder: Path) -> None:
    """Render, weigh and open one page."""
    started = time.perf_counter()
    text = Html().render(document)
    path = folder / f"{name}.html"
    path.write_text(text, encoding="utf-8")
    print(f"  render {time.perf_counter() - started:.1f} s, {path.stat().st_size / 1e6:.1f} MB")
    in_browser(path, table)


def main() -> None:
    """Both pages, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print("report, 20 candidates x 60 tasks x 50,000 samples")
    started = time.perf_counter()
    document = report(20, 60)
    print(f"  build, fakes included, {time.perf_counter() - started:.1f} s")
    measure("report", document, "score-table", options.out)
    print(f"leaderboard, {options.runs} runs x 60 tasks")
    measure("leaderboard", leaderboard(options.runs), "standings", options.out)


if __name__ == "__main__":
    main()

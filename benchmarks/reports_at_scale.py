"""Size and speed of large pages: 60 tasks x 20 candidates, and a leaderboard of 2,000 runs.

    python benchmarks/reports_at_scale.py --out FOLDER > benchmarks/results/reports_at_scale.md

Prints a Markdown table. The runs are made up and lie in a real workspace; only their number and
shape matter. In headless Chromium the first paint is the browser's own paint timing
(``first-contentful-paint``), the median of five openings of the file from disk; a sort or a filter
is timed from the event until the frame that shows it has been drawn, the median of nine and the
slowest.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from steelyard.harness.records import Rows, Run
from steelyard.harness.store import open_store
from steelyard.reports.build import build_report
from steelyard.reports.document import Document
from steelyard.reports.renderers.html import Html
from steelyard.reports.site.build import HEAD_TO_HEAD_MODELS, write_leaderboard
from steelyard.reports.site.names import task_path
from tests.reports.fake_runs import NAMES, FakeTask, fake_comparison, fake_run, fake_verdict

FAMILIES = ("quality", "retention", "hallucination", "summarisation", "translation")
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
TASKS, CANDIDATES, SAMPLES, ITEMS = 60, 20, 50_000, 1000

#: From an event until the frame that shows what it did has been drawn, in milliseconds.
TIMED = """async ([selector, name, value]) => {
    const element = document.querySelector(selector), start = performance.now();
    if (name === "click") element.click();
    else { element.value = value; element.dispatchEvent(new Event(name)); }
    await new Promise((done) => requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = done;
        channel.port2.postMessage(0);
    }));
    return performance.now() - start;
}"""


@dataclass(frozen=True)
class Figure:
    """One measured number against its bar."""

    what: str
    value: float
    unit: str
    bar: float | None = None
    slowest: float | None = None

    def line(self) -> str:
        """A row of the table."""
        shown = f"{self.value:.1f}" if self.unit in ("s", "MB") else f"{self.value:.0f}"
        worst = "" if self.slowest is None else f"{self.slowest:.0f} {self.unit}"
        bar = "" if self.bar is None else f"{self.bar:g} {self.unit}"
        met = "" if self.bar is None else "yes" if self.value < self.bar else "**no**"
        return f"| {self.what} | {shown} {self.unit} | {worst} | {bar} | {met} |"


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


def report() -> Document:
    """A report with every flip that a comparison keeps."""
    suite = tasks(TASKS, n=SAMPLES)
    runs = [fake_run(NAMES[i % 8], "large", suite) for i in range(CANDIDATES + 1)]
    runs = [
        run.model_copy(update={"candidate": f"c{i:02d}", "id": f"{i:032d}"})
        for i, run in enumerate(runs)
    ]
    comparisons = [fake_comparison(runs[0], run, flips_per_task=40) for run in runs[1:]]
    verdicts = [fake_verdict(comparison) for comparison in comparisons]
    return build_report("large", runs, comparisons, verdicts, baseline="c00")


def leaderboard_runs(count: int) -> Iterator[Run]:
    """Runs of eight candidates an experiment, which differ by a little noise."""
    suite = tasks(TASKS, n=ITEMS)
    rng = random.Random(1)
    models = [fake_run(name, "large", suite) for name in NAMES]
    for i in range(count):
        run = models[i % 8]
        moved = [rng.gauss(0, 0.05) for _ in run.scores]
        scores = tuple(
            s.model_copy(update={"value": s.value + m, "low": s.low + m, "high": s.high + m})
            for s, m in zip(run.scores, moved, strict=True)
        )
        update = {
            "scores": scores,
            "id": f"{i:032x}",
            "experiment": f"experiment {i // 8:03d}",
            "created_at": f"2026-{1 + i % 12:02d}-{1 + i % 28:02d}T10:{i % 60:02d}:00+00:00",
        }
        yield run.model_copy(update=update)


def rows(run: Run) -> list[Rows]:
    """A thousand answers a task, right as often as the run's score says."""
    rng = np.random.default_rng(int(run.id, 16))
    ids = tuple(f"{i:032x}" for i in range(ITEMS))
    answers = ((s, rng.random(ITEMS) < s.value) for s in run.scores)
    return [
        Rows(
            s.task,
            s.metric,
            ids,
            right[:, None].astype(np.float64),
            np.ones(ITEMS, dtype=np.bool_),
            ("",) * ITEMS,
            (None,) * ITEMS,
        )
        for s, right in answers
    ]


def workspace(folder: Path, count: int) -> None:
    """Put the runs into a workspace; rows for those that a head-to-head page may show."""
    store = open_store(folder)
    runs = list(leaderboard_runs(count))
    newest = sorted(runs, key=lambda run: run.created_at)[-2 * HEAD_TO_HEAD_MODELS :]
    kept = {run.id for run in newest}
    for run in runs:
        store.put(run, rows(run) if run.id in kept else [], [])


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class Browser:
    """Headless Chromium; pages are opened from disk."""

    def __init__(self, page) -> None:
        self.page = page
        page.set_default_timeout(300_000)

    def open(self, path: Path, what: str) -> Figure:
        """The first paint, and the page left open."""
        found = []
        for _ in range(5):
            self.page.goto("about:blank")
            self.page.goto(path.as_uri())
            self.page.wait_for_timeout(300)
            entry = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            found.append(self.page.evaluate(entry))
        return Figure(f"{what}: first paint", statistics.median(found), "ms", 1500, max(found))

    def act(self, what: str, *acts: tuple[str, str, str]) -> Figure:
        """The acts in turn, nine in all; the first one warms up and is not counted."""
        times = [self.page.evaluate(TIMED, list(acts[i % len(acts)])) for i in range(10)][1:]
        return Figure(what, statistics.median(times), "ms", 100, max(times))


def report_figures(browser: Browser, folder: Path) -> Iterator[Figure]:
    """Build, weigh and use the report."""
    document = report()
    path = folder / "report.html"
    yield Figure(
        "report: rendered",
        timed(lambda: path.write_text(Html().render(document), encoding="utf-8")),
        "s",
    )
    yield Figure("report: size", path.stat().st_size / 1e6, "MB", 25)
    yield browser.open(path, "report")
    heads = [f"#score-table thead tr.heads th:nth-child({i}) .sort" for i in (5, 9, 20)]
    yield browser.act("report: sort scores", *((head, "click", "") for head in heads))
    yield browser.act(
        "report: choose a family",
        ("select.family", "change", "retention"),
        ("select.family", "change", "quality"),
    )
    yield browser.act(
        "report: filter flips",
        (".flips select[data-name=candidate]", "change", "c07"),
        (".flips select[data-name=task]", "change", "task_03"),
        (".flips select[data-name=candidate]", "change", ""),
        (".flips select[data-name=task]", "change", ""),
    )
    yield browser.act(
        "report: search flips", *((".flips .search", "input", word) for word in ("1", "12", ""))
    )


def leaderboard_figures(browser: Browser, folder: Path, count: int) -> Iterator[Figure]:
    """Build the site, add a run, use the first page and a task's."""
    place, site = folder / "workspace", folder / "site"
    workspace(place, count)

    def build() -> None:
        store = open_store(place)
        done.append(write_leaderboard(store.find(), site, store.rows))

    done: list = []
    shutil.rmtree(site, ignore_errors=True)
    yield Figure("leaderboard: built, runs read from the workspace", timed(build), "s", 30)
    yield Figure("leaderboard: files", len(done[-1].written), "files")
    yield Figure("leaderboard: built again, nothing new", timed(build), "s")
    *_, new = leaderboard_runs(count + 1)
    new = new.model_copy(update={"created_at": "2026-12-30T10:00:00+00:00"})
    open_store(place).put(new, rows(new), [])
    yield Figure("leaderboard: one run added", timed(build), "s")
    yield Figure("leaderboard: files written then", len(done[-1].written), "files")
    total = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    yield Figure("leaderboard: whole site", total / 1e6, "MB")
    yield Figure("leaderboard: first page", (site / "index.html").stat().st_size / 1e6, "MB")
    yield browser.open(site / "index.html", "leaderboard")
    yield from _use_table(browser, "leaderboard", "standings", (6, 20, 61))
    browser.page.wait_for_timeout(500)
    yield browser.act(
        "leaderboard: choose a family",
        ("select.family", "change", "retention"),
        ("select.family", "change", "quality"),
    )
    yield browser.open(site / task_path("task_07"), "task page")
    yield from _use_table(browser, "task page", "m0-0", (2, 3, 6))


def _use_table(
    browser: Browser, name: str, table: str, columns: tuple[int, ...]
) -> Iterator[Figure]:
    heads = [f"#{table} thead tr.heads th:nth-child({i}) .sort" for i in columns]
    yield browser.act(f"{name}: sort", *((head, "click", "") for head in heads))
    trainer = f"#{table} select[data-name=trainer]"
    yield browser.act(f"{name}: filter", (trainer, "change", "lora"), (trainer, "change", ""))
    yield browser.act(
        f"{name}: search", *((f"#{table} .search", "input", w) for w in ("1", "12", "lora", ""))
    )


def hardware() -> str:
    """The processor's name and how many cores there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def main() -> None:
    """Both pages, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    begun = os.getloadavg()[0]
    options.out.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        browser = Browser(running.new_page(viewport={"width": 1280, "height": 900}))
        figures = [
            *report_figures(browser, options.out),
            *leaderboard_figures(browser, options.out, options.runs),
        ]
        version = running.version
        running.close()
    print("# Reports and leaderboard at scale\n")
    print("Made by `python benchmarks/reports_at_scale.py`.\n")
    print(f"- Report: {TASKS} tasks x {CANDIDATES} candidates x {SAMPLES:,} samples.")
    print(
        f"- Leaderboard: {options.runs:,} runs x {TASKS} tasks, each a candidate of its own, read"
    )
    print("  from a workspace; a page for each candidate and task, a head-to-head page, downloads.")
    print(f"- {hardware()}, while other work ran on it")
    print(f"  (load average {begun:.1f} at the start, {os.getloadavg()[0]:.1f} at the end).")
    print(f"- Python {platform.python_version()}, headless Chromium {version}. First paint: the")
    print("  browser's paint timing (`first-contentful-paint`), median of five openings from disk.")
    print(
        "  Sort, filter, search: from the event until the frame that shows it is drawn, median of"
    )
    print("  nine.\n")
    print("| | median | slowest | bar | met |\n|---|---|---|---|---|")
    print("\n".join(figure.line() for figure in figures))


if __name__ == "__main__":
    main()

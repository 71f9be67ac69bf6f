"""The pages in headless Chromium, opened from disk: no request, no error, mouse and keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.reports.build import build_report
from steelyard.reports.document import Document
from steelyard.reports.renderers.html import Html
from steelyard.reports.site.build import write_leaderboard
from steelyard.reports.site.leaderboard import build_leaderboard
from steelyard.reports.site.names import model_path, task_path
from tests.reports.fake_runs import (
    NAMES,
    FakeTask,
    fake_comparison,
    fake_document,
    fake_experiment,
    fake_run,
)
from tests.reports.hostile import CORPUS
from tests.reports.hostile_experiment import hostile_document
from tests.reports.site.test_site import RIGHT, rows_of

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield running
        running.close()


class Opened:
    """A page from disk with what it asked for and complained about."""

    def __init__(self, browser, path: Path, **context) -> None:
        self.context = browser.new_context(**context)
        # Generous, because a machine that is busy otherwise is no failure of the page.
        self.context.set_default_timeout(60_000)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("console", lambda m: self.complaints.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda e: self.complaints.append(f"error: {e}"))
        self.page.goto(path.as_uri())

    def scroll_through(self) -> None:
        """Past every chart, so that all of them are drawn."""
        for element in self.page.query_selector_all(".plot"):
            element.scroll_into_view_if_needed()
            self.page.wait_for_function("e => e.querySelector('.main-svg')", arg=element)

    def texts(self, selector: str) -> list[str]:
        return self.page.eval_on_selector_all(
            selector, "all => all.filter(e => e.offsetParent).map(e => e.textContent.trim())"
        )


@pytest.fixture
def opened(browser, tmp_path: Path) -> Iterator:
    pages: list[Opened] = []

    def open_(document: Document, **context) -> Opened:
        path = tmp_path / f"page{len(pages)}.html"
        path.write_text(Html().render(document), encoding="utf-8")
        pages.append(Opened(browser, path, **context))
        return pages[-1]

    yield open_
    for one in pages:
        one.context.close()


def two_baselines() -> Document:
    fake = fake_experiment()
    runs = {run.candidate: run for run in fake.runs}
    others = [fake_comparison(runs["lora"], run) for run in fake.runs if run.candidate != "lora"]
    return build_report(
        "demo", fake.runs, [*fake.comparisons, *others], fake.verdicts, baseline="base"
    )


def test_a_report_opens_from_disk_without_a_request_or_a_complaint(opened) -> None:
    one = opened(fake_document())
    one.scroll_through()
    assert len(one.requests) == 1
    assert one.requests[0].startswith("file://")
    assert one.complaints == []
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_leaderboard_opens_from_disk_without_a_request_or_a_complaint(opened) -> None:
    one = opened(build_leaderboard(fake_experiment().runs))
    assert len(one.requests) == 1
    assert one.complaints == []


def test_a_phone_scrolls_down_only(opened) -> None:
    one = opened(fake_document(), viewport={"width": 390, "height": 844})
    one.scroll_through()
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_on_paper_the_rules_are_open_and_no_chart_is_an_empty_box(opened) -> None:
    one = opened(fake_document())
    rules, charts = "#gate details", ".plot"
    assert not one.page.eval_on_selector(rules, "fold => fold.open")
    one.page.emulate_media(media="print")
    # As the browser does before it lays out a printed page; no chart has been scrolled to.
    one.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert one.page.eval_on_selector(rules, "fold => fold.open")
    empty = "all => all.filter(e => !e.firstChild && e.offsetHeight > 0).length"
    assert one.page.eval_on_selector_all(charts, empty) == 0
    told = "all => all.every(e => e.querySelector('.plot > *') || e.querySelector('details').open)"
    assert one.page.eval_on_selector_all(".chart", told)
    one.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not one.page.eval_on_selector(rules, "fold => fold.open")


@pytest.mark.parametrize("width", [390, 1000, 1280])
def test_what_is_cut_at_the_side_has_a_shade_at_its_end(opened, width: int) -> None:
    one = opened(fake_document(), viewport={"width": width, "height": 844})
    cut = """all => all.filter(e => e.scrollWidth > e.clientWidth + 1)
        .filter(e => !getComputedStyle(e).backgroundImage.includes('linear-gradient'))
        .map(e => e.className || e.tagName)"""
    held = "main *:not(.text):not(pre):not(code), .top nav"
    scrolls = "e => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX)"
    assert one.page.eval_on_selector_all(held, f"all => ({cut})(all.filter({scrolls}))") == []
    assert one.page.eval_on_selector(".top nav", "e => e.scrollWidth > e.clientWidth")


def test_hostile_texts_run_no_script_and_load_nothing(opened) -> None:
    one = opened(hostile_document())
    one.scroll_through()
    one.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    one.page.mouse.move(300, 300)
    assert one.page.evaluate("window.pwned") is None
    assert len(one.requests) == 1
    assert one.complaints == []
    assert one.page.eval_on_selector_all(".plot a", "all => all.length") == 0


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_table_sorts(opened, by: str) -> None:
    one = opened(fake_document())
    head = one.page.locator("#score-table thead tr.heads th").nth(1)

    def press() -> None:
        if by == "mouse":
            head.locator("button").click()
        else:
            head.locator("button").focus()
            one.page.keyboard.press("Enter")

    names = "#score-table tbody th bdi:first-child"
    press()
    assert head.get_attribute("aria-sort") == "ascending"
    assert one.texts(names)[0::2][:2] == ["base", "qlora"]
    press()
    assert head.get_attribute("aria-sort") == "descending"
    assert one.texts(names)[0::2][:2] == ["full", "orpo"]


def test_families_and_secondary_metrics_are_chosen(opened) -> None:
    one = opened(fake_document())
    heads = "#score-table thead tr.heads th button"
    before = one.texts(heads)
    one.page.select_option("select.family", "retention")
    assert one.texts(heads) == ["Candidate", "known", "arithmetic"]
    one.page.select_option("select.family", "")
    one.page.check("input.secondary-too")
    assert len(one.texts(heads)) == len(before) + 2


def test_flips_are_filtered_and_searched_by_mouse_and_keyboard(opened) -> None:
    one = opened(fake_document())
    assert len(one.texts("article.flip")) == 10
    one.page.select_option(".flips select[data-name=candidate]", "nf4")
    one.page.select_option(".flips select[data-name=direction]", "gained")
    shown = one.texts("article.flip")
    assert shown and all("wrong → right" in text and "nf4" in text for text in shown)
    one.page.locator(".flips input.search").focus()
    one.page.keyboard.type("number 5")
    shown = one.texts("article.flip")
    assert shown and all("number 5" in text for text in shown)
    one.page.keyboard.type("no such words")
    assert one.texts("article.flip") == []
    assert one.page.locator(".flips .count").inner_text() == "0 of 0 shown"


def test_more_flips_are_shown_on_demand(opened) -> None:
    one = opened(fake_document())
    one.page.locator(".flips .more").focus()
    one.page.keyboard.press("Enter")
    assert len(one.texts("article.flip")) == 20


def test_another_baseline_is_chosen(opened) -> None:
    one = opened(two_baselines())
    first = one.texts("#score-table tbody tr:nth-child(2) .change")
    one.page.locator("#baseline").focus()
    one.page.keyboard.press("l")
    assert one.page.locator("#baseline").input_value() == "lora"
    assert one.texts("#score-table tbody tr:nth-child(2) .change") != first
    assert one.texts("#score-table tr.baseline bdi")[0] == "lora"
    assert one.texts(".verdict-table caption") == ["Each candidate against lora"]


def test_dark_mode_follows_the_system_and_the_button(opened) -> None:
    one = opened(fake_document(), color_scheme="dark")
    page = one.page
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.locator("#theme").focus()
    page.keyboard.press("Enter")
    assert page.locator("#theme").inner_text() == "Theme: light"
    assert page.evaluate(background) != dark
    page.locator("#theme").click()
    assert page.evaluate(background) == dark


# --- the leaderboard's site --------------------------------------------------------------------


def runs_of_two_suites() -> list:
    """Eight runs, an earlier one, one with other settings, an imported one, another suite."""
    runs = [fake_run(name) for name in NAMES]
    earlier = runs[1].model_copy(
        update={"id": "ab" * 16, "created_at": "2026-10-01T10:00:00+00:00"}
    )
    few = tuple(s.model_copy(update={"few_shot": 5}) for s in runs[4].signatures)
    runs[4] = runs[4].model_copy(update={"signatures": few})
    runs[5] = runs[5].model_copy(update={"imported_from": "lm-eval, results.json"})
    other = fake_run("base", "else")
    scores = tuple(s for s in other.scores if s.task == "microworld_known")
    return [*runs, earlier, other.model_copy(update={"suite": "second", "scores": scores})]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_leaderboard(runs_of_two_suites(), folder, rows_of(RIGHT))
    return folder


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    bad = [text[:300] for text in CORPUS]
    runs = []
    for i, name in enumerate(NAMES):
        run = fake_run(name)
        scores = tuple(
            s.model_copy(update={"task": bad[j % len(bad)] + s.task, "note": bad[j % len(bad)]})
            for j, s in enumerate(run.scores)
        )
        checkpoint = run.checkpoint.model_copy(
            update={"trainer": bad[i], "base": bad[i + 1], "recipe": {b: b for b in bad}}
        )
        update = {
            "experiment": bad[i + 2],
            "candidate": bad[i + 3],
            "suite": bad[i % 2],
            "imported_from": bad[i + 4] if i % 2 else None,
            "scores": scores,
            "checkpoint": checkpoint,
            "created_at": bad[i + 5],
        }
        runs.append(run.model_copy(update=update))
    write_leaderboard(runs, folder, rows_of({}))
    return folder


@pytest.fixture
def visited(browser) -> Iterator:
    pages: list[Opened] = []

    def visit(path: Path, **context) -> Opened:
        pages.append(Opened(browser, path, **context))
        return pages[-1]

    yield visit
    for one in pages:
        one.context.close()


def kinds(site: Path) -> list[Path]:
    """A page of each kind."""
    full = fake_run("full")
    paths = ("index.html", model_path(full), task_path("microworld_known"))
    return [*(site / path for path in paths), *sorted((site / "head-to-head").glob("core*"))]


def test_every_page_of_the_site_opens_from_disk_without_a_request_or_a_complaint(
    site: Path, visited
) -> None:
    for path in kinds(site):
        for width in (1280, 390):
            one = visited(path, viewport={"width": width, "height": 800})
            assert len(one.requests) == 1
            assert one.complaints == []
            assert one.page.evaluate("document.documentElement.scrollWidth") <= width
            policy = "[http-equiv=Content-Security-Policy]"
            assert "default-src 'none'" in one.page.get_attribute(policy, "content")
            assert one.page.eval_on_selector_all("table", "t => t.every(x => x.caption)")
            assert one.page.eval_on_selector_all("th", "t => t.every(x => x.scope)")


def test_no_page_of_a_hostile_site_runs_a_script(hostile_site: Path, visited) -> None:
    pages = sorted(hostile_site.rglob("*.html"))
    assert len(pages) > 15
    one = visited(hostile_site / "index.html")
    for path in pages:
        one.page.goto(path.as_uri())
        one.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        one.page.evaluate(
            "document.querySelectorAll('input[type=checkbox]').forEach(b => b.click())"
        )
        one.page.mouse.move(300, 300)
        assert one.page.evaluate("window.pwned") is None
    assert all(url.startswith("file://") for url in one.requests)
    assert len(one.requests) == len(pages) + 1
    assert one.complaints == []


def test_links_lead_from_the_first_page_to_a_model_a_task_and_back(site: Path, visited) -> None:
    page = visited(site / "index.html").page
    page.locator("#standings a", has_text="demo / full").first.click()
    assert page.locator("h1").inner_text() == "demo / full"
    assert "History" in page.locator("main").inner_text()
    page.locator("main a", has_text="known").first.click()
    assert page.locator("h1").inner_text() == "known"
    page.locator("nav a", has_text="Leaderboard").click()
    assert page.locator("h1").inner_text() == "Leaderboard"


def test_the_columns_of_a_wide_table_have_one_width_with_and_without_secondary_metrics(
    tmp_path: Path, visited
) -> None:
    tasks = tuple(
        FakeTask(f"task {i:02d}", metric, "quality", dict.fromkeys(NAMES, 0.5), primary=first)
        for i in range(40)
        for metric, first in (("acc", True), ("acc_norm", False))
    )
    write_leaderboard([fake_run(n, f"e{i}", tasks) for n in NAMES for i in (1, 2)], tmp_path,
                      rows_of({}))  # fmt: skip
    page = visited(tmp_path / "index.html").page
    measure = "all => [...new Set(all.slice(1).filter(e => e.offsetWidth).map(e => e.offsetWidth))]"
    for columns in (2 + 40 + 5, 2 + 80 + 5):
        heads = "#standings .heads th"
        assert (
            page.eval_on_selector_all(heads, "a => a.filter(e => e.offsetWidth).length") == columns
        )
        assert page.eval_on_selector_all(heads, measure) == [152]
        page.check("input.secondary-too")


def test_a_suite_brings_its_own_columns_and_rows(site: Path, visited) -> None:
    one = visited(site / "index.html")
    suite = one.page.locator("#standings select[data-name=suite]")
    assert suite.input_value() == "core"
    before = one.texts("#standings thead .sort")
    suite.select_option("second")
    assert one.texts("#standings tbody th a") == ["else / base"]
    columns = one.texts("#standings thead .sort")
    assert "known" in columns and "choice" not in columns and len(columns) < len(before)
    suite.select_option("")
    assert len(one.texts("#standings tbody th a")) == 9


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_scores_are_shown_normalised_and_sort_so(site: Path, visited, by: str) -> None:
    one = visited(site / "index.html")
    box = one.page.locator("#standings-section input.normalise")
    if by == "mouse":
        box.click()
    else:
        box.focus()
        one.page.keyboard.press("Space")
    cell = one.page.locator("#standings tbody tr", has_text="demo / base").first
    titles = "all => all.map(e => e.firstChild.textContent)"
    column = one.page.eval_on_selector_all("#standings thead .heads .sort", titles).index("known")
    # .99 where chance is .0742: (.99 - .0742) / (1 - .0742)
    assert cell.locator("th, td").nth(column).inner_text().startswith("0.989")
    head = one.page.locator("#standings thead .heads th").nth(column)
    head.locator("button").focus()
    one.page.keyboard.press("Enter")
    one.page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    values = one.page.eval_on_selector_all(
        "#standings tbody tr",
        f"rows => rows.map(r => Number(r.cells[{column}].dataset.normalised))",
    )
    assert values == sorted(values, reverse=True) and len(values) == 8


def test_runs_are_filtered_by_trainer_size_and_date(site: Path, visited) -> None:
    one = visited(site / "index.html")
    names = "#standings tbody th a"
    one.page.locator("#standings .more-filters summary").focus()
    one.page.keyboard.press("Enter")
    size = "#standings input[type=number]"
    one.page.fill(f"{size}[data-end=to]", "3")
    assert one.texts(names) == ["demo / int8", "demo / lora", "demo / nf4"]
    one.page.fill(f"{size}[data-end=from]", "2")
    assert one.texts(names) == ["demo / int8"]
    one.page.fill(f"{size}[data-end=from]", "")
    one.page.select_option("#standings select[data-name=trainer]", "lora")
    assert one.texts(names) == ["demo / lora"]
    one.page.fill("#standings input[type=date][data-end=to]", "2026-11-01")
    assert one.texts(names) == []
    assert one.page.locator("#standings .count").inner_text() == "0 of 0 found"


def test_two_models_are_held_against_each_other(site: Path, visited) -> None:
    one = visited(next((site / "head-to-head").glob("core*")))
    one.page.select_option("#pairs select[data-name=model]", "base")
    one.page.select_option("#pairs select[data-name=against]", "full")
    (row,) = one.texts("#pairs tbody tr")
    assert row.startswith("basefullknown")
    assert "0.438" in row


def small_report() -> Document:
    fake = fake_experiment(flips_per_task=1)
    return build_report("demo", fake.runs, fake.comparisons, fake.verdicts, baseline="base")


def small_leaderboard() -> Document:
    return build_leaderboard(fake_experiment().runs)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("make", [small_report, small_leaderboard])
def test_axe_finds_no_serious_violation(opened, make, scheme: str) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    one = opened(make(), color_scheme=scheme)
    one.scroll_through()
    assert serious(axe, one) == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation_on_the_site(site: Path, visited, scheme: str) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    for path in kinds(site):
        assert serious(axe, visited(path, color_scheme=scheme)) == [], path


def serious(axe, one: Opened) -> list[tuple]:
    """What axe-core calls serious or critical, with everything unfolded."""
    one.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = axe.Axe().run(one.page).response
    assert len(found["passes"]) > 15
    return [
        (v["id"], v["nodes"][0]["html"][:200], v["nodes"][0].get("failureSummary"))
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]

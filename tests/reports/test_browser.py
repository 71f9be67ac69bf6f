"""The pages in headless Chromium, opened from disk: no request, no error, mouse and keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reports.build import build_report
from reports.document import Document
from reports.html import Html
from reports.leaderboard import build_leaderboard
from tests.reports.fake_runs import fake_comparison, fake_document, fake_experiment
from tests.reports.hostile_experiment import hostile_document

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
    one.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = axe.Axe().run(one.page).response
    assert len(found["passes"]) > 15
    serious = [
        (v["id"], v["nodes"][0]["html"][:200], v["nodes"][0].get("failureSummary"))
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]
    assert serious == []

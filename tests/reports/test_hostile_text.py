"""What a model wrote is shown, and does nothing: in HTML, Markdown, terminal, CSV, JSON, XML."""

from __future__ import annotations

import csv
import io
import re
from xml.etree import ElementTree

import pytest
from lxml import html

from steelyard.reports.document import Document
from steelyard.reports.renderers.csv_document import Csv
from steelyard.reports.renderers.html import Html, script_json
from steelyard.reports.renderers.json_document import Json
from steelyard.reports.renderers.junit import Junit
from steelyard.reports.renderers.markdown import Markdown, escape, quoted
from steelyard.reports.renderers.terminal import Terminal
from steelyard.reports.renderers.visible import visible
from tests.reports.hostile import CORPUS
from tests.reports.hostile_experiment import hostile_document

CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


@pytest.fixture(scope="module")
def document() -> Document:
    return hostile_document()


@pytest.fixture(scope="module")
def page_text(document: Document) -> str:
    return Html().render(document)


def test_no_element_or_attribute_of_the_page_comes_from_a_text(page_text: str) -> None:
    page = html.document_fromstring(page_text)
    assert [s.get("type") for s in page.iter("script")] == [
        "application/json",
        "application/json",
        "text/plain",
        None,
    ]
    assert not list(page.iter("img", "svg", "iframe", "object", "embed", "link", "base"))
    for element in page.iter():
        assert not [name for name in element.attrib if name.startswith("on")]
        assert not (element.get("href") or "#").lower().startswith("javascript")


def test_the_page_lets_only_its_own_scripts_run(page_text: str) -> None:
    page = html.document_fromstring(page_text)
    policy = page.xpath("//meta[@http-equiv='Content-Security-Policy']")[0].get("content")
    assert "default-src 'none'" in policy
    scripts = next(part for part in policy.split(";") if "script-src" in part)
    assert "unsafe" not in scripts
    assert scripts.count("'sha256-") == 2


def test_nothing_on_the_page_hides_or_reorders(page_text: str) -> None:
    body = page_text[page_text.index("<body") : page_text.index("<script type")]
    assert not CONTROLS.search(body)
    assert "⟨202E⟩" in body


def test_data_in_a_script_element_cannot_end_it() -> None:
    text = str(script_json({"a": "".join(CORPUS[:-1])}))
    assert not re.search("[<>&\u2028\u2029]", text)


def test_a_line_of_a_million_letters_is_cut_and_says_so(page_text: str) -> None:
    assert "x" * 5000 not in page_text
    assert "998,000 more characters" in page_text


@pytest.mark.parametrize("full", [False, True])
def test_the_terminal_gets_no_control_code(document: Document, full: bool) -> None:
    text = Terminal(full=full).render(document)
    assert not CONTROLS.search(text)


def test_the_terminal_gets_no_control_code_but_our_colours(document: Document) -> None:
    text = Terminal(full=True, colour=True).render(document)
    assert not CONTROLS.search(re.sub(r"\x1b\[[0-9;]*m", "", text))
    assert "owned" not in text or "\x1b]" not in text


def test_no_cell_of_the_csv_is_a_formula(document: Document) -> None:
    for line in csv.reader(io.StringIO(Csv().render(document))):
        for cell in line:
            if cell[:1] in "=+-@\t\r" and cell:
                float(cell)


def test_markdown_holds_no_tag_link_image_or_mention(document: Document) -> None:
    text = Markdown().render(document)
    outside = re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$", "", text)
    outside = re.sub(r"(`+) .*? \1", "", outside)
    assert set(re.findall(r"<(/?\w+)", outside)) <= {
        "br", "sub", "/sub", "details", "/details", "summary", "/summary",
    }  # fmt: skip
    assert not re.search(r"(?<!\\)\]\(|(?<!\\)!\[|@\w|://\w|www\.\w", outside)
    assert not CONTROLS.search(text)


@pytest.mark.parametrize("text", CORPUS[:-1])
def test_a_foreign_word_stays_one_line_of_markdown(text: str) -> None:
    assert "\n" not in escape(text)
    assert "\n" not in quoted(text)
    assert "|" not in re.sub(r"\\\|", "", escape(text))


def test_a_comment_keeps_its_marker_and_its_limit(document: Document) -> None:
    text = Markdown(comment=True).render(document)
    assert len(text.encode()) < 65_536
    first = text.splitlines()[0]
    assert first.startswith("<!-- steelyard-report") and first.endswith(" -->")
    assert first.count("--") == 2 and first.count(">") == 1


def test_the_json_is_ascii_and_reads_back(document: Document) -> None:
    assert Json().render(document).isascii()


def test_the_junit_file_is_well_formed(document: Document) -> None:
    root = ElementTree.fromstring(Junit().render(document))
    assert len(list(root.iter("testcase"))) == int(root.get("tests", "0")) > 0


@pytest.mark.parametrize("text", CORPUS[:-1])
def test_visible_text_keeps_every_letter(text: str) -> None:
    letters = re.sub(r"\W", "", text.replace("\ud800", ""))
    kept = re.sub(r"\W", "", re.sub("⟨[0-9A-F]+⟩", "", visible(text)))
    assert letters == kept

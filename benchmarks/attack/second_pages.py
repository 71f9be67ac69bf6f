"""The second round on pages and tables: foreign text in HTML, Markdown, CSV, JUnit, annotations."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.attack.attacks import attack, require
from benchmarks.attack.command import steelyard
from benchmarks.attack.ground import ended_well, harmless, in_one_line

LEAK, LIMIT = "leak", "error, limit, litter"

PAYLOADS: dict[str, str] = {
    "an element": "<x-owned>",
    "a broken attribute": "\"><x-owned a='",
    "an end of a script": "</script><x-owned>",
    "an end of a style": "</style><x-owned>",
    "an end of a title": "</title></textarea><x-owned>",
    "a comment of HTML": "--><x-owned><!--",
    "CDATA": "]]><x-owned><![CDATA[",
    "a double escape": "&lt;x-owned&gt;&#60;x-owned&#62;",
    "a script's comment": "<!--<script><x-owned>",
    "an event": "x' onmouseover='x-owned' y=\"",
    "a link": "javascript:x-owned//",
    "a data link": "data:text/html,<x-owned>",
    "a style": "red;background:url(https://x-owned.example)",
    "a template": "{{x-owned}}{%x%}${x}#{x}<%=x%>",
    "__proto__": "__proto__",
    "constructor": "constructor",
    "half a character": "\ud83d",
    "UTF-7": "+ADw-x-owned+AD4-",
    "a vertical tab before an element": "\x0b<x-owned>\x0c",
    "wide signs": "＜x-owned＞",
}


class Seen(HTMLParser):
    """What a page would build: elements, handlers of events, addresses."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what a foreign text may have put there."""
        if tag in ("x-owned", "iframe", "object", "embed", "base", "img"):
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            address = (value or "").strip().lower()
            if name.startswith("on") or "x-owned" in name:
                self.wrong.append(f"{tag} {name}={address[:40]}")
            if name in ("href", "src", "action") and re.match(
                r"(javascript|data|https?):", address
            ):
                own = address.startswith("data:image") or "x-owned" not in address
                self.wrong += [] if own else [f"{tag} {name}={address[:40]}"]
            if name == "style" and "x-owned" in address:
                self.wrong.append(f"{tag} style={address[:40]}")


def page_harmless(path: Path) -> None:
    """No element, handler or address of the page comes from a text."""
    seen = Seen()
    seen.feed(path.read_text(encoding="utf-8"))
    require(not seen.wrong, f"{path.name}: {seen.wrong[:2]}")


def table_harmless(path: Path) -> None:
    """No cell begins as a formula does."""
    for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8"))):
        for cell in row:
            formula = cell.lstrip(" \t\u00a0\u3000\ufeff\u200b")[:1] in tuple("=+-@＝＋－＠\t\r")
            number = re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?%?", cell.strip(), re.IGNORECASE)
            require(not formula or number is not None, f"{path.name}: {cell[:40]!r}")


def _hostile_runs(place: Path, text: str) -> None:
    """Two runs whose task, ids, prompts, answers, slices and metric hold the text."""
    lines = []
    for number in range(6):
        row = {
            "id": f"{text}{number}",
            "task": text,
            "acc": number % 2,
            "prompt": text,
            "target": text,
            "response": text,
            "subject": text,
        }
        lines.append(json.dumps(row))
    (place / "old.jsonl").write_text("\n".join(lines) + "\n")
    (place / "new.jsonl").write_text("\n".join(lines).replace('"acc": 1', '"acc": 0', 1) + "\n")
    for name in ("old", "new"):
        ended_well(
            steelyard("import", "items", f"{name}.jsonl", "--slice", "subject", cwd=place), (0, 2)
        )


OUTLETS: tuple[tuple[str, ...], ...] = (
    (
        "report",
        "imported",
        "-b",
        "old",
        "-o",
        "page",
        "-f",
        "html",
        "-f",
        "markdown",
        "-f",
        "csv",
        "-f",
        "json",
        "-f",
        "junit",
    ),
    ("leaderboard", "-o", "site"),
    ("compare", "imported/old", "imported/new"),
    ("show", "imported/new"),
    ("export", "imported/new", "--to", "csv", "--to", "model-card", "-o", "exported"),
)


def shown_everywhere(place: Path, text: str) -> None:
    """Every page and table that shows the runs does nothing with the text."""
    _hostile_runs(place, text)
    if not list(place.glob(".steelyard/runs/*")):
        return  # refused where it came in
    for verb in OUTLETS:
        ended = steelyard(*verb, cwd=place)
        require(ended.code in (0, 1, 2, 3), f"{verb[0]}: {ended.brief()}")
        harmless(ended.printed)
        if ended.code == 2:
            in_one_line(ended)
    for path in [*place.glob("page/**/*"), *place.glob("site/**/*"), *place.glob("exported/**/*")]:
        if path.suffix == ".html":
            page_harmless(path)
        elif path.suffix == ".csv":
            table_harmless(path)
        elif path.suffix == ".xml":
            ElementTree.parse(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".md":
            markdown_harmless(path)


def markdown_harmless(path: Path) -> None:
    """No element and no link of the rendered text comes from a foreign one."""
    text = path.read_text(encoding="utf-8")
    # Metadata in front of a card is YAML, which no renderer shows.
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    text = re.sub(r"(`+).*?\1", "", text, flags=re.DOTALL)
    require("<x-owned" not in text, f"{path.name} holds an element")
    link = re.search(r"(?<!\\)\]\((javascript|data):", text, re.IGNORECASE)
    require(link is None, f"{path.name} holds a link")


def _payload(name: str, text: str) -> None:
    short = name in ("an end of a script", "a broken attribute")

    @attack(f"page: {name}", LEAK, f"{name} in names, ids and answers does nothing", in_suite=short)
    def attempt(place: Path) -> None:
        shown_everywhere(place, text)


for _name, _text in PAYLOADS.items():
    _payload(_name, _text)

FORMULAS = (
    "=1+1",
    "＝1+1",
    "+cmd|'x'!A1",
    "-1+cmd",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\u00a0=1",
    "\u3000=1",
    "\ufeff=1",
    "\u200b=1",
    ";=1",
    '"=1',
    "|=1",
    "%=1",
    "\x00=1",
    "=\u202e1",
)


@attack("page: formulas", LEAK, f"{len(FORMULAS)} beginnings of a cell that a spreadsheet runs")
def formulas(place: Path) -> None:
    """As ids, which begin cells of every table."""
    for number, text in enumerate(FORMULAS):
        home = place / str(number)
        home.mkdir()
        shown_everywhere(home, text)


MARKDOWN = (
    "@org/team", "closes #1", "GH-1", "www.x-owned.example", "https://x-owned.example", "[^1]",
    "![x](https://x-owned.example/i.png)", "[x]: https://x-owned.example", "# xowned", "| xowned |",
    "$xowned$", ":skull:", "<details open>", "&#64;org/team", "~~~xowned", "* [ ] xowned",
    "xowned\n===", "> xowned", "<!-- xowned -->",
)  # fmt: skip


@attack("page: Markdown", LEAK, f"{len(MARKDOWN)} texts that Markdown or its host would act on")
def markdown(place: Path) -> None:
    """Mentions, references to issues, links, pictures and headings are written out."""
    for number, text in enumerate(MARKDOWN):
        home = place / str(number)
        home.mkdir()
        _hostile_runs(home, text)
        if not list(home.glob(".steelyard/runs/*")):
            continue
        ended_well(
            steelyard("report", "imported", "-b", "old", "-o", "page", "-f", "markdown", cwd=home)
        )
        page = next(home.glob("page/**/*.md")).read_text()
        plain = re.sub(r"(`+).*?\1", "", page, flags=re.DOTALL)
        plain = plain.replace("\\# ", "")  # a heading is none behind a backslash
        require(text not in plain, f"{text!r} stands there as it is")


@attack("page: annotations", LEAK, "foreign text gives no command to the runner of a workflow")
def annotations(place: Path) -> None:
    """``::set-output`` and its kind are commands where a line begins with them."""
    texts = (
        "::set-output name=x::owned",
        "\n::error::owned",
        "%0A::warning::owned",
        "##[command]owned",
        "::add-mask::x",
        "\r::stop-commands::x",
    )
    for number, text in enumerate(texts):
        home = place / str(number)
        home.mkdir()
        _hostile_runs(home, text)
        if not list(home.glob(".steelyard/runs/*")):
            continue
        (home / "policy.yaml").write_text(
            "baseline: imported/old\nrules: " + json.dumps([{"task": text, "margin": 0.01}]) + "\n"
        )
        outputs = {
            name: str(home / name)
            for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV")
        }
        for path in outputs.values():
            Path(path).write_text("")
        ended = steelyard(
            "gate",
            "imported/new",
            "-p",
            "policy.yaml",
            "--github",
            cwd=home,
            environment={**outputs, "GITHUB_ACTIONS": "true"},
        )
        require(ended.code in (0, 1, 2, 3, 4), ended.brief())
        commands = [
            line for line in re.split(r"[\r\n]", ended.printed) if line.startswith(("::", "##["))
        ]
        known = (
            "::error ",
            "::warning ",
            "::notice ",
            "::group::",
            "::endgroup::",
            "::stop-commands::",
            "::",
        )
        foreign = [
            c for c in commands if not c.startswith(known) or c.startswith(("::set-", "::add-mask"))
        ]
        owned = [c for c in commands if re.match(r"::(error|warning)::owned", c)]
        require(not foreign and not owned, f"a command: {(foreign + owned)[:1]}")
        require("owned" not in Path(outputs["GITHUB_ENV"]).read_text(), "a variable was set")


FILES = (
    "index",
    "index.html",
    "CON",
    "aux.html",
    "a/b",
    "a\\b",
    "A",
    "a",
    "a ",
    "a.",
    "é",
    "e\u0301",
    "..",
    "site.css",
    "data",
    "leaderboard.json",
    "%41",
    "#a",
    "?a",
    "a" * 300,
)


@attack("page: file names", LIMIT, f"{len(FILES)} tasks whose pages might take one another's place")
def file_names(place: Path) -> None:
    """Each task has a page of its own, and the site's own files stay the site's."""
    rows = ["id,task,acc", *(f'q{i},"{name}",{i % 2}' for name in FILES for i in range(4))]
    (place / "x.csv").write_text("\n".join(rows) + "\n")
    ended = steelyard("import", "items", "x.csv", cwd=place)
    if ended.code == 2:
        return in_one_line(ended)
    ended_well(steelyard("leaderboard", "-o", "site", cwd=place))
    pages = list((place / "site").rglob("*.html"))
    for path in pages:
        page_harmless(path)
    folded = [str(path.relative_to(place)).casefold() for path in pages]
    require(len(set(folded)) == len(folded), "two pages differ by case alone")
    tasks = {name.strip() for name in FILES}
    require(len(pages) > len(tasks) - 3, f"{len(pages)} pages of {len(tasks)} tasks")
    require("site.css" not in [p.name for p in pages], "a page took a file's place")
    return None


@attack("page: long texts", LIMIT, "answers of a million characters do not fill a page")
def long_texts(place: Path) -> None:
    """What is cut is said."""
    rows = [
        json.dumps(
            {
                "id": str(i),
                "acc": i % 2,
                "prompt": "x" * 10**6,
                "response": "y" * 10**6,
                "target": "z",
            }
        )
        for i in range(6)
    ]
    (place / "old.jsonl").write_text("\n".join(rows) + "\n")
    (place / "new.jsonl").write_text("\n".join(rows).replace('"acc": 1', '"acc": 0', 1) + "\n")
    for name in ("old", "new"):
        ended_well(steelyard("import", "items", f"{name}.jsonl", cwd=place))
    ended_well(steelyard("report", "imported", "-b", "old", "-o", "page", "-f", "html", cwd=place))
    size = next(place.glob("page/**/*.html")).stat().st_size
    require(size < 8_000_000, f"a page of {size} bytes")

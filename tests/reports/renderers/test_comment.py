"""A comment on a pull request: one, found again by its marker, small, and harmless."""

from __future__ import annotations

import re

import pytest

from steelyard.reports.document import (
    Column,
    Document,
    Flips,
    Row,
    Rule,
    Rules,
    Section,
    Table,
    Text,
)
from steelyard.reports.renderers.fitting import fit, size
from steelyard.reports.renderers.markdown import Markdown, escape
from tests.reports.fake_runs import fake_document
from tests.reports.hostile import CORPUS
from tests.reports.hostile_experiment import hostile_document

#: GitHub: "body is too long (maximum is 65536 characters)".
GITHUB_LIMIT = 65_536


def rule(i: int, outcome: str = "passed") -> Rule:
    return Rule(
        candidate="lora", baseline="base", rule=f"rule {i}", tier="block", outcome=outcome,
        word="pass", sense="good", why=f"because {i} " * 10, claim="population",
    )  # fmt: skip


def table(rows: int, text: str = "word") -> Table:
    cells = [(Text(text=f"{text} {i}"), Text(text=text)) for i in range(rows)]
    columns = (Column(title="a"), Column(title="b"))
    return Table(
        id="t", caption="caption", columns=columns, rows=tuple(Row(cells=c) for c in cells)
    )


def report(*blocks, marker: str = "steelyard gate policy.yaml") -> Document:
    section = Section(id="verdicts", title="Verdicts", short="Verdicts", blocks=blocks)
    return Document(
        kind="report", title="gate policy.yaml", subtitle="s", headline="h", sections=(section,),
        marker=marker,
    )  # fmt: skip


def comment(document: Document) -> str:
    return Markdown(comment=True).render(document)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (100_000, "word"),
        *((n, t) for n in (1, 10, 1000) for t in ("word", CORPUS[0], "模" * 400, "&" * 600)),
    ],
)
def test_a_comment_fits_whatever_the_size_of_the_report(count: int, text: str) -> None:
    rules = Rules(id="gate", caption="c", items=tuple(rule(i) for i in range(min(count, 10_000))))
    text = comment(report(table(count, text), rules, table(count, text)))
    assert size(text) < GITHUB_LIMIT
    assert text.startswith("<!-- steelyard gate policy.yaml -->\n")
    assert "rule 0" in text


def test_what_is_cut_from_the_rules_is_counted_by_outcome_and_the_worst_stays() -> None:
    items = [rule(i, "failed") for i in range(3)] + [rule(i) for i in range(3, 2000)]
    text = comment(report(Rules(id="gate", caption="c", items=tuple(items))))
    said = r"\*([\d,]+) of ([\d,]+) rows shown; ([\d,]+) left out for space: ([\d,]+) passed"
    found = re.search(said, text)
    shown, total, cut, passed = (int(n.replace(",", "")) for n in found.groups())
    assert total == 2000 and shown + cut == 2000 and cut == passed
    assert len(re.findall(r"^\| lora \|", text, flags=re.MULTILINE)) == shown > 100
    assert all(f"| rule {i} |" in text for i in range(3))


def test_rules_leave_room_for_the_table_of_candidates() -> None:
    rules = Rules(id="gate", caption="c", items=tuple(rule(i) for i in range(5000)))
    text = comment(report(table(3, "candidate"), rules))
    assert text.index("rule 0") < text.index("candidate 2")


def test_a_block_that_finds_no_room_is_counted_and_named() -> None:
    wide = tuple(Column(title="y" * 499) for _ in range(200))
    row = Row(cells=tuple(Text(text="x") for _ in wide))
    huge = table(0).model_copy(update={"columns": wide, "rows": (row,)})
    text = comment(report(huge, table(2, "kept")))
    assert "kept 1" in text
    assert "Left out for space: 1 tables, charts or texts (1 of “Verdicts”)" in text


def test_flips_say_how_many_of_all_are_shown() -> None:
    flips = next(b for _, b in fake_document().blocks() if isinstance(b, Flips))

    def draw(block):
        return f"{len(block.items)} of {block.total}" + "." * 100 * len(block.items)

    (text,), left = fit([flips], draw, 1050)
    assert left == 0
    assert text == f"10 of {flips.total}" + "." * 1000


def test_the_same_document_gives_the_same_bytes() -> None:
    assert comment(fake_document()) == comment(fake_document())


def test_the_marker_is_one_a_policy_and_two_foreign_ones_stay_apart() -> None:
    def first(marker: str) -> str:
        return comment(report(marker=marker)).splitlines()[0]

    assert first("steelyard gate ci/policy.yaml") == "<!-- steelyard gate ci/policy.yaml -->"
    markers = {
        first(f"steelyard gate {name}") for name in ("модель", "данные", "a--b", "a-b", "-->x")
    }
    assert len(markers) == 5
    for marker in markers:
        assert marker.count("--") == 2 and marker.count(">") == 1


def test_a_foreign_word_links_no_issue_and_calls_nobody() -> None:
    # GitHub links in the rendered text: a backslash before # is gone by then.
    rendered = escape("closes #12, GH-3, owner/repo#4, @someone, www.example.com").replace("\\", "")
    assert not re.search(r"#\d|GH-\d|@\w|www\.\w", rendered)


def test_a_hostile_report_draws_nothing_of_its_own_in_a_comment() -> None:
    text = comment(hostile_document())
    outside = re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$", "", text)
    outside = re.sub(r"(`+) .*? \1", "", outside)
    assert set(re.findall(r"<(/?\w+|!)", outside)) <= {
        "!", "br", "sub", "/sub", "details", "/details", "summary", "/summary",
    }  # fmt: skip
    # The marker of the bot's one comment, and the one that it had under the old name.
    assert outside.count("<!") == 2
    assert [line[:4] + line[-3:] for line in outside.splitlines()[:2]] == ["<!---->"] * 2
    assert not re.search(r"(?<!\\)\]\(|(?<!\\)!\[|@\w|://\w|www\.\w|#\d", outside)
    assert text.count("<details>") == text.count("</details>")
    assert size(text) < GITHUB_LIMIT


@pytest.mark.parametrize("as_comment", [True, False])
def test_a_report_of_the_demo_s_size_is_shown_whole_or_says_what_is_not(as_comment: bool) -> None:
    text = Markdown(comment=as_comment).render(fake_document())
    whole = all(section.title.split()[0] in text for section in fake_document().sections[1:])
    assert whole or "Left out for space" in text
    assert text.count("<details>") == text.count("</details>")

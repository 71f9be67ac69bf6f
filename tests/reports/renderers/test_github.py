"""Annotations of GitHub: escaped as its documentation and its runner have it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.reports.document import Document, Rule, Rules, Section
from steelyard.reports.renderers.github import (
    Github,
    annotation,
    data_escaped,
    property_escaped,
    shielded,
    shielded_json,
)
from steelyard.reports.renderers.json_document import Json
from steelyard.reports.renderers.terminal import Terminal
from tests.reports.hostile import CORPUS
from tests.reports.hostile_experiment import hostile_document

COMMANDS = {"error", "warning", "notice", "add-mask", "group", "debug", "stop-commands"}


def obeyed(text: str, commands: frozenset[str] = frozenset(COMMANDS)) -> list[tuple[str, str, str]]:
    """(command, title, data) of each line, as the runner's ActionCommand.cs reads them."""
    found, stop = [], None
    for line in re.split(r"\r\n|\r|\n", text):
        version_2 = re.match(r"::(.*?)::(.*)$", line.lstrip())
        version_1 = re.search(r"##\[([^ \]]*)([^\]]*)\](.*)$", line)
        match = version_2 or version_1
        if not match:
            continue
        name, _, rest = match[1].partition(" ")
        if stop is not None:
            stop = None if name == stop else stop
        elif name == "stop-commands":
            stop = match[2]
        elif name in commands:
            title = dict(p.split("=", 1) for p in rest.split(",") if "=" in p).get("title", "")
            found.append((name, unescaped(title), unescaped(match[match.lastindex])))
    assert stop is None
    return found


def unescaped(text: str) -> str:
    for token, sign in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(token, sign)
    return text


def document(*rules: Rule) -> Document:
    block = Rules(id="gate", caption="c", items=rules)
    section = Section(id="v", title="t", short="s", blocks=(block,))
    return Document(kind="report", title="t", subtitle="s", headline="h", sections=(section,))


def rule(outcome: str, tier: str = "block", **fields: str) -> Rule:
    given = {
        "candidate": "lora", "baseline": "base", "rule": f"{outcome} {tier}", "tier": tier,
        "outcome": outcome, "word": outcome, "sense": "bad", "why": "why", "claim": "population",
    }  # fmt: skip
    return Rule.model_validate({**given, **fields})


def test_escaping_is_github_s() -> None:
    assert data_escaped("50%\r\n: ,") == "50%25%0D%0A: ,"
    assert property_escaped("50%\r\n: ,") == "50%25%0D%0A%3A %2C"


@given(st.text(alphabet=st.sampled_from("a:%,\n\r 0ADC235=")))
def test_the_runner_reads_back_what_was_escaped(text: str) -> None:
    line = f"::error title={property_escaped(text)}::{data_escaped(text)}"
    ((name, title, data),) = obeyed(line)
    assert (name, data) == ("error", text)
    assert title == text.strip() or title.strip() == text.strip()


def test_a_rule_that_passes_is_silent_and_every_other_is_one_line_errors_first() -> None:
    text = Github().render(
        document(
            rule("undecided"),
            rule("warned", "report"),
            rule("warned", "warn"),
            rule("passed"),
            rule("error"),
            rule("failed"),
        )
    )
    assert [(level, title) for level, title, _ in obeyed(text)] == [
        ("error", "lora: error block"),
        ("error", "lora: failed block"),
        ("warning", "lora: warned warn"),
        ("notice", "lora: undecided block"),
        ("notice", "lora: warned report"),
    ]
    assert text.count("\n") == 5
    assert Github().render(document(rule("passed"))) == ""


@pytest.mark.parametrize("text", CORPUS)
def test_a_hostile_rule_is_still_one_harmless_line(text: str) -> None:
    bad = f"{text}\n::error::forged\r::add-mask::a"
    said = Github().render(document(rule("failed", rule=bad, why=bad, candidate=bad)))
    assert said.count("\n") == 1 and len(said) < 30_000
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said)
    assert [name for name, _, _ in obeyed(said)] == ["error"]


def test_a_hostile_report_is_annotated_line_by_line() -> None:
    said = Github().render(hostile_document())
    assert len(obeyed(said)) == said.count("\n") > 0


FORGED = "x\n::add-mask::a\n  ::error::forged\n##[error]forged\n::stop-commands::t\n"


def test_commands_in_a_printed_report_are_not_obeyed() -> None:
    assert obeyed(FORGED.replace("::stop-commands::t\n", ""))
    text = shielded(Terminal(full=True).render(hostile_document()) + FORGED)
    assert obeyed(text + "::notice title=t::after") == [("notice", "t", "after")]


def test_commands_in_a_printed_json_document_are_not_obeyed_and_it_stays_the_same() -> None:
    plain = Json().render(document(rule("failed", why=FORGED + "a ##[error]x ###[group]y")))
    assert obeyed(plain)
    safe = shielded_json(plain)
    assert obeyed(safe) == []
    assert json.loads(safe) == json.loads(plain)


def test_a_long_message_is_cut() -> None:
    assert len(annotation("error", "x" * 9999, "y" * 99_999)) < 5_000

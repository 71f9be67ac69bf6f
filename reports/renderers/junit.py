"""The gate as JUnit XML: one test case a rule, one suite a candidate."""

from __future__ import annotations

import re
from typing import ClassVar
from xml.etree import ElementTree as Xml

from steelyard.harness.plugins import Plugin
from steelyard.reports.document import Document, Rule, Rules
from steelyard.reports.renderers.visible import visible

#: XML 1.0 allows no other control characters, nor these two.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class Junit(Plugin):
    """What CI systems read: a failed rule that blocks is a failure, a void comparison an error."""

    suffix: ClassVar[str] = ".xml"

    def render(self, document: Document) -> str:
        """The rules as test cases; no rules is one skipped case, never an empty success."""
        rules = [
            r for _, block in document.blocks() if isinstance(block, Rules) for r in block.items
        ]
        root = Xml.Element("testsuites", name=_xml_text(document.title))
        by_candidate: dict[str, list[Rule]] = {}
        for rule in rules:
            by_candidate.setdefault(rule.candidate, []).append(rule)
        for candidate, items in by_candidate.items():
            _suite(root, candidate, items)
        if not rules:
            suite = Xml.SubElement(root, "testsuite", name="gate", tests="1", skipped="1")
            case = Xml.SubElement(suite, "testcase", name="no rules", classname="gate")
            Xml.SubElement(case, "skipped", message="the experiment has no gate rules")
        _totals(root)
        Xml.indent(root)
        return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: Xml.Element, candidate: str, rules: list[Rule]) -> None:
    suite = Xml.SubElement(root, "testsuite", name=_xml_text(candidate), tests=str(len(rules)))
    for kind, outcome in (("failures", "failed"), ("errors", "error"), ("skipped", "undecided")):
        suite.set(kind, str(sum(rule.outcome == outcome for rule in rules)))
    for rule in rules:
        name = f"{rule.rule} [{rule.tier}]"
        case = Xml.SubElement(
            suite, "testcase", name=_xml_text(name), classname=_xml_text(candidate)
        )
        tag = {"failed": "failure", "error": "error", "undecided": "skipped"}.get(rule.outcome)
        if tag is not None:
            element = Xml.SubElement(case, tag, message=_xml_text(f"{rule.word}: {rule.why}"))
            if tag != "skipped":
                element.set("type", _xml_text(rule.word))
        else:
            prefix = "warning: " if rule.outcome == "warned" else ""
            Xml.SubElement(case, "system-out").text = _xml_text(f"{prefix}{rule.word}: {rule.why}")


def _totals(root: Xml.Element) -> None:
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))


def _xml_text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", visible(text))

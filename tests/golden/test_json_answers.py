"""What the verbs print for programs: it holds to the schema that is shipped, whatever they say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from steelyard.harness.cli.main import main
from tests.golden.golden_runs import write_workspace

Called = Callable[[str], tuple[dict[str, Any], int]]
POLICIES = {
    "close.yaml": "baseline: golden/base\nrules: [{task: known, margin: 0.02}]\n",
    "elsewhere.yaml": "baseline: golden/base\nrules: [{task: elsewhere, margin: 0.02}]\n",
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("json")
    write_workspace(folder)
    for name, text in POLICIES.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def called(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Called:
    monkeypatch.chdir(workspace)
    asset = resources.files("steelyard.reports").joinpath("renderers/assets/document.schema.json")
    schema = json.loads(asset.read_text(encoding="utf-8"))

    def call(line: str) -> tuple[dict[str, Any], int]:
        monkeypatch.setattr(sys, "argv", ["steelyard", *line.split(), "--format", "json"])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        document = json.loads(capsys.readouterr().out)
        jsonschema.validate(document, schema)
        return document, code

    return call


@pytest.mark.parametrize(
    ("candidates", "policy", "verdict", "code"),
    [
        ("golden/lora", "policy.yaml", "pass", 0),
        ("golden/full", "policy.yaml", "fail", 1),
        ("golden/lora golden/full", "policy.yaml", "fail", 1),
        ("golden/lora", "close.yaml", "inconclusive", 4),
    ],
)
def test_a_gate_s_answer_is_the_exit_code_in_words(
    called: Called, candidates: str, policy: str, verdict: str, code: int
) -> None:
    document, exited = called(f"gate {candidates} --policy {policy}")
    assert (document["verdict"], document["exit_code"], exited) == (verdict, code, code)
    names = [name.removeprefix("golden/") for name in candidates.split()]
    assert [each["candidate"] for each in document["verdicts"]] == names
    assert {rule["candidate"] for rule in document["rules"]} == set(names)


def test_a_gate_that_could_not_be_held_is_an_error_and_one_document(called: Called) -> None:
    document, code = called("gate golden/lora --policy elsewhere.yaml")
    assert (document["verdict"], document["exit_code"], code) == ("error", 2, 2)
    assert "elsewhere" in document["headline"] and document["rules"] == []


def test_a_comparison_has_scores_and_no_verdict(called: Called) -> None:
    document, code = called("compare golden/base golden/lora")
    assert (document["verdict"], document["exit_code"], document["rules"]) == (None, code, [])
    assert {row["candidate"] for row in document["scores"]} == {"base", "lora"}

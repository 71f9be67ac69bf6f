"""A file with several mistakes is told whole: a line each on stderr, and one exit code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from steelyard.harness.cli.main import main

EXPERIMENT = """\
name: tiny
base: microworld
candidates:
  lora: {trainer: lora, data: facts, rnak: 4}
suite: [microworld_known]
limit: 0
gate:
  rules:
    - {task: microworld_known, margin: 0.02, teir: warn}
    - {task: microworld_new, margin: lots}
report: [html, pfd]
"""


def mistakes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["steelyard", *words])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    printed = capsys.readouterr()
    assert not printed.out
    return printed.err.splitlines()


def test_a_policy_and_an_experiment_are_told_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("e.yaml").write_text(EXPERIMENT)
    Path("b.steelyard.json.gz").touch()
    assert mistakes(capsys, monkeypatch, "gate", "c", "-p", "e.yaml", "-b", "b") == [
        "error: e.yaml:9: gate.rules.0.teir: unknown key; did you mean 'tier'?",
        "error: e.yaml:10: gate.rules.1.margin: expected a number, as in 0.02 (got 'lots')",
    ]
    told = mistakes(capsys, monkeypatch, "run", "e.yaml")
    assert [line.partition(": ")[2].partition(" ")[0] for line in told] == [
        "e.yaml:4:",
        "e.yaml:4:",
        "e.yaml:6:",
        "e.yaml:9:",
        "e.yaml:10:",
        "e.yaml:11:",
    ]
    assert told[0].endswith("candidates.lora.rnak: unknown key; did you mean 'rank'?")
    assert "report.1: no such format of a report (got 'pfd'); known: csv, " in told[-1]

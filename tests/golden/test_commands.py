"""What each verb prints, whole: standard output, standard error and the exit code at 80 columns."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from steelyard.harness.cli.main import main
from tests.golden.golden_runs import write_workspace
from tests.golden_text import Golden

#: Output file -> the command whose output it is.
COMMANDS = {
    "compare.txt": "compare golden/base golden/lora golden/full",
    "compare.md": "compare golden/base golden/lora --format markdown",
    "compare_not_comparable.txt": "compare golden/base nothing",
    "gate_pass.txt": "gate golden/lora --policy policy.yaml",
    "gate_fail.txt": "gate golden/full --policy policy.yaml",
    "gate_fail.md": "gate golden/full --policy policy.yaml --format markdown",
    "gate_github.txt": "gate golden/lora golden/full --policy policy.yaml --github",
    "watch.txt": "watch golden/lora --baseline golden/base",
    "watch_nothing.txt": "watch golden/loar",
    "list_runs.txt": "list runs",
    "list_suites.txt": "list suites",
    "list_trainers.txt": "list trainers",
    "list_metrics.txt": "list metrics",
    "list_renderers.txt": "list renderers",
    "list_executors.txt": "list executors",
    "show_run.txt": "show golden/lora",
    "show_trainer.txt": "show lora",
    "show_suite.txt": "show smoke",
    "show_nothing.txt": "show loar",
    "plan_rules.txt": "plan policy.yaml",
    "plan_like.txt": "plan policy.yaml --like golden/full",
    "report.txt": "report golden --format terminal --policy policy.yaml -o report",
    "report.md": "report golden --format markdown --policy policy.yaml -o report",
    "leaderboard.txt": "leaderboard -o site -w .steelyard",
    "export.txt": "export golden/lora --to csv --to model-card -o export",
    "baseline_save.txt": "baseline save golden/nothing -o base.steelyard.json.gz",
    "store_check.txt": "store check",
    "store_gc.txt": "store gc",
}
#: Files that a command writes, and that are its output.
WRITTEN = {"report.txt": "report/report.txt", "report.md": "report/report.md"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    write_workspace(folder)
    return folder


@pytest.fixture
def printed(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], str]:
    """The command as it is typed in the workspace, and all that it printed."""
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_ACTIONS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def call(line: str) -> str:
        monkeypatch.setattr(sys, "argv", ["steelyard", *line.split()])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        text = "\n".join([f"$ steelyard {line}", out, "--- stderr", err, f"--- exit {code}"])
        return text.replace(str(workspace), "WORKSPACE")

    return call


@pytest.mark.parametrize("file", COMMANDS)
def test_a_verb_prints_what_it_printed(
    file: str, printed: Callable[[str], str], workspace: Path, golden: Golden
) -> None:
    text = printed(COMMANDS[file])
    if file in WRITTEN:
        text += "\n" + (workspace / WRITTEN[file]).read_text(encoding="utf-8")
    golden(file, text)

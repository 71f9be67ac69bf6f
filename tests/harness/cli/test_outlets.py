"""What a CI job sees of `steelyard gate`: streams, files, the step's summary and its outputs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from steelyard.harness.cli.main import main
from steelyard.harness.cli.outlets import SUMMARY_BYTES
from tests.harness.gate.toy_gate import write_toy_gate
from tests.reports.renderers.test_github import obeyed

CODES = [("good", 0), ("bad", 1), ("nothing", 2), ("short", 3), ("unsure", 4), ("warned", 0)]
VERDICTS = {0: "pass", 1: "fail", 2: "error", 3: "not_comparable", 4: "inconclusive"}


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys")
    write_toy_gate(folder)
    return folder


@pytest.fixture
def job(toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """A step of a job: `steelyard gate` of one candidate; returns exit code, stdout and stderr."""
    monkeypatch.chdir(toys)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))

    def run(candidate: str, *arguments: object) -> tuple[int, str, str]:
        line = ["steelyard", "gate", f"{candidate}.steelyard.json.gz", "--policy", "policy.yaml"]
        line += ["--baseline", "base.steelyard.json.gz", "--workspace", tmp_path / "ws", *arguments]
        monkeypatch.setattr(sys, "argv", [str(word) for word in line])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


@pytest.mark.parametrize(("candidate", "code"), CODES)
def test_each_exit_code_has_its_outputs_and_its_annotation(job, tmp_path, candidate, code) -> None:
    comment = tmp_path / "a comment.md"
    left, out, err = job(candidate, "--github", "--comment", comment)
    assert left == code
    assert (tmp_path / "output").read_text().splitlines() == [
        f"verdict={VERDICTS[code]}",
        f"exit-code={code}",
        f"comment-file={comment}",
    ]
    levels = [level for level, _, _ in obeyed(out)]
    assert ("error" in levels) == (code != 0)
    assert ("warning" in levels) == (candidate in ("warned", "short"))
    assert "Traceback" not in err
    assert comment.read_text().startswith("<!-- steelyard gate policy.yaml -->\n")
    assert (tmp_path / "summary.md").read_text().startswith("# gate policy.yaml")


def test_without_github_s_variables_only_annotations_are_left(job, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    monkeypatch.delenv("GITHUB_OUTPUT")
    code, out, _ = job("bad", "--github")
    assert code == 1 and [level for level, _, _ in obeyed(out)] == ["error"]
    assert not (tmp_path / "output").exists()


def test_without_the_option_nothing_is_told_to_github(job, tmp_path) -> None:
    code, out, err = job("bad")
    assert code == 1 and "::" not in out + err
    assert not list(tmp_path.glob("*"))[1:]


def test_standard_output_stays_one_json_document(job) -> None:
    code, out, err = job("bad", "--github", "--format", "json")
    assert code == 1
    assert json.loads(out)["title"] == "gate policy.yaml"
    ((level, title, _),) = obeyed(err)
    assert (level, title) == ("error", "bad: keeps what it knew (known: acc)")


def test_a_gate_that_cannot_be_held_replaces_the_green_comment(job, tmp_path) -> None:
    comment = tmp_path / "c.md"
    job("good", "--comment", comment)
    green = comment.read_text()
    code, _, err = job("nothing", "--comment", comment)
    assert code == 2
    assert comment.read_text().splitlines()[0] == green.splitlines()[0]
    assert (
        "No verdict" in comment.read_text() and "nothing.steelyard.json.gz" in comment.read_text()
    )
    assert err.count("error:") == 1


def test_the_summary_is_appended_and_never_outgrows_what_github_takes(job, tmp_path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("an earlier step\n")
    job("good", "--github")
    job("bad", "--github")
    text = summary.read_text()
    assert text.startswith("an earlier step\n") and text.count("# gate policy.yaml\n") == 2
    summary.write_text("x" * (SUMMARY_BYTES - 100))
    job("bad", "--github")
    assert summary.stat().st_size <= SUMMARY_BYTES


def test_a_summary_that_cannot_be_written_does_not_change_the_verdict(
    job, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no" / "such" / "folder"))
    code, _, err = job("bad", "--github")
    assert code == 1 and "the exit code stands" in err
    assert "verdict=fail" in (tmp_path / "output").read_text()


def test_a_file_name_of_two_lines_sets_one_output(job, tmp_path) -> None:
    job("good", "--github", "--comment", tmp_path / "a\nverdict=forged")
    lines = (tmp_path / "output").read_text().splitlines()
    name, _, end = lines[2].partition("<<")
    assert name == "comment-file" and lines[-1] == end and len(lines) == 6


def test_the_same_gate_writes_the_same_comment(job, tmp_path) -> None:
    one, two = tmp_path / "1.md", tmp_path / "2.md"
    job("bad", "--comment", one)
    job("bad", "--comment", two)
    assert one.read_bytes() == two.read_bytes()


def test_a_policy_elsewhere_has_a_comment_of_its_own(job, toys, tmp_path) -> None:
    (toys / "ci").mkdir()
    (toys / "ci" / "policy.yaml").write_text((toys / "policy.yaml").read_text())
    job("good", "--comment", tmp_path / "c.md", "--policy", "./ci/policy.yaml")
    assert (tmp_path / "c.md").read_text().startswith("<!-- steelyard gate ci/policy.yaml -->\n")


def test_a_baseline_named_on_the_command_line_is_looked_for_here_first(job, toys) -> None:
    beside = toys / "beside"
    beside.mkdir()
    (beside / "policy.yaml").write_text((toys / "policy.yaml").read_text())
    (beside / "base.steelyard.json.gz").write_bytes((toys / "bad.steelyard.json.gz").read_bytes())
    assert job("bad", "--policy", "beside/policy.yaml")[0] == 1

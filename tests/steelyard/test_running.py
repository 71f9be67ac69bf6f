"""run, evaluate and open_model from a program: the microworld, in silence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import steelyard

EXPERIMENT: Mapping[str, object] = {
    "name": "small",
    "base": "microworld",
    "candidates": {"pruned": {"trainer": "prune", "amount": 0.9}},
    "suite": ["microworld_known"],
    "limit": 20,
    "gate": {"rules": [{"task": "microworld_known", "margin": 0.05}]},
    "report": ["html"],
}
#: As a program that installed Steelyard may be written: no `if __name__ == "__main__"`.
SCRIPT = """
import steelyard
result = steelyard.run({experiment}, executor="local", workers=2)
assert not result.failures, result.failures
print(sorted(result.candidates))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory of a program."""
    folder = tmp_path_factory.mktemp("program")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def events() -> list[steelyard.Event]:
    return []


@pytest.fixture(scope="module")
def result(folder: Path, events: list[steelyard.Event]) -> steelyard.Result:
    return steelyard.run(EXPERIMENT, progress=events.append)


def test_an_experiment_is_carried_through_to_its_verdict(
    result: steelyard.Result, folder: Path
) -> None:
    assert result.baseline.name == "small/base"
    assert set(result.candidates) == {"pruned"}
    assert result.comparisons["pruned"].comparable
    assert result.verdicts["pruned"].verdict == "fail"
    assert (result.exit_code, result.passed, result.failures) == (1, False, ())
    assert result.files["html"] == Path(".steelyard/reports/small/report.html")
    assert (folder / result.files["html"]).is_file()


def test_progress_is_told_to_a_function(
    result: steelyard.Result, events: list[steelyard.Event]
) -> None:
    ended = [(e.stage, e.candidate) for e in events if e.status == "done"]
    assert ("train", "pruned") in ended
    assert ("score", "pruned") in ended


def test_a_second_call_does_nothing_again_and_prints_nothing(
    result: steelyard.Result, capfd: pytest.CaptureFixture[str]
) -> None:
    again = steelyard.run(EXPERIMENT)
    assert again.comparisons == result.comparisons
    assert again.candidates["pruned"].record == result.candidates["pruned"].record
    assert capfd.readouterr() == ("", "")


def test_without_the_gate_nothing_is_decided(result: steelyard.Result) -> None:
    assert steelyard.run(EXPERIMENT, gate=False).passed


def test_what_was_asked_and_answered_is_a_table(result: steelyard.Result) -> None:
    samples = result.candidates["pruned"].samples
    assert len(samples) == 20
    assert samples["prompt"].str.contains("Question").all()
    assert samples["responses"].map(len).eq(1).all()
    assert set(samples["sample_id"]) == set(result.baseline.samples["sample_id"])


def test_one_checkpoint_is_scored_in_silence(
    result: steelyard.Result, capfd: pytest.CaptureFixture[str]
) -> None:
    run = steelyard.evaluate("microworld", ["microworld_known"], limit=20, name="alone")
    assert run.record.complete
    assert list(run.scores["value"]) == list(result.baseline.scores["value"])
    assert steelyard.load("alone/base").record == run.record
    assert capfd.readouterr() == ("", "")


def test_a_run_s_checkpoint_can_be_asked_like_the_embedded_model(
    result: steelyard.Result,
) -> None:
    from lm_eval.api.instance import Instance

    question = Instance("loglikelihood", {}, ("Question : in which town", " is"), 0)
    base, pruned = (steelyard.open_model(name) for name in ("microworld", "small/pruned"))
    ((likely, _),), ((unlikely, _),) = (m.loglikelihood([question]) for m in (base, pruned))
    assert unlikely < likely < 0


def test_a_wrong_experiment_is_one_line_with_its_key(folder: Path) -> None:
    with pytest.raises(steelyard.SteelyardError, match=r"^experiment: candidates\.pruned"):
        steelyard.run({**EXPERIMENT, "candidates": {"pruned": {"trainer": "prun"}}})


def test_a_file_that_is_not_there_is_a_steelyard_error(folder: Path) -> None:
    with pytest.raises(steelyard.SteelyardError, match="no such file"):
        steelyard.run("nothing.yaml")


def test_an_unknown_suite_is_a_steelyard_error(folder: Path) -> None:
    with pytest.raises(steelyard.SteelyardError, match="microwrld"):
        steelyard.evaluate("microworld", "microwrld")


def test_an_unknown_executor_is_a_steelyard_error(folder: Path) -> None:
    with pytest.raises(steelyard.UnknownNameError, match="inlin"):
        steelyard.run(EXPERIMENT, executor="inlin")


@pytest.mark.slow
def test_worker_processes_do_not_run_the_program_again(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(SCRIPT.format(experiment=repr(dict(EXPERIMENT))))
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "['pruned']\n"), done.stderr

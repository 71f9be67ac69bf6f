"""Worker processes that fail, die and hang, and what becomes of their stages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from steelyard.harness.pipeline.executors.inline import Inline
from steelyard.harness.pipeline.executors.local import Local
from steelyard.harness.pipeline.executors.machine import Machine
from steelyard.harness.pipeline.executors.starting import context_for
from steelyard.harness.pipeline.stage import Stage, StageOutcome
from tests.harness.pipeline.executors.toy import ToyWorker, assert_contained, faults, stage
from tests.harness.planted import plant, ran


def carried_out(folder: Path, stages: list[Stage], workers: int = 2) -> dict[str, StageOutcome]:
    outcomes = Local(workers=workers).run(stages, ToyWorker(folder))  # type: ignore[arg-type]
    return {one.stage.partition(" ")[2]: one for one in outcomes}


def attempts(folder: Path, name: str) -> int:
    return len((folder / name).read_text().splitlines())


def test_failing_dying_and_hanging_stages_leave_the_rest_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A user's shell sets none, and what lies in the working folder is no part of Steelyard.
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    planted = plant(tmp_path)
    monkeypatch.chdir(planted)
    outcomes = Local(workers=2).run(faults(), ToyWorker(tmp_path))  # type: ignore[arg-type]
    ended = assert_contained(tmp_path, outcomes)
    assert "SIGKILL" in ended["always-die"].message
    told = (tmp_path / "events").read_text()
    assert "train die: again its worker died of SIGKILL" in told
    assert "train hang: again it took longer than 0.05 minutes; attempt 2 of 3" in told
    assert not ran(planted)


def test_what_a_stage_prints_goes_to_its_log(tmp_path: Path) -> None:
    assert carried_out(tmp_path, [stage("say")])["say"].status == "done"
    assert (tmp_path / "logs" / "train-say.log").read_text() == "from C\n"


def test_a_worker_has_the_imports_of_the_fork_server_and_the_environment_of_its_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "steelyard.harness.pipeline.executors.local.this_machine", lambda: Machine(2, 8.0)
    )
    for value in ("first", "second"):
        monkeypatch.setenv("TOLD_TO_WORKERS", value)
        carried_out(tmp_path, [stage("surroundings")])
    log = (tmp_path / "logs" / "train-surroundings.log").read_text()
    assert log == "True first\nTrue second\n"


def test_a_stage_may_have_processes_of_its_own(tmp_path: Path) -> None:
    (outcome,) = Local(workers=1).run([stage("own-process")], ToyWorker(tmp_path))  # type: ignore[arg-type]
    assert outcome.reference == "7"


def test_a_worker_that_cannot_be_opened_fails_its_stages_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "closed").touch()
    (outcome,) = Local(workers=1).run([stage("good")], ToyWorker(tmp_path))  # type: ignore[arg-type]
    assert (outcome.status, outcome.message) == ("failed", "RuntimeError: there is no suite")
    assert "train good: failed RuntimeError: there is no suite" in (tmp_path / "events").read_text()


def test_with_a_gpu_workers_are_new_interpreters() -> None:
    with_gpu = Machine(2, 8.0, (("0", "NVIDIA H100"),))
    assert context_for(with_gpu, 1).get_start_method() == "spawn"


ELSEWHERE = """
import os, sys
os.environ["TMPDIR"] = sys.argv[1]
from steelyard.harness.pipeline.executors.machine import Machine
from steelyard.harness.pipeline.executors.starting import context_for
print(context_for(Machine(2, 8.0), 1).get_start_method())
"""


def test_where_the_fork_server_has_no_place_for_its_socket_workers_are_spawned(
    tmp_path: Path,
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    command = [sys.executable, "-c", ELSEWHERE, str(long)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "spawn\n"


def test_two_workers_run_at_a_time_with_their_share_of_the_cores(tmp_path: Path) -> None:
    stages = [stage(f"sleep.{number}") for number in range(4)]
    assert {one.status for one in carried_out(tmp_path, stages).values()} == {"done"}
    lines = [(tmp_path / f"sleep.{number}").read_text().split() for number in range(4)]
    assert len({line[0] for line in lines}) == 2
    assert len({line[1] for line in lines}) == 1


def test_a_stage_that_no_machine_like_this_can_carry_out_fails_at_once(tmp_path: Path) -> None:
    ended = carried_out(tmp_path, [stage("big", memory_gb=1e6), stage("small")])
    assert "needs 1e+06 GB of memory" in ended["big"].message
    assert ended["small"].status == "done"


def test_a_worker_that_dies_while_it_has_nothing_to_do_costs_nothing(tmp_path: Path) -> None:
    stages = [stage("say"), stage("sleep", "say"), stage("say.again", "sleep")]
    running = Local(workers=2).run(stages, ToyWorker(tmp_path))  # type: ignore[arg-type]
    ended = [next(running)]
    for pid in {int(line.split()[0]) for line in (tmp_path / "say").read_text().splitlines()}:
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
    ended += list(running)
    assert [one.status for one in ended] == ["done"] * 3
    assert attempts(tmp_path, "sleep") == 1


def test_a_graph_that_cannot_be_begun_ends(tmp_path: Path) -> None:
    ended = carried_out(tmp_path, [stage("big", memory_gb=1e6), stage("child", "big")])
    assert {name: one.status for name, one in ended.items()} == {
        "big": "failed",
        "child": "skipped",
    }


def test_inline_gives_the_same_outcomes(tmp_path: Path) -> None:
    stages = [stage("fail"), stage("child", "fail"), stage("good")]
    inline = list(Inline().run(stages, ToyWorker(tmp_path)))  # type: ignore[arg-type]
    assert {one.stage.partition(" ")[2]: one for one in inline} == carried_out(tmp_path, stages)


DRIVER = """
import sys
from pathlib import Path
from steelyard.harness.pipeline.executors.local import Local
from tests.harness.pipeline.executors.toy import ToyWorker, assert_contained, faults, stage

if __name__ == "__main__":
    list(Local(workers=2).run([stage("hang"), stage("hang.too")], ToyWorker(Path(sys.argv[1]))))
"""


def test_workers_end_with_a_killed_driver(tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    driver = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    started = (tmp_path / "hang", tmp_path / "hang.too")
    # Two workers import the libraries: on a machine that has much else to do, a minute and more.
    # Of a file that is there nothing may have been written yet.
    assert _in_time(
        300, lambda: all(file.exists() and file.read_text().split() for file in started)
    ), "the workers did not start"
    pids = [int(file.read_text().split()[0]) for file in started]
    driver.kill()
    driver.wait()
    assert _in_time(60, lambda: not any(map(_runs, pids))), "a worker outlives its driver"


def _in_time(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _runs(pid: int) -> bool:
    """Whether a process still does: an ended one stays listed until its new parent looks."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")

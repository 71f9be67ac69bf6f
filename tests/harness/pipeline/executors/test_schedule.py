"""Which stage may start, held against what the graph says."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from steelyard.harness.experiment.resources import Resources
from steelyard.harness.pipeline.executors.machine import Machine, Shares
from steelyard.harness.pipeline.executors.schedule import Schedule
from steelyard.harness.pipeline.stage import Stage, StageOutcome
from tests.harness.pipeline.executors.toy import stage


@st.composite
def graphs(draw: st.DrawFn) -> list[Stage]:
    count = draw(st.integers(1, 12))
    made = []
    for number in range(count):
        after = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        made.append(stage(str(number), *map(str, sorted(after))))
    return made


@given(graphs(), st.sets(st.integers(0, 11)), st.integers(0, 2**16), st.integers(1, 4))
def test_every_stage_ends_once_after_what_it_needs(
    stages: list[Stage], failing: set[int], seed: int, workers: int
) -> None:
    schedule, draw = Schedule(stages), random.Random(seed)
    running: list[Stage] = []
    ended: dict[str, str] = {}
    while schedule.left:
        while len(running) < workers and (one := schedule.take()):
            assert all(ended.get(name) == "done" for name in one.after)
            running.append(one)
        one = running.pop(draw.randrange(len(running)))
        status = "failed" if int(one.candidate) in failing else "done"
        for outcome in schedule.ended(StageOutcome(one.name, status)):
            assert outcome.stage not in ended
            ended[outcome.stage] = outcome.status
    expected: dict[str, str] = {}
    for one in stages:
        lacking = [name for name in one.after if expected[name] != "done"]
        failed = int(one.candidate) in failing
        expected[one.name] = "skipped" if lacking else "failed" if failed else "done"
    assert ended == expected


def test_a_skipped_stage_names_every_stage_that_it_lacks() -> None:
    schedule = Schedule([stage("a"), stage("b"), stage("c", "a", "b")])
    assert schedule.take() and schedule.take() and not schedule.take()
    assert len(schedule.ended(StageOutcome("train b", "failed"))) == 1
    *_, last = schedule.ended(StageOutcome("train a", "failed"))
    assert last == StageOutcome("train c", "skipped", failed=("train a", "train b"))


def test_a_busy_stage_rests_and_others_go_first() -> None:
    now = [0.0]
    schedule = Schedule([stage("a"), stage("b")], clock=lambda: now[0])
    assert schedule.take() == stage("a")
    assert schedule.ended(StageOutcome("train a", "busy")) == []
    assert schedule.take() == stage("b")
    assert schedule.take() is None
    now[0] += schedule.rest_seconds() or 0.0
    assert schedule.take() == stage("a")
    assert schedule.attempt("train a") == 1


def test_a_stage_that_loses_every_worker_fails_in_the_end() -> None:
    schedule = Schedule([stage("a"), stage("b", "a")], attempts=2)
    assert schedule.take()
    assert schedule.lost("train a", "killed") == []
    assert schedule.take()
    failed, skipped = schedule.lost("train a", "killed")
    assert (failed.status, failed.message) == ("failed", "killed, 2 times")
    assert skipped.status == "skipped"


def test_stages_share_cores_memory_and_gpus() -> None:
    machine = Machine(4, 16.0, (("0", "NVIDIA A100-SXM4"), ("1", "NVIDIA A100-SXM4")))
    shares = Shares(machine, workers=4)
    assert shares.threads == 1
    half = Resources(gpus=0.5)
    assert [shares.hold(name, half) for name in "ab"] == [("0",), ("0",)]
    assert shares.hold("c", Resources(gpus=1)) == ("1",)
    assert not shares.full
    assert not shares.fits(half)
    shares.free("a")
    assert shares.fits(half)
    assert not shares.fits(Resources(gpus=2))
    shares.free("b")
    shares.free("c")
    assert shares.fits(Resources())
    assert shares.hold("d", Resources(gpus=2, memory_gb=10)) == ("0", "1")
    assert not shares.fits(Resources(memory_gb=7, gpus=0))
    assert not shares.fits(Resources(memory_gb=6))
    assert shares.fits(Resources(memory_gb=6, cpus=3, gpus=0))
    assert not shares.fits(Resources(cpus=4, gpus=0))


def test_what_a_machine_can_never_give_is_told() -> None:
    machine = Machine(2, 8.0, (("0", "NVIDIA A100-SXM4"),))
    assert [machine.gpus_for(Resources()), Machine(2, 8.0).gpus_for(Resources())] == [1, 0]
    assert machine.lacks(Resources(gpus=2)) == "needs 2 GPUs, this machine has 1"
    assert machine.lacks(Resources(memory_gb=9)) == "needs 9 GB of memory, this machine has 8.0"
    assert "H100" in (machine.lacks(Resources(gpus=1, accelerator="H100")) or "")
    assert machine.lacks(Resources(gpus=1, accelerator="A100", cpus=64)) is None

"""Stages on a Ray started for the test: lost workers, hanging stages, and errors of their own."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from steelyard.harness.errors import SteelyardError
from tests.harness.pipeline.executors.toy import ToyWorker, assert_contained, faults, stage
from tests.harness.planted import plant, ran

pytestmark = pytest.mark.slow


def test_failing_dying_and_hanging_stages_leave_the_rest_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from steelyard.harness.pipeline.executors.ray import Ray

    root = Path(__file__).resolve().parents[4]
    monkeypatch.setenv("PYTHONPATH", str(root))
    # A user's shell sets none, and what lies in the working folder is no part of Steelyard.
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    planted = plant(tmp_path)
    monkeypatch.chdir(planted)
    outcomes = Ray(address="local", workers=2).run(faults(), ToyWorker(tmp_path))  # type: ignore[arg-type]
    assert_contained(tmp_path, outcomes)
    told = (tmp_path / "events").read_text()
    assert "train die: again its worker died of SIGKILL (killed, or out of memory)" in told
    assert "train hang: again it took longer than 0.05 minutes; attempt 2 of 3" in told
    assert not ran(planted)


def test_a_preempted_ray_worker_is_replaced_and_leaves_no_process_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from steelyard.harness.pipeline.executors.ray import Ray

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[4]))
    stages = [stage("preempted"), stage("good", "preempted")]
    outcomes = Ray(address="local", workers=1).run(stages, ToyWorker(tmp_path))  # type: ignore[arg-type]
    assert {one.stage: one.status for one in outcomes} == {
        "train preempted": "done",
        "train good": "done",
    }
    told = (tmp_path / "events").read_text()
    assert "train preempted: again its worker was lost (WorkerCrashedError" in told
    first, second = (tmp_path / "preempted").read_text().splitlines()
    assert first.split()[0] != second.split()[0]
    assert not Path("/proc", first.split()[0]).exists()


def test_each_stage_computes_with_its_own_threads_and_may_have_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from steelyard.harness.pipeline.executors.ray import Ray

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[4]))
    stages = [stage("two", cpus=2), stage("one", "two"), stage("own-process", "one")]
    outcomes = list(Ray(address="local", workers=2).run(stages, ToyWorker(tmp_path)))  # type: ignore[arg-type]
    assert [one.reference for one in outcomes] == ["two", "one", "7"]
    threads = [(tmp_path / name).read_text().split()[1] for name in ("two", "one")]
    assert threads == ["2", "1"]


def test_a_worker_that_cannot_be_opened_fails_its_stages_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from steelyard.harness.pipeline.executors.ray import Ray

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[4]))
    (tmp_path / "closed").touch()
    (outcome,) = Ray(address="local", workers=1).run([stage("good")], ToyWorker(tmp_path))  # type: ignore[arg-type]
    assert (outcome.status, outcome.message) == ("failed", "RuntimeError: there is no suite")
    assert "train good: failed RuntimeError: there is no suite" in (tmp_path / "events").read_text()


def test_no_cluster_is_one_line_that_names_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from steelyard.harness.pipeline.executors.ray import Ray

    def found_none(**options: object) -> None:
        """What Ray does on a machine without a cluster; a test beside this one may have one."""
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", found_none)
    with pytest.raises(SteelyardError, match="ray start --head"):
        list(Ray().run([stage("good")], ToyWorker(tmp_path)))  # type: ignore[arg-type]


@pytest.mark.parametrize("port", ["free", "no-port", "no-host", "70000"])
def test_an_address_where_nobody_listens_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from steelyard.harness.pipeline.executors.ray import Ray

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: whoever calls is refused
        address = f"127.0.0.1:{held.getsockname()[1] if port == 'free' else port}"
        address = "here" if port == "no-host" else address
        for named in (address, "auto"):
            with pytest.raises(SteelyardError, match=f"no Ray cluster at '{address}'"):
                list(Ray(address=named).run([stage("good")], ToyWorker(tmp_path)))  # type: ignore[arg-type]
            monkeypatch.setenv("RAY_ADDRESS", address)  # where "auto" looks first


def test_the_actor_that_carries_news_is_made_again_when_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from steelyard.harness.pipeline.executors import ray as executor

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[4]))
    bells = []
    new_bell = executor._Running._new_bell

    def noted(self: executor._Running) -> object:
        bells.append(new_bell(self))
        return bells[-1]

    monkeypatch.setattr(executor._Running, "_new_bell", noted)
    worker = ToyWorker(tmp_path)
    ends = {}
    stages = [stage("good"), stage("sleep", "good")]
    for end in executor.Ray(address="local", workers=1).run(stages, worker):  # type: ignore[arg-type]
        ends[end.stage] = end.status
        ray.kill(bells[-1])
    assert ends == {"train good": "done", "train sleep": "done"}
    assert len(bells) > 1


def test_a_cluster_of_one_machine_is_told_to_stay_on_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from steelyard.harness.pipeline.executors.ray import _alone

    variable = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    monkeypatch.delenv(variable, raising=False)
    with _alone():  # ray/_private/services.py, get_node_ip_address: no look at 8.8.8.8 then
        assert os.environ[variable] == "0"
    assert variable not in os.environ


def test_a_secret_in_the_runtime_environment_is_refused(tmp_path: Path) -> None:
    from steelyard.harness.pipeline.executors.ray import Ray

    for environment, key in (
        ({"env_vars": {"HF_TOKEN": "hf_abcdef"}}, "env_vars.HF_TOKEN"),
        ({"env_vars": {"STORE": "postgresql://ann:pw@db/x"}}, "env_vars.STORE"),
        ({"pip": ["numpy", "--index-url=https://ann:pw@index/x"]}, "pip.1"),
    ):
        with pytest.raises(SteelyardError, match="Ray would write into its logs") as caught:
            list(Ray(runtime_env=environment).run([], ToyWorker(tmp_path)))  # type: ignore[arg-type]
        assert str(caught.value).startswith(f"runtime_env.{key}: ")
        assert "pw" not in str(caught.value) and "abcdef" not in str(caught.value)

"""Stages as tasks of a Ray cluster, with what each needs of a machine.

Ray places tasks, starts and isolates workers, and forwards what they print; which stage may start
and how often it is tried is kept here, so that every attempt stands in the log of events.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from steelyard.harness.errors import ConfigError, MissingExtraError, SteelyardError
from steelyard.harness.files import first_secret, redacted
from steelyard.harness.interpreters import safe_environment
from steelyard.harness.pipeline.events import Event
from steelyard.harness.pipeline.executors.hosted import (
    WorkerLostError,
    WorkerNotOpenedError,
    hosted,
)
from steelyard.harness.pipeline.executors.schedule import Schedule, lost
from steelyard.harness.pipeline.stage import Stage, StageOutcome
from steelyard.harness.plugins import Plugin

if TYPE_CHECKING:
    from steelyard.harness.pipeline.worker import Worker, Workplace

POLL_SECONDS = 0.2
#: How long a cluster's address may take to answer.
KNOCK_SECONDS = 10.0
#: How much longer than its stage a worker's start may hang; imports over a network take minutes.
START_SECONDS = 600.0
#: What tasks need of the driver's surroundings, where it is set.
CARRIED = (
    "HF_HUB_OFFLINE",
    "HF_HOME",
    "OMP_WAIT_POLICY",
    "PYTHONPATH",
    "PYTHONSAFEPATH",
    "TOKENIZERS_PARALLELISM",
)


class RayError(SteelyardError):
    """The cluster cannot be reached."""


class Ray(Plugin):
    """Tasks on a Ray cluster, or on a Ray started here for this run."""

    workers: int | None = Field(
        None,
        ge=1,
        description="Most stages at a time; left out: as many as the cluster has room for.",
    )
    address: str = Field(
        "auto",
        description="auto: this machine's cluster; local: one started for this run; or HOST:PORT.",
    )
    runtime_env: Mapping[str, Any] = Field(
        {}, description="Ray's runtime environment of every stage: working_dir, pip, env_vars, ..."
    )

    def run(self, stages: Iterable[Stage], worker: Worker) -> Iterator[StageOutcome]:
        """Carry the stages out on the cluster; an interrupt cancels those under way."""
        self._require_no_secret()
        with _alone() if self.address == "local" else nullcontext():
            ray = _imported()
            self._knock()
            self._connect(ray)
            running = _Running(ray, Schedule(stages), worker, self.workers)
            try:
                yield from running.outcomes()
            finally:
                running.cancel()
                ray.shutdown()

    def _require_no_secret(self) -> None:
        """Ray writes a runtime environment into logs that every user of the machine may read."""
        key = first_secret(self.runtime_env)
        if key is not None:
            raise ConfigError(
                "holds a secret, which Ray would write into its logs",
                key=f"runtime_env.{key}",
                fix="set it where 'ray start' runs: workers have that environment",
            )

    def _knock(self) -> None:
        """Ray tries for five minutes where nobody answers; a socket knows at once."""
        address = os.environ.get("RAY_ADDRESS", "") if self.address == "auto" else self.address
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if address in ("", "auto", "local") or "://" in host:  # or a scheme that others add to Ray
            return
        try:
            if not host:
                raise ValueError("not HOST:PORT")
            socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()
        except (OSError, ValueError, OverflowError) as error:
            raise self._unreachable(address, error) from error

    @staticmethod
    def _unreachable(address: str, error: Exception) -> RayError:
        return RayError(
            f"no Ray cluster at '{address}': {error}",
            key="--address",
            fix="start one with 'ray start --head', or use --address local",
        )

    def _connect(self, ray: Any) -> None:
        safe = safe_environment()
        carried = {name: safe[name] for name in CARRIED if name in safe}
        environment = dict(self.runtime_env)
        environment["env_vars"] = {**carried, **environment.get("env_vars", {})}
        options: dict[str, Any] = {}
        if self.address == "local":
            cores = len(os.sched_getaffinity(0))
            options = {"num_cpus": max(cores, self.workers or 1), "include_dashboard": False}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(
                address=self.address,
                runtime_env=environment,
                job_config=_without_working_folder(ray),
                logging_level="warning",
                log_to_driver=True,
                **options,
            )
        except ConnectionError as error:
            raise self._unreachable(self.address, error) from error


@contextmanager
def _alone() -> Iterator[None]:
    """A cluster of this machine alone, on loopback; it need not ask for the way to 8.8.8.8.

    Ray's variable, named after the systems where that is the default, is read when it is imported,
    by each of its processes.
    """
    name = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    before = os.environ.get(name)
    os.environ.setdefault(name, "0")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)


def _without_working_folder(ray: Any) -> Any:
    """A job whose workers do not import from the folder that the driver was started in.

    Ray puts that folder first on every worker's path, unless the job brings a folder of its own;
    it asks this method, and no option says it otherwise.
    """

    class Job(ray.job_config.JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            return True

    return Job()


def _imported() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        fix = "pip install 'steelyard[ray]'"
        raise MissingExtraError("executor 'ray' needs the package ray", fix=fix) from error
    return ray


class Starting(NamedTuple):
    """What a Ray worker tells before its process has begun with a stage."""

    stage: str


class _Bell:
    """An actor that workers tell events to and the driver takes them from."""

    def __init__(self) -> None:
        self._rung: list[Event | Starting | str] = []

    def ring(self, news: Event | Starting | str) -> None:
        """An event, or the name of a stage that a worker begins."""
        self._rung.append(news)

    def heard(self) -> list[Event | Starting | str]:
        """What was told since the last call."""
        rung, self._rung = self._rung, []
        return rung


def _carry_out(place: Workplace, stage: Stage, run: str, threads: int, bell: Any) -> StageOutcome:
    """In a Ray worker: one stage. Models and suite stay open for the next stage of the run."""
    os.dup2(2, 1)  # Ray forwards both; a driver's standard output is for its document
    bell.ring.remote(Starting(stage.name))
    return hosted(place, run, threads).carry_out(stage, threads, bell.ring.remote)


class _Running:
    """A run under way on a cluster."""

    def __init__(self, ray: Any, schedule: Schedule, worker: Worker, most: int | None) -> None:
        self.ray = ray
        self.schedule = schedule
        self.worker = worker
        self.most = most
        self.gpus = float(bool(ray.cluster_resources().get("GPU")))
        self.run = uuid.uuid4().hex
        self.place = ray.put(worker.place)
        self.bell = self._new_bell()
        self.task = ray.remote(_carry_out)
        self.under_way: dict[Any, Stage] = {}
        self.deadlines: dict[str, float] = {}

    def _new_bell(self) -> Any:
        """Ray starts it again where its process dies; what it had heard by then is lost."""
        return self.ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=1)(_Bell).remote()

    def outcomes(self) -> Iterator[StageOutcome]:
        while self.schedule.left:
            while self.most is None or len(self.under_way) < self.most:
                stage = self.schedule.take()
                if stage is None:
                    break
                self.under_way[self._submitted(stage)] = stage
            done = []
            if self.under_way:
                done, _ = self.ray.wait(list(self.under_way), timeout=POLL_SECONDS)
            else:
                time.sleep(self.schedule.rest_seconds() or 0.0)
            self._listen()
            for reference in done:
                yield from self._ended(reference)
            for reference, stage in list(self.under_way.items()):
                if time.monotonic() >= self.deadlines.get(stage.name, float("inf")):
                    self.ray.cancel(reference, force=True)
                    minutes = stage.resources.timeout_minutes
                    yield from self._lost(reference, f"it took longer than {minutes:g} minutes")
        self._listen()

    def cancel(self) -> None:
        """Stop what is under way; the store loses nothing by it."""
        for reference in self.under_way:
            self.ray.cancel(reference, force=True)

    def _submitted(self, stage: Stage) -> Any:
        needs = stage.resources
        options: dict[str, Any] = {
            "name": stage.name,
            "num_cpus": needs.cpus or 1,
            "num_gpus": self.gpus if needs.gpus is None else needs.gpus,
            # Attempts are counted in the schedule, for lost workers only.
            "max_retries": 0,
        }
        if needs.memory_gb is not None:
            options["memory"] = int(needs.memory_gb * 1e9)
        if needs.accelerator is not None:
            options["accelerator_type"] = needs.accelerator
        self.deadlines.pop(stage.name, None)
        task = self.task.options(**options)
        return task.remote(self.place, stage, self.run, needs.cpus or 1, self.bell)

    def _listen(self) -> None:
        """Show what workers told; a stage's time runs from when a worker begins it."""
        stages = {stage.name: stage for stage in self.under_way.values()}
        for news in self._heard():
            if isinstance(news, Event):
                self.worker.listener(news)
            elif isinstance(news, Starting):
                stage = stages.get(news.stage)
                if stage and (minutes := stage.resources.timeout_minutes):
                    self.deadlines[news.stage] = time.monotonic() + 60 * minutes + START_SECONDS
            elif news in stages and (minutes := stages[news].resources.timeout_minutes):
                self.deadlines[news] = time.monotonic() + 60 * minutes

    def _heard(self) -> list[Event | Starting | str]:
        """What workers told. A bell that is gone for good is made again, for the stages to come.

        Those under way tell the old one: their time runs from now.
        """
        try:
            heard: list[Event | Starting | str] = self.ray.get(self.bell.heard.remote())
        except self.ray.exceptions.RayActorError:
            self.bell = self._new_bell()
            for stage in self.under_way.values():
                if minutes := stage.resources.timeout_minutes:
                    late = time.monotonic() + 60 * minutes + START_SECONDS
                    self.deadlines.setdefault(stage.name, late)
            return []
        return heard

    def _ended(self, reference: Any) -> Iterator[StageOutcome]:
        try:
            outcome = self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, WorkerLostError):
                yield from self._lost(reference, error.cause.message)
                return
            stage = self.under_way.pop(reference)
            message = redacted(f"{type(error.cause).__name__}: {error.cause}")
            unexpected = True
            if isinstance(error.cause, WorkerNotOpenedError):
                message = error.cause.message
                unexpected = error.cause.unexpected
            self.worker.tell(stage.event("failed", message))
            failed = StageOutcome(stage.name, "failed", message=message, unexpected=unexpected)
            yield from self.schedule.ended(failed)
        except self.ray.exceptions.RayError as error:  # worker, node or memory gone; preempted
            first = (str(error).strip().splitlines() or [""])[0]
            why = f"its worker was lost ({type(error).__name__}: {first})"
            yield from self._lost(reference, why)
        else:
            del self.under_way[reference]
            yield from self.schedule.ended(outcome)

    def _lost(self, reference: Any, why: str) -> Iterator[StageOutcome]:
        stage = self.under_way.pop(reference)
        yield from lost(self.schedule, self.worker, stage, why)

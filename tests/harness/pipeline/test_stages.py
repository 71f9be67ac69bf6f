"""An experiment as stages: what follows what, what is found again, what heals and what waits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from steelyard.harness.energy.fake_meter import FakeMeter
from steelyard.harness.errors import ConfigError
from steelyard.harness.experiment.file import Experiment, load_experiment
from steelyard.harness.experiment.resources import Resources
from steelyard.harness.pipeline import plan
from steelyard.harness.pipeline.events import Event
from steelyard.harness.pipeline.pipeline import Outcome, Pipeline
from steelyard.harness.store import FolderStore, open_store
from steelyard.harness.store.logs import Logs
from steelyard.harness.suites import Suite
from tests.trainers import tiny_jobs

TEXT = """
name: t
base: ./base
suite: [microworld_known]
candidates:
  x: {trainer: prune, amount: 0.2}
  y: {trainer: prune, amount: 0.5, parent: x}
  m: {trainer: merge, sources: [x, y], method: linear, resources: {gpus: 0.5}}
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return written(tmp_path)


def written(folder: Path, more: str = "") -> Experiment:
    if not (folder / "base").exists():
        (folder / "base").mkdir()
        tiny_jobs.save_base(folder / "base")
    (folder / "t.yaml").write_text(TEXT + more)
    return load_experiment(folder / "t.yaml")


def trained(
    experiment: Experiment, store: FolderStore, listen: Callable[[Event], None] = lambda _: None
) -> tuple[Outcome, list[str]]:
    seen: list[str] = []

    def hear(event: Event) -> None:
        if event.status != "progress":
            seen.append(f"{event.candidate} {event.status}")
        listen(event)

    return Pipeline(experiment, store, FakeMeter, hear).train(), seen


def test_a_plan_names_what_each_stage_follows_and_needs(tmp_path: Path) -> None:
    experiment = written(tmp_path, "resources: {score: {shards: 2, cpus: 3}}\n")
    stages = {stage.name: stage for stage in plan(experiment, ["y"])}
    assert list(stages)[:3] == ["train x", "train y", "score base 1/2"]
    assert stages["train y"].after == ("train x",)
    assert stages["score y"].after == ("train y", "score y 1/2", "score y 2/2")
    assert stages["score y 2/2"].share == (1, 2)
    assert stages["score base"].resources.cpus == 3
    whole = {stage.name: stage for stage in plan(experiment)}
    assert whole["train m"].after == ("train x", "train y")
    assert whole["train m"].resources == Resources(gpus=0.5)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("resources: {train: {cpu: 1}}", "cpus"),
        ("resources: {score: {shards: 0}}", "shards"),
        ("  z: {trainer: prune, amount: 0.1, resources: {gpus: -1}}", "gpus"),
        ("  z: {trainer: prune, amount: 0.1, resources: 3}", "memory_gb"),
    ],
)
def test_wrong_resources_are_one_line(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(ConfigError, match="resources") as raised:
        written(tmp_path, more + "\n")
    assert said in str(raised.value)


def test_a_damaged_checkpoint_is_made_again_and_nothing_else(
    experiment: Experiment, tmp_path: Path
) -> None:
    store = open_store(tmp_path / ".steelyard")
    first, _ = trained(experiment, store)
    digest = first.checkpoints["x"].manifest.digest
    weights = store.checkpoints.path(digest) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(bytes(content))

    again, seen = trained(experiment, store)
    assert not again.failures
    assert seen == ["x again", "x start", "x done", "y reused", "m reused"]
    assert again.checkpoints["x"].manifest.digest == digest
    assert any("train x: again damaged, made again" in line for line in store.logs.events())
    assert trained(experiment, store)[1] == ["x reused", "y reused", "m reused"]


def test_a_second_driver_does_other_stages_and_waits_for_the_first(
    experiment: Experiment, tmp_path: Path
) -> None:
    # While the first driver is at `x`, the second asks for everything: it may not do `x` too.
    store = open_store(tmp_path / ".steelyard")
    other = written(tmp_path, "  z: {trainer: prune, amount: 0.3}\n")
    met: list[str] = []

    def meanwhile(event: Event) -> None:
        if (event.candidate, event.status) != ("x", "start") or met:
            return
        from steelyard.harness.pipeline import Worker

        worker = Worker(
            other,
            open_store(store.root),
            FakeMeter,
            lambda e: met.append(f"{e.candidate} {e.status}"),
        )
        stages = {stage.name: stage for stage in plan(other, scoring=False)}
        busy = worker.carry_out(stages["train x"])
        assert busy.status == "busy"
        assert "process" in busy.message
        assert worker.carry_out(stages["train z"]).status == "done"

    _, seen = trained(experiment, store, meanwhile)
    assert [line for line in met if "progress" not in line] == ["x waiting", "z start", "z done"]
    assert seen.count("x done") == 1
    assert trained(other, store)[1] == ["x reused", "y reused", "m reused", "z reused"]


def test_a_failure_on_a_full_disk_is_told_though_its_log_cannot_be_written(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelyard.harness.errors import StoreError
    from steelyard.trainers.prune import Prune

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def no_log(*_: object) -> None:
        raise StoreError("cannot write a log: No space left on device")

    monkeypatch.setattr(Prune, "train", full)
    monkeypatch.setattr(Logs, "write", no_log)
    outcome, seen = trained(experiment, open_store(tmp_path / ".steelyard"))
    assert [failure.stage for failure in outcome.failures] == ["train x", "train y", "train m"]
    assert "No space left on device" in outcome.failures[0].message
    assert seen == ["x failed", "y skipped", "m skipped"] or seen[0] == "x start"


def test_a_run_that_ends_says_so_in_the_log(experiment: Experiment, tmp_path: Path) -> None:
    store = open_store(tmp_path / ".steelyard")
    trained(experiment, store)
    first, *_, last = store.logs.events()
    assert first.endswith("run t: start, 3 stages, executor inline")
    assert last.endswith("run t: end, 0 failed")


def test_the_end_of_a_failed_stages_log_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from steelyard.harness.cli.verbs.run import LOG_TAIL_LINES, show_logs
    from steelyard.harness.records import Failure

    store = open_store(tmp_path / ".steelyard")
    store.logs.write("train-x", "".join(f"line {n}\n" for n in range(90)) + "\x1b[2Jthe end\n")
    outcome = Outcome(failures=[Failure(stage=f"train {name}", message="no") for name in "xy"])
    show_logs(outcome, store)
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == f"--- the end of {store.logs.path('train-x')}"
    assert shown[-1] == "    the end"
    assert len(shown) == 1 + LOG_TAIL_LINES


def test_a_journal_with_a_damaged_end_is_told_and_the_rest_of_it_is_used(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelyard.harness.checkpoints import open_base
    from steelyard.harness.evaluation.code import answers_key
    from steelyard.harness.pipeline.open_models import OpenModels
    from steelyard.harness.scoring.journal import Journal

    store = open_store(tmp_path / ".steelyard")
    checkpoint = open_base("./base", resolve=experiment.resolve)
    path = store.unfinished.journal(checkpoint.manifest.digest)
    with Journal(path, answers_key(checkpoint.manifest.digest)) as journal:
        journal.append("first", ["r"], [1.0])
        journal.append("second", ["r"], [2.0])
    path.write_bytes(path.read_bytes()[:-3])

    monkeypatch.setattr(
        "steelyard.harness.pipeline.open_models.open_model", lambda *_, journal, **__: journal
    )
    told: list[Event] = []
    lm = OpenModels(experiment, store, told.append).opened(
        checkpoint, Suite(name="asked", tasks=())
    )
    assert (lm.pack("first"), lm.pack("second")) == ([1.0], None)
    assert [event.status for event in told] == ["again"]
    assert "damaged bytes" in told[0].message


def test_a_training_that_could_not_be_stored_goes_on_from_its_state_with_its_energy(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelyard.harness.pipeline.train import Checkpoints
    from steelyard.harness.plugins.protocols import TrainJob
    from steelyard.trainers.prune import Prune

    store, found = open_store(tmp_path / ".steelyard"), []
    train, adopt = Prune.train, store.checkpoints.adopt

    def resumed(self: Prune, job: TrainJob) -> object:
        assert job.state_folder is not None
        found.append((job.state_folder / "step").exists())
        job.state_folder.mkdir(parents=True, exist_ok=True)
        (job.state_folder / "step").touch()
        return train(self, job)

    def full(*_: object) -> Path:
        monkeypatch.setattr(store.checkpoints, "adopt", adopt)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Prune, "train", resumed)
    monkeypatch.setattr(store.checkpoints, "adopt", full)
    monkeypatch.setattr("steelyard.harness.pipeline.train.server", lambda: None)
    monkeypatch.setattr(
        "steelyard.harness.pipeline.train.check_in_fresh_process", lambda *_, **__: {}
    )
    stage = Checkpoints(experiment, store, FakeMeter, lambda _: None)
    with pytest.raises(OSError, match="No space left"):
        stage.train("x")
    energy = stage.checkpoint("x").manifest.energy
    assert found == [False, True]
    assert energy is not None
    assert (energy.seconds, energy.note) == (2.0, "2 attempts together")
    assert list(store.layout.states.iterdir()) == []


@pytest.mark.parametrize("how", ["incomplete", "not stored"])
def test_what_a_scoring_used_is_known_until_its_run_is_complete(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    from types import SimpleNamespace
    from typing import Any

    from steelyard.harness.checkpoints import open_base
    from steelyard.harness.evaluation.evaluating import Evaluation
    from steelyard.harness.pipeline.score import ScoreStage
    from steelyard.harness.records import Failure

    store = open_store(tmp_path / ".steelyard")
    failure = Failure(stage="score base", message="out of memory")
    incomplete, complete = Evaluation(failures=(failure,)), Evaluation()
    evaluations = iter([incomplete if how == "incomplete" else complete, complete])
    publish = store.runs.publish

    def full(*_: Any) -> None:
        monkeypatch.setattr(store.runs, "publish", publish)
        raise OSError(28, "No space left on device")

    suite = SimpleNamespace(suite=SimpleNamespace(name="s", cost=None))
    monkeypatch.setattr(ScoreStage, "_suite", lambda *_: suite)
    monkeypatch.setattr(ScoreStage, "_key", lambda *_: "key")
    monkeypatch.setattr(ScoreStage, "_evaluate", lambda *_: next(evaluations))
    checkpoint = open_base("./base", resolve=experiment.resolve)
    stage = ScoreStage(experiment, store, FakeMeter, lambda _: None)
    if how == "not stored":
        monkeypatch.setattr(store.runs, "publish", full)
        with pytest.raises(OSError, match="No space left"):
            stage.score("base", checkpoint, None)
    else:
        assert stage.score("base", checkpoint, None).complete is False
    run = stage.score("base", checkpoint, None)
    assert run.complete
    assert [(e.seconds, e.note) for e in run.energy] == [(2.0, "2 attempts together")]
    assert list(store.layout.states.iterdir()) == []


def test_a_scoring_that_failed_is_told_as_failed_with_the_reason(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from steelyard.harness.checkpoints import open_base
    from steelyard.harness.evaluation.evaluating import Evaluation
    from steelyard.harness.pipeline.score import ScoreStage
    from steelyard.harness.records import Failure

    failures = tuple(Failure(stage=task, message="out of memory") for task in ("a", "b"))
    suite = SimpleNamespace(suite=SimpleNamespace(name="s", cost=None))
    monkeypatch.setattr(ScoreStage, "_suite", lambda *_: suite)
    monkeypatch.setattr(ScoreStage, "_key", lambda *_: "key")
    monkeypatch.setattr(ScoreStage, "_evaluate", lambda *_: Evaluation(failures=failures))
    events: list[Event] = []
    stage = ScoreStage(experiment, open_store(tmp_path / "w"), FakeMeter, events.append)
    stage.score("base", open_base("./base", resolve=experiment.resolve), None)
    told = [(event.status, event.message) for event in events[-3:]]
    assert told == [
        ("failed", "a: out of memory"),
        ("failed", "b: out of memory"),
        ("failed", "0 scores, 1.0 s; incomplete"),
    ]


def test_a_cost_is_measured_again_where_what_reads_the_meter_changed(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code, settings and version of the meter; a suite without a cost does not ask for them."""
    from dataclasses import replace

    from steelyard.harness.checkpoints import open_base
    from steelyard.harness.pipeline import score
    from steelyard.harness.suites import build, load_suite

    base = open_base("./base", resolve=experiment.resolve)
    built = build(load_suite("cost", folder=tmp_path, limit=None))
    plain = replace(built, suite=built.suite.model_copy(update={"cost": None}), cost=None)

    def keys(**energy: object) -> list[str]:
        settings = experiment.settings.model_copy(update={"energy": energy})
        changed = replace(experiment, settings=settings)
        stage = score.ScoreStage(changed, open_store(tmp_path / "w"), FakeMeter, lambda _: None)
        return [stage._key(suite, base, None) for suite in (built, plain)]

    first = keys()
    assert first == keys()
    for other in ({"country": "FRA"}, {"pue": 1.2}, {"meter": "fake"}):
        costly, without = keys(**other)
        assert costly != first[0] and without == first[1]
    monkeypatch.setattr(score, "metering_code", lambda: "another")
    costly, without = keys()
    assert costly != first[0] and without == first[1]

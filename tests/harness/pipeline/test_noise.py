"""The noise floor as an experiment asks for it: named variants of the baseline, kept apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from steelyard.harness.cli.conclude import Conclusion
from steelyard.harness.cli.verbs.run import run_watched
from steelyard.harness.energy.no_meter import NoMeter
from steelyard.harness.errors import ConfigError
from steelyard.harness.evaluation.evaluating import Evaluation, build
from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.experiment.noise import NoiseVariant
from steelyard.harness.pipeline.events import Event, no_listener
from steelyard.harness.pipeline.noise import NoiseStage
from steelyard.harness.pipeline.open_models import OpenModels
from steelyard.harness.records import Failure
from steelyard.harness.store import open_store
from steelyard.harness.suites.suite import load_suite
from tests.harness.toy_suite import Answering, checkpoint, write_suite

EXPERIMENT = """
name: noisy
base: microworld
candidates:
  pruned: {trainer: prune, amount: 0.02}
suite: [{task: microworld_choice, limit: 12}, {task: microworld_text, limit: 4}]
noise:
  - {dtype: bfloat16}
  - {wording: "Some words before the question . "}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("noisy") / "experiment.yaml"
    path.write_text(EXPERIMENT)
    return path


def carried_out(file: Path) -> Conclusion:
    return run_watched(load_experiment(file), workspace=file.parent / "ws", commands=[])


@pytest.fixture(scope="module")
def done(file: Path) -> Conclusion:
    return carried_out(file)


def test_the_report_names_each_floor_by_what_moves_the_baseline_most(
    done: Conclusion, file: Path
) -> None:
    text = done.document.model_dump_json()
    said = text[text.index("Noise floor of base") :].partition('"')[0]
    assert said.startswith("Noise floor of base, below which no difference is a claim: ")
    # A text is rolled without a prompt, so only the number format can move it.
    assert "bits_per_byte" in said and "(dtype bfloat16)" in said
    assert "microworld_choice acc" in said and "(prompt wording)" in said


def test_variants_are_no_candidates(done: Conclusion, file: Path) -> None:
    store = open_store(file.parent / "ws")
    assert {run.candidate for run in store.find()} == {"base", "pruned"}
    assert all(comparison.comparable for comparison in done.comparisons)


def test_what_is_kept_is_not_scored_again(
    done: Conclusion, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = carried_out(file)
    said = capsys.readouterr().err
    assert said.count("already done") == 5, said  # one trained, two scored, two variants
    assert again.comparisons == done.comparisons


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ("{few_shot_seed: 3}", "'few-shot order 3' changes nothing: no task of the suite shows"),
        ("{generation_seed: 3}", "changes nothing: no task of the suite samples"),
        ("{chat_template: false}", "changes nothing: the experiment scores so already"),
    ],
)
def test_a_variant_that_changes_nothing_is_a_mistake(
    done: Conclusion, file: Path, variant: str, said: str
) -> None:
    head = EXPERIMENT.partition("noise:")[0]
    other = file.parent / "idle.yaml"
    other.write_text(f"{head}noise: [{variant}]\n")
    with pytest.raises(ConfigError, match=said):
        carried_out(other)


def test_a_variant_changes_one_thing() -> None:
    assert NoiseVariant(dtype="bfloat16").label == "dtype bfloat16"
    assert NoiseVariant(chat_template=True).label == "with the chat template"
    with pytest.raises(ValidationError, match="changes one thing"):
        NoiseVariant(dtype="bfloat16", few_shot_seed=1)
    with pytest.raises(ValidationError, match="changes one thing"):
        NoiseVariant()


def stage_of(folder: Path, suite: str, noise: str, told: list[Event] | None = None) -> NoiseStage:
    file = folder / "mine.yaml"
    head = "name: mine\nbase: microworld\ncandidates: {pruned: {trainer: prune, amount: 0.02}}\n"
    file.write_text(f"{head}suite: {suite}\nnoise: [{noise}]\n")
    listener = no_listener if told is None else told.append
    return NoiseStage(load_experiment(file), open_store(folder / "ws"), NoMeter, listener)


def asked_under(stage: NoiseStage, task: str) -> list[tuple[Any, ...]]:
    (variant,) = stage.experiment.settings.noise
    return [request.args for request in stage._built(variant).requests(Answering())[task]]


def test_a_task_that_draws_several_answers_draws_others_with_another_seed(tmp_path: Path) -> None:
    suite = "[{task: microworld_samples, limit: 1}]"
    asked = asked_under(stage_of(tmp_path, suite, "{generation_seed: 7}"), "microworld_samples")
    drawn = [settings for _, settings in asked if settings["do_sample"]]
    assert len(drawn) == 5 and all(settings["seed"] == 7 for settings in drawn)


def test_a_wording_is_said_before_the_tasks_own_description(tmp_path: Path) -> None:
    suite = str(write_suite(tmp_path))
    task = tmp_path / "tasks" / "choice.yaml"
    task.write_text(task.read_text() + 'description: "Sums of {{topic}} numbers.\\n"\n')
    stage = stage_of(tmp_path, suite, '{wording: "Be brief. "}')
    prompt, _ = asked_under(stage, "toy_choice")[0]
    assert prompt.startswith("Be brief. Sums of small numbers.\n")
    plain = build(load_suite(suite, folder=tmp_path))
    assert all(
        changed.task_digest != task.task_digest
        for changed, task in zip(
            stage._built(stage.experiment.settings.noise[0]).tasks, plain.tasks, strict=True
        )
    )


def test_a_variant_that_failed_is_told_and_scored_again_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Event] = []
    stage = stage_of(tmp_path, str(write_suite(tmp_path)), "{dtype: bfloat16}", told)
    broken = Evaluation(failures=(Failure(stage="score toy_text", message="out of memory"),))
    monkeypatch.setattr("steelyard.harness.pipeline.noise.evaluate", lambda *_, **__: broken)
    monkeypatch.setattr(OpenModels, "opened", lambda *_: Answering())
    for _ in range(2):
        (variant,) = stage.runs("base", checkpoint(tmp_path))
        assert not variant.run.complete
    assert [event.status for event in told] == ["start", "failed"] * 2
    assert told[1].message == "out of memory"


def test_variants_that_change_only_what_is_asked_share_one_opened_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str | None] = []

    def open_model(*_: object, dtype: str | None, **__: object) -> Answering:
        opened.append(dtype)
        return Answering()

    monkeypatch.setattr("steelyard.harness.pipeline.open_models.open_model", open_model)
    monkeypatch.setattr("steelyard.harness.pipeline.noise.evaluate", lambda *_, **__: Evaluation())
    noise = '{wording: "Be brief. "}, {wording: "Be kind. "}, {dtype: bfloat16}'
    stage = stage_of(tmp_path, str(write_suite(tmp_path)), noise)
    assert len(stage.runs("base", checkpoint(tmp_path))) == 3
    assert opened == [None, "bfloat16"]

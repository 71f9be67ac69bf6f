"""The noise floor as an experiment asks for it: named variants of the baseline, kept apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.cli.conclude import Conclusion
from harness.cli.run import run_experiment
from harness.errors import ConfigError
from harness.experiment import load_experiment
from harness.noise_variants import NoiseVariant
from harness.store import open_store

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
    return run_experiment(load_experiment(file), workspace=file.parent / "ws", commands=[])


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

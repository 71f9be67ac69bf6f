"""GPTQ and AWQ in an environment made on demand, and torchao: what each needs and gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from steelyard.harness.checkpoints import check, open_base
from steelyard.harness.errors import ConfigError, DataError, MissingExtraError, TrainingError
from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.files.digests import digest_json
from steelyard.harness.records import Checkpoint
from steelyard.harness.scoring import open_model
from steelyard.tasks.microworld.corpus import fidelity_texts
from steelyard.trainers.quantize import Quantize
from steelyard.trainers.weights import calibrated, environments
from steelyard.trainers.weights.environments import environment
from tests.trainers import effects, tiny_jobs


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(environments.VARIABLE, str(tmp_path / "environments"))
    return tmp_path / "environments"


def test_awq_without_an_accelerator_is_refused_before_anything_is_made(
    base: Checkpoint, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match="awq needs an accelerator, and this machine has none"):
        tiny_jobs.train("quantize", base, tmp_path / "awq", scheme="awq")
    assert not kept.exists()
    assert list((tmp_path / "awq").iterdir()) == []


def test_a_scheme_whose_library_is_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.setattr("steelyard.trainers.quantize.find_spec", lambda name: None)
    monkeypatch.setattr("steelyard.trainers.weights.calibrated.find_spec", lambda name: None)
    for scheme, extra in (("torchao-int8", "torchao"), ("gptq", "compressed")):
        with pytest.raises(MissingExtraError, match=rf"pip install 'steelyard\[{extra}\]'"):
            Quantize(scheme=scheme).make_ready()  # type: ignore[arg-type]


def test_gptq_needs_texts_and_the_experiment_says_so_before_anything_runs(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    head = "name: t\nbase: microworld\nsuite: [microworld_known]\n"
    file.write_text(head + "candidates: {q: {trainer: quantize, scheme: gptq}}\n")
    with pytest.raises(ConfigError, match="'quantize' needs data; name a data set with prompt, "):
        load_experiment(file)
    tiny_jobs.write_rows(tmp_path / "d.jsonl", [{"prompt": "a", "summary": "b"}])
    file.write_text(
        head + "data: {d: {path: d.jsonl}}\n"
        "candidates: {q: {trainer: quantize, scheme: gptq, data: d}}\n"
    )
    with pytest.raises(DataError, match="no column 'completion', which the role 'completion'"):
        load_experiment(file)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"scheme": "nf4", "calibration_rows": 5}, "calibration_rows applies to gptq and awq"),
        ({"scheme": "gguf-q4_0", "block_size": 64, "double_quant": True}, "double_quant applies"),
        ({"scheme": "torchao-int8", "block_size": 32}, "fixes its block size"),
    ],
)
def test_options_of_other_schemes_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Quantize.model_validate(options)


def test_an_environment_is_made_once_and_a_half_made_one_again(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Sequence[str]] = []

    def run(command: Sequence[str], name: str) -> None:
        ran.append(command)
        if "venv" in command:
            Path(command[-1]).mkdir(parents=True)

    monkeypatch.setattr(environments, "_run", run)
    first = environment("toy", ["a==1", "b==2"])
    folder = first.parent.parent
    assert folder.parent == kept
    assert [list(command[-2:]) for command in ran] == [["venv", str(folder)], ["a==1", "b==2"]]
    assert environment("toy", ["a==1", "b==2"]) == first
    assert len(ran) == 2
    (folder / "complete").unlink()
    assert environment("toy", ["a==1", "b==2"]) == first
    assert len(ran) == 4
    assert environment("toy", ["a==2"]) != first


def test_a_relative_folder_for_environments_is_found_from_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for named, found in (("kept", "kept"), ("~/kept", "home/kept")):
        monkeypatch.setenv(environments.VARIABLE, named)
        assert environments.kept_in() == tmp_path / found


@pytest.mark.slow
def test_what_pip_cannot_install_is_told_in_one_line(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(
        TrainingError, match="environment for toy could not be made: ERROR: "
    ) as told:
        environment("toy", ["no-such-package-anywhere==1"])
    assert "\n" not in str(told.value)
    with pytest.raises(TrainingError):  # and it is not taken for whole the next time
        environment("toy", ["no-such-package-anywhere==1"])


@pytest.mark.slow
def test_gptq_is_better_than_rounding_at_equal_bits_and_block(tmp_path: Path) -> None:
    """By texts like those it is measured on; where a first use has made the environment."""
    digest = digest_json([*calibrated.REQUIREMENTS, sys.version_info[:2]])[:12]
    if not (environments.kept_in() / f"llmcompressor-{digest}" / "complete").is_file():
        pytest.skip("llmcompressor's environment is not made on this machine")
    microworld = open_base("microworld")
    data = effects.texts(tmp_path, 256, "calibration")
    one, two = (
        tiny_jobs.train("quantize", microworld, tmp_path / c / "q", scheme="gptq", data=data)
        for c in "ab"
    )
    assert one.manifest.digest == two.manifest.digest
    assert one.manifest.format == "quantised"
    assert {p.suffix for p in one.folder.iterdir()} <= {".json", ".safetensors", ".jinja"}
    assert "calibrated on 128 rows" in one.manifest.notes[0]
    assert check(one, microworld)["tokenizer"] == "as the start's"
    rounded = effects.kl_by_scheme(microworld, tmp_path, ["absmax-int4"], fidelity_texts())
    parent = open_model(microworld.weights_folder)
    assert effects.kl_per_token(parent, one, fidelity_texts()) < rounded["absmax-int4"]


TORCHAO = """
import json, sys
from pathlib import Path
from steelyard.harness.checkpoints import check, open_base
from tests.trainers import effects, tiny_jobs
base = open_base(sys.argv[1])
one, two = (
    tiny_jobs.train("quantize", base, Path(sys.argv[2]) / c / "q", scheme="torchao-int8")
    for c in "ab"
)
found = check(one, base)
from lm_eval.models.huggingface import HFLM
from steelyard.harness.scoring import open_model
from tests.harness.scoring.tiny import instance
pairs = [("who lives in the tower ?", " the fox ."), ("the quick brown", " dog that knows")]
asked = [instance("loglikelihood", *pair) for pair in pairs]
ours = open_model(one.weights_folder).loglikelihood(asked)
theirs = HFLM(str(one.weights_folder), batch_size=1, device="cpu", dtype="float32")
theirs = theirs.loglikelihood(asked)
print(json.dumps([
    one.manifest.digest, two.manifest.digest, one.manifest.size_bytes, found,
    [a for a, _ in ours], [a for a, _ in theirs],
]))
"""


@pytest.mark.slow
def test_torchao_in_a_process_that_has_it(base: Checkpoint, tmp_path: Path) -> None:
    """It is in no extra of the tests: where it is installed, every model takes 2 s more to load."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    extra = tmp_path / "extra"
    done = subprocess.run([*pip, str(extra), "torchao==0.18.0"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("torchao cannot be installed here: no package index")
    root = str(Path(__file__).parents[3])
    done_ = subprocess.run(
        [sys.executable, "-c", TORCHAO, str(base.folder), str(tmp_path)],
        capture_output=True, text=True, check=True, cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([root, str(extra)])},
    )  # fmt: skip
    first, second, size, found, ours, theirs = json.loads(done_.stdout.splitlines()[-1])
    assert first == second
    assert size < base.manifest.size_bytes
    assert found["finite"] == "every tensor and log-probability"
    assert ours == pytest.approx(theirs, rel=1e-4)

"""One contract, held against every registered trainer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.checkpoints import check, is_reward_model, open_checkpoint
from steelyard.harness.checkpoints.model import load_model_folder
from steelyard.harness.errors import ConfigError
from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.plugins import names as plugin_table
from steelyard.harness.plugins.fields import RelativePath
from steelyard.harness.plugins.names import load_trainer, plugin_names
from steelyard.harness.plugins.protocols import Trainer, TrainJob
from steelyard.harness.records import Checkpoint
from tests.guide_package import PLUGINS
from tests.trainers import tiny_jobs

STEPS = {"steps": 4, "batch_size": 8, "learning_rate": 1e-2}
REWARDED = STEPS | {
    "rewards": [{"reward": "length", "words": 3}],
    "completion_length": 5,
    "rank": 4,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "full": STEPS,
    "freeze": STEPS | {"layers": 1},
    "lora": STEPS | {"rank": 4, "lora_dropout": 0.1},
    "qlora": STEPS | {"rank": 4},
    "ia3": STEPS,
    "prompt_tuning": STEPS | {"virtual_tokens": 4},
    "prefix": STEPS | {"virtual_tokens": 4},
    "dpo": STEPS,
    "orpo": STEPS,
    "kto": STEPS | {"rank": 4},
    "simpo": STEPS,
    "reward": STEPS,
    "grpo": REWARDED,
    "rloo": REWARDED,
    "distill": STEPS | {"teacher": "a"},
    "merge": {"sources": ["a", "b"], "method": "dare_ties"},
    "prune": {"amount": 0.3},
    "quantize": {"scheme": "nf4"},
    "none": {},
    "select": {"sources": ["a", "b"]},
}
#: More of one trainer, whose checkpoints are of another kind.
VARIANTS: dict[str, dict[str, Any]] = {
    "quantize int8": {"scheme": "int8"},
    "quantize absmax": {"scheme": "absmax-int4"},
    "quantize gguf": {"scheme": "gguf-q8_0"},
}
#: From another package: docs/plugins.md.
FOREIGN: dict[str, dict[str, Any]] = {PLUGINS["trainers"]: {"factor": 0.9}}
CASES = {**{name: OPTIONS[name] for name in plugin_names("trainers")}, **VARIANTS, **FOREIGN}
STEPPED = [name for name, options in CASES.items() if "steps" in options]
#: What a training of few steps may take on two cores.
SECONDS_AT_MOST = 30.0
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return tiny_jobs.save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """What merges and students are made from."""
    return {
        name: tiny_jobs.save_base(tmp_path_factory.mktemp(f"source_{name}"), seed=seed)
        for seed, name in enumerate("ab", start=1)
    }


def carry_out(
    case: str, base: Checkpoint, others: Mapping[str, Checkpoint], folder: Path, **more: Any
) -> Checkpoint:
    """One training of ``CASES[case]`` in ``folder``/<the trainer's name>."""
    name = case.partition(" ")[0]
    options = dict(CASES[case]) | more
    if name == "none":
        options["path"] = str(base.folder)
    if name == "select":  # by what is held out
        folder.mkdir(parents=True)
        options["data"] = tiny_jobs.supervised(folder, 8)
    named = load_trainer(name).source_options
    return tiny_jobs.train(name, base, folder / name, beside=others if named else {}, **options)


@dataclass(frozen=True)
class Trained:
    """The same recipe and seed, trained two times."""

    first: Checkpoint
    second: Checkpoint
    seconds: float
    """Of processor time, for the first."""


@pytest.fixture(scope="module")
def trained(
    base: Checkpoint, others: dict[str, Checkpoint], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Trained]:
    """A case of ``CASES``, trained when it is first asked for."""

    @cache
    def get(case: str) -> Trained:
        root = tmp_path_factory.mktemp(case.replace(" ", "_"))
        began = time.process_time()
        first = carry_out(case, base, others, root / "a")
        seconds = time.process_time() - began
        return Trained(first, carry_out(case, base, others, root / "b"), seconds)

    return get


@pytest.fixture(params=list(CASES))
def twice(
    request: pytest.FixtureRequest, trained: Callable[[str], Trained]
) -> tuple[str, Checkpoint, Checkpoint]:
    found = trained(request.param)
    return request.param, found.first, found.second


def test_a_trainer_is_a_frozen_plugin_whose_options_are_described() -> None:
    for name in plugin_names("trainers"):
        trainer: Any = load_trainer(name)
        assert issubclass(trainer, Trainer)
        required = {
            "quantize": {"scheme": "nf4"},
            "none": {"path": "x"},
            "distill": {"teacher": "x"},
            "merge": {"sources": ["x", "y"]},
            "select": {"sources": ["x"]},
            "grpo": {"rewards": [{"reward": "contains"}]},
            "rloo": {"rewards": [{"reward": "contains"}]},
        }
        assert isinstance(trainer(**required.get(name, {})), Trainer)
        assert trainer.__doc__
        for field, info in trainer.model_fields.items():
            assert info.description, f"{name}.{field}"


class Foreign(Trainer):
    """As another package might write one: options, and the one verb."""

    vectors: RelativePath
    factor: float = 1.0

    def train(self, job: TrainJob) -> Checkpoint:
        return job.start


class Unfinished(Trainer):
    """A trainer that forgot its verb."""


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """``foreign`` and ``unfinished`` as trainers, and ``int``, which is none."""
    ours = {"foreign": f"{__name__}:Foreign", "unfinished": f"{__name__}:Unfinished"}
    table = {**plugin_table.BUILT_IN, "trainers": {**ours, "number": "builtins:int"}}
    monkeypatch.setattr(plugin_table, "BUILT_IN", table)


@pytest.mark.usefixtures("registered")
def test_a_trainer_of_another_package_needs_its_verb_alone(tmp_path: Path) -> None:
    trainer = load_trainer("foreign").model_validate({"vectors": "v"})
    assert (trainer.needs_data, trainer.data_choices(), trainer.source_options) == (
        False,
        ((),),
        (),
    )
    assert (trainer.schedule, trainer.longest_row, trainer.cuts_answers) == (None, None, False)
    assert (trainer.content_digest(), trainer.validation_tasks) == (None, ())
    assert trainer.inner is trainer.shortened(3) is trainer
    trainer.make_ready()


@pytest.mark.usefixtures("registered")
def test_an_option_that_is_a_path_lies_beside_the_experiment_where_there_is_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "v.bin").touch()
    file = tmp_path / "e.yaml"
    file.write_text(
        "name: e\nbase: microworld\nsuite: microworld\ncandidates:\n"
        "  a: {trainer: foreign, vectors: v.bin}\n  b: {trainer: foreign, vectors: hub/name}\n"
    )
    a, b = load_experiment(file).candidates
    assert a.trainer.model_dump()["vectors"] == str(tmp_path / "v.bin")
    assert b.trainer.model_dump()["vectors"] == "hub/name"


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("name", "message"), [("number", "is no trainer"), ("unfinished", r"has no train\(job\)")]
)
def test_what_is_no_trainer_is_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_trainer(name)


def test_two_runs_with_one_seed_are_bit_identical(
    twice: tuple[str, Checkpoint, Checkpoint],
) -> None:
    _, first, second = twice
    assert first.manifest.digest == second.manifest.digest
    assert first.manifest.loss_curve == second.manifest.loss_curve


def test_a_few_steps_take_less_than_thirty_seconds(
    twice: tuple[str, Checkpoint, Checkpoint], trained: Callable[[str], Trained]
) -> None:
    """Of processor time, which another process beside this one does not lengthen."""
    assert trained(twice[0]).seconds < SECONDS_AT_MOST


class Killed(BaseException):
    """Stands for a kill: nothing catches it. A real one is in
    tests/trainers/loops/test_training.py.
    """


@pytest.mark.parametrize(
    "case",
    [
        case if case in ("freeze", "qlora", "dpo", "grpo") else pytest.param(case, marks=SLOW)
        for case in STEPPED
    ],
)
def test_killed_and_resumed_equals_undisturbed(
    case: str,
    base: Checkpoint,
    others: dict[str, Checkpoint],
    trained: Callable[[str], Trained],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from steelyard.trainers.loops import watch

    monkeypatch.setattr(watch, "SAVE_EVERY_SECONDS", 0.0)
    state = tmp_path / "state"
    state.mkdir()

    def kill_at_three(done: int, total: int | None, message: str) -> None:
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        carry_out(
            case, base, others, tmp_path / "killed", state_folder=state, progress=kill_at_three
        )
    again = carry_out(case, base, others, tmp_path / "again", state_folder=state)
    whole = trained(case).first.manifest
    assert again.manifest.digest == whole.digest
    assert again.manifest.loss_curve == whole.loss_curve
    assert any("resumed from a state saved at step 2" in note for note in again.manifest.notes)


def test_the_manifest_says_where_the_checkpoint_comes_from(
    twice: tuple[str, Checkpoint, Checkpoint], base: Checkpoint
) -> None:
    case, checkpoint, _ = twice
    name = case.partition(" ")[0]
    manifest = checkpoint.manifest
    trained = "steps" in CASES[case]
    assert (manifest.trainer, manifest.candidate, manifest.seed) == (name, name, 0)
    assert manifest.parent == base.manifest.digest
    assert manifest.energy is None
    assert manifest.size_bytes > 0
    assert manifest.digests.tokenizer == base.manifest.digests.tokenizer
    assert manifest.steps == (4 if trained else None)
    assert len(manifest.loss_curve) == (4 if trained else 0)
    read = bool(load_trainer(name).data_roles) or name == "select"
    assert bool(manifest.data_digests) == read
    assert open_checkpoint(checkpoint.folder, verify=True) == checkpoint


def test_only_what_belongs_to_a_checkpoint_is_left_in_its_folder(
    twice: tuple[str, Checkpoint, Checkpoint],
) -> None:
    left = {path.suffix for path in twice[1].folder.rglob("*")}
    assert left <= {".json", ".safetensors", ".jinja", ".gguf"}


def test_the_checkpoint_passes_its_check(
    twice: tuple[str, Checkpoint, Checkpoint], base: Checkpoint
) -> None:
    found = check(twice[1], base)
    assert found["finite"]
    if is_reward_model(twice[1]):
        return
    assert found["tokenizer"] == "as the start's"
    if twice[1].adapter_folder:
        assert "move by" in found["adapter applied"]


PLAIN = """
import json, pathlib, sys, torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer
for folder in sys.argv[1:]:
    config = pathlib.Path(folder, "adapter_config.json")
    # transformers itself opens adapters of weights, PEFT those of virtual tokens too
    virtual = config.exists() and "num_virtual_tokens" in config.read_text()
    automatic = AutoPeftModelForCausalLM if virtual else AutoModelForCausalLM
    gguf = {"gguf_file": f.name for f in pathlib.Path(folder).glob("*.gguf")}
    model = automatic.from_pretrained(folder, dtype=torch.float32, **gguf).eval()
    for m in model.modules():
        if type(m).__name__ == "Linear4bit":
            m.support_avx512bf16_for_cpu = False
    AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        logits = model(torch.arange(3, 35)[None]).logits[:, -32:]
    print(json.dumps(logits.sum(-1).flatten().tolist()))
"""


def test_plain_libraries_in_a_fresh_process_give_the_same_logits(
    trained: Callable[[str], Trained],
) -> None:
    # A reward model gives no logits of tokens; tests/trainers/loops/test_rewards.py opens one.
    firsts = {case: trained(case).first for case in CASES}
    text = {case: first for case, first in firsts.items() if not is_reward_model(first)}
    folders = [str(first.folder) for first in text.values()]
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, *folders],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    printed = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    for (name, first), plain in zip(text.items(), printed, strict=True):
        model = load_model_folder(
            first.weights_folder,
            adapter=first.adapter_folder,
            gguf_file=first.gguf_file,
            dtype="float32",
        ).model
        ours = tiny_jobs.logits(model)[:, -32:].sum(-1).flatten().tolist()
        assert ours == pytest.approx(plain, abs=1e-3), name


def test_a_full_base_is_not_written_to(base: Checkpoint, tmp_path: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in base.folder.iterdir()}
    tiny_jobs.train("lora", base, tmp_path / "lora", steps=1)
    assert before == {p.name: p.stat().st_mtime_ns for p in base.folder.iterdir()}

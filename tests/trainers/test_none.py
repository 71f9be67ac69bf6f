"""Somebody else's folder as a candidate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from steelyard.harness.checkpoints import check, load_model
from steelyard.harness.errors import CheckpointError
from steelyard.harness.records import Checkpoint
from tests.trainers import tiny_jobs


def test_a_trainers_output_folder_is_taken_in_without_its_pickles(
    base: Checkpoint, tmp_path: Path
) -> None:
    theirs = Path(shutil.copytree(base.folder, tmp_path / "checkpoint-500"))
    (theirs / "optimizer.pt").write_bytes(b"pickle")
    (theirs / "training_args.bin").write_bytes(b"pickle")
    taken = tiny_jobs.train("none", base, tmp_path / "none", path=str(theirs))
    assert taken.manifest.format == "full"
    assert taken.manifest.digests == base.manifest.digests
    assert not list(taken.folder.glob("*.pt")) + list(taken.folder.glob("*.bin"))
    assert "checkpoint-500" in taken.manifest.notes[0]


def test_an_adapter_from_another_machine_is_put_on_the_parent(
    base: Checkpoint, tmp_path: Path
) -> None:
    lora = tiny_jobs.train("lora", base, tmp_path / "lora", steps=2, learning_rate=1e-2)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(lora.folder / name, theirs / name)
    config = json.loads((theirs / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/cluster/models/base"
    (theirs / "adapter_config.json").write_text(json.dumps(config))
    taken = tiny_jobs.train("none", base, tmp_path / "none", path=str(theirs))
    assert taken.weights_folder == base.folder
    assert taken.manifest.digest == lora.manifest.digest
    assert "move by" in check(taken, base)["adapter applied"]
    unchecked = (
        "its adapter was trained on base, which is not here: whether the parent has the same"
    )
    assert any(note.startswith(unchecked) for note in taken.manifest.notes)


def test_an_adapter_of_other_weights_than_the_parents_is_refused(
    base: Checkpoint, tmp_path: Path
) -> None:
    other = tiny_jobs.save_base(tmp_path / "other", seed=5)
    lora = tiny_jobs.train("lora", other, tmp_path / "lora", steps=1)
    with pytest.raises(CheckpointError, match="trained on other weights than its parent's"):
        tiny_jobs.train("none", base, tmp_path / "none", path=str(lora.folder))


def test_a_folder_that_is_not_there_is_refused(base: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        tiny_jobs.train("none", base, tmp_path / "none", path=str(tmp_path / "nowhere"))


@pytest.fixture(scope="module")
def from_trl(base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What TRL with PEFT writes: checkpoint-1, checkpoint-2, and the final adapter beside them."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = load_model(base, trainable=True)
    folder = tmp_path_factory.mktemp("trl")
    trainer = SFTTrainer(
        model,
        args=SFTConfig(
            output_dir=str(folder), max_steps=2, save_steps=1, learning_rate=1e-2, bf16=False,
            use_cpu=True, report_to="none", disable_tqdm=True, activation_checkpointing=False,
            max_length=64, per_device_train_batch_size=2,
        ),
        train_dataset=Dataset.from_list([{"text": "the old man lives by the sea ."}] * 8),
        processing_class=tokenizer,
        peft_config=LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", r=2),
    )  # fmt: skip
    trainer.train()
    trainer.save_model()
    return folder


def adapter_of(checkpoint: Checkpoint) -> bytes:
    return (checkpoint.folder / "adapter_model.safetensors").read_bytes()


def test_a_trl_folder_gives_its_final_adapter(
    base: Checkpoint, from_trl: Path, tmp_path: Path
) -> None:
    taken = tiny_jobs.train("none", base, tmp_path / "none", path=str(from_trl))
    assert taken.manifest.format == "adapter"
    assert adapter_of(taken) == (from_trl / "adapter_model.safetensors").read_bytes()
    assert "(the final model)" in taken.manifest.notes[0]
    assert {p.suffix for p in taken.folder.iterdir()} <= {".json", ".safetensors", ".jinja"}
    assert "move by" in check(taken, base)["adapter applied"]


def test_a_training_that_was_cut_short_gives_its_last_checkpoint_or_the_one_asked_for(
    base: Checkpoint, from_trl: Path, tmp_path: Path
) -> None:
    theirs = Path(shutil.copytree(from_trl, tmp_path / "cut"))
    for path in (*theirs.glob("*.safetensors"), theirs / "adapter_config.json"):
        path.unlink()
    (theirs / "checkpoint-99").mkdir()  # half of a checkpoint, as a kill leaves it
    last = tiny_jobs.train("none", base, tmp_path / "last", path=str(theirs))
    first = tiny_jobs.train("none", base, tmp_path / "first", path=str(theirs), step=1)
    assert "(checkpoint-2, the last of 2: there is no final model)" in last.manifest.notes[0]
    assert adapter_of(last) == (from_trl / "checkpoint-2/adapter_model.safetensors").read_bytes()
    assert adapter_of(first) == (from_trl / "checkpoint-1/adapter_model.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match=r"no checkpoint of that step.*are: 1, 2"):
        tiny_jobs.train("none", base, tmp_path / "none", path=str(theirs), step=7)


#: What LLaMA-Factory and axolotl leave beside the adapter.
EXTRAS = {
    "llama-factory": ("all_results.json", "trainer_log.jsonl", "training_loss.png", "README.md"),
    "axolotl": ("config.json", "debug.log", "README.md", "tokens_state.json"),
}


@pytest.mark.parametrize("tool", EXTRAS)
def test_other_tools_extras_stay_behind_and_their_base_s_name_does_not_matter(
    base: Checkpoint, from_trl: Path, tmp_path: Path, tool: str
) -> None:
    from steelyard.trainers.none import NoTraining

    theirs = Path(shutil.copytree(from_trl, tmp_path / tool))
    for name in EXTRAS[tool]:
        (theirs / name).write_text("{}")
    config = json.loads((theirs / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/data/models/theirs"
    (theirs / "adapter_config.json").write_text(json.dumps(config))
    assert NoTraining(path=str(theirs)).content_digest()
    taken = tiny_jobs.train("none", base, tmp_path / "none", path=str(theirs))
    assert not {path.name for path in taken.folder.iterdir()} & set(EXTRAS[tool])
    assert taken.weights_folder == base.folder

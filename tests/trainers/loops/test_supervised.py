"""Chats, whole texts, packing and encoder-decoders: the same trainers, other rows and models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from steelyard.harness.checkpoints import check, load_model, open_base
from steelyard.harness.errors import DataError, TrainingError
from steelyard.harness.plugins.protocols import DataSource, TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.full import Full
from steelyard.trainers.loops.lessons import lessons, turns
from steelyard.trainers.loops.supervised import sft_trainer
from tests.harness.scoring import tiny
from tests.harness.scoring.architectures import build
from tests.trainers import tiny_jobs

FAST: dict[str, Any] = {"steps": 3, "batch_size": 2, "learning_rate": 1e-2}
USER, YES = {"role": "user", "content": "who ?"}, {"role": "assistant", "content": "the fox ."}
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def job(base: Checkpoint, folder: Path, *data: DataSource) -> TrainJob:
    return TrainJob(candidate="c", start=base, data=data, seed=0, folder=folder)


def batches(
    base: Checkpoint, folder: Path, data: DataSource, **options: Any
) -> Iterator[tuple[Any, dict[str, torch.Tensor]]]:
    """The model, and the batches that it is trained on."""
    trainer = Full(batch_size=2, max_length=64, **options)
    asked = job(base, folder, data)
    model, tokenizer = load_model(base, trainable=True)
    inner = sft_trainer(trainer, asked, model, tokenizer, lessons(asked, trainer))
    for batch in inner.get_train_dataloader():
        yield model, batch


def test_every_turn_of_the_assistant_is_learnt_once_and_nothing_else(tmp_path: Path) -> None:
    system = {"role": "system", "content": "be brief"}
    chat = [system, USER, YES, USER, YES]
    assert turns(chat, tmp_path) == [
        {"prompt": [system, USER], "completion": [YES]},
        {"prompt": [system, USER, YES, USER], "completion": [YES]},
    ]
    with pytest.raises(DataError, match="no turn of the assistant"):
        turns([USER], tmp_path)
    with pytest.raises(DataError, match="begins with the assistant"):
        turns([YES, USER], tmp_path)


def test_a_chat_s_loss_is_on_the_answer_alone(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    base = tiny_jobs.save_base(folder)
    data = tiny_jobs.write_rows(tmp_path / "d.jsonl", [{"messages": [USER, YES]}] * 2)
    with pytest.raises(DataError, match="chats need a chat template"):
        next(batches(base, tmp_path, data))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    _, tokenizer = load_model(base)
    _, batch = next(batches(open_base(str(folder)), tmp_path, data))
    learnt = batch["labels"][0][batch["labels"][0] != -100]
    assert tokenizer.decode(learnt).removesuffix(tokenizer.eos_token) == "the fox ."
    assert tokenizer.decode(batch["input_ids"][0]).startswith("<user>who ?<assistant>the fox .")


def test_of_a_whole_text_every_token_is_learnt(base: Checkpoint, tmp_path: Path) -> None:
    data = tiny_jobs.write_rows(tmp_path / "d.jsonl", [{"text": "the old man"}] * 2)
    _, batch = next(batches(base, tmp_path, data))
    assert torch.equal(batch["labels"], batch["input_ids"])


def test_kinds_of_data_do_not_mix(base: Checkpoint, tmp_path: Path) -> None:
    texts = tiny_jobs.write_rows(tmp_path / "t.jsonl", [{"text": "the old man"}])
    answers = tiny_jobs.supervised(tmp_path)
    with pytest.raises(DataError, match="plain prompts and texts in one candidate"):
        lessons(job(base, tmp_path, texts, answers), Full())


def test_weights_of_several_data_sets_are_kept(base: Checkpoint, tmp_path: Path) -> None:
    new = tiny_jobs.supervised(tmp_path, 10)
    old = tiny_jobs.write_rows(
        tmp_path / "old.jsonl", [{"prompt": f"p{i}", "completion": " old"} for i in range(10)]
    )
    replay = DataSource("old", old.path, {}, 0.5)
    rows = lessons(job(base, tmp_path, new, replay), Full()).rows
    assert len(rows) == 15
    assert sum(row["completion"] == " old" for row in rows) == 5


def test_packed_rows_do_not_see_one_another(base: Checkpoint, tmp_path: Path) -> None:
    """The summed loss of a packed sequence is the sum of its rows' losses, one by one."""
    data = tiny_jobs.supervised(tmp_path, 6)
    model, packed = next(batches(base, tmp_path, data, packing=True))
    assert packed["input_ids"].shape[0] == 1
    starts = (packed["position_ids"][0] == 0).nonzero().flatten().tolist()
    assert len(starts) > 2, "several rows in one sequence"

    def summed(ids: torch.Tensor, labels: torch.Tensor, **more: torch.Tensor) -> float:
        with torch.inference_mode():
            logits = model(input_ids=ids, use_cache=False, **more).logits
        return float(
            torch.nn.functional.cross_entropy(
                logits[0, :-1], labels[0, 1:], ignore_index=-100, reduction="sum"
            )
        )

    whole = summed(packed["input_ids"], packed["labels"], position_ids=packed["position_ids"])
    ends = [*starts[1:], packed["input_ids"].shape[1]]
    alone = 0.0
    for start, end in zip(starts, ends, strict=True):
        alone += summed(packed["input_ids"][:, start:end], packed["labels"][:, start:end])
    assert whole == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("name", ["mamba", "mpt"])
def test_packing_is_refused_where_rows_would_see_one_another(name: str, tmp_path: Path) -> None:
    build(name).save_pretrained(tmp_path / "base")
    tiny.save_tokenizer(tmp_path / "base")
    start = open_base(str(tmp_path / "base"))
    with pytest.raises(TrainingError, match="packed rows would see one another"):
        tiny_jobs.train("full", start, tmp_path / "full", packing=True, steps=1)


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    from transformers import T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("t5")
    tokenizer = tiny.save_tokenizer(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
        decoder_start_token_id=2, pad_token_id=2, eos_token_id=1, dropout_rate=0.1,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return open_base(str(folder))


@pytest.mark.parametrize("name", ["full", pytest.param("lora", marks=pytest.mark.slow)])
def test_an_encoder_decoder_trains_and_its_checkpoint_is_checked(
    t5: Checkpoint, tmp_path: Path, name: str
) -> None:
    options = FAST | {"steps": 12, "learning_rate": 3e-2 if name == "lora" else 1e-2}
    trained = tiny_jobs.train(name, t5, tmp_path / name, **options)
    curve = trained.manifest.loss_curve
    assert curve[-1].loss < curve[0].loss - 0.5
    assert trained.manifest.format == ("full" if name == "full" else "adapter")
    found = check(trained, t5)
    assert found["finite"]
    if name == "lora":
        assert "move by" in found["adapter applied"]
    again = tiny_jobs.train(name, t5, tmp_path / "again" / name, **options)
    assert again.manifest.digest == trained.manifest.digest


def test_an_encoder_decoder_learns_no_whole_texts(t5: Checkpoint, tmp_path: Path) -> None:
    data = tiny_jobs.write_rows(tmp_path / "d.jsonl", [{"text": "the old man"}])
    with pytest.raises(DataError, match="cannot learn whole texts"):
        tiny_jobs.train("full", t5, tmp_path / "full", data=data, **FAST)
    with pytest.raises(DataError, match="cannot learn packed rows"):
        tiny_jobs.train("full", t5, tmp_path / "packed", packing=True, **FAST)


@pytest.fixture
def adding_base(tmp_path: Path) -> Checkpoint:
    """A tiny Llama under a tokenizer that puts BOS in front of every text and EOS behind it."""
    tiny_jobs.save_base(tmp_path / "adding")
    tiny.put_around_texts(tmp_path / "adding", before="<s>", after="</s>")
    return open_base(str(tmp_path / "adding"))


@pytest.mark.parametrize(
    "row",
    [
        {"text": "who ? the fox ."},
        {"text": "<s>who ? the fox ."},
        {"prompt": "who ?", "completion": " the fox ."},
        {"prompt": "<s>who ?", "completion": " the fox ."},
        {"prompt": "who ?", "completion": " the fox .</s>"},
    ],
)
def test_a_row_is_learnt_with_one_bos_and_one_eos(
    adding_base: Checkpoint, tmp_path: Path, row: dict[str, str]
) -> None:
    data = tiny_jobs.write_rows(tmp_path / "d.jsonl", [row] * 2)
    _, batch = next(batches(adding_base, tmp_path, data))
    _, tokenizer = load_model(adding_base)
    tokens = [0, *tokenizer.encode("who ? the fox .", add_special_tokens=False), 1]
    assert batch["input_ids"].tolist() == [tokens] * 2
    if "prompt" in row:
        answer = tokenizer.encode(" the fox .", add_special_tokens=False)
        assert [label for label in batch["labels"][0].tolist() if label != -100] == [*answer, 1]


def test_what_is_stored_beside_trained_weights_is_the_tokenizer_as_it_was(
    adding_base: Checkpoint, tmp_path: Path
) -> None:
    made = tiny_jobs.train("full", adding_base, tmp_path / "made", steps=1, batch_size=2)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        stored, start = made.folder / name, adding_base.folder / name
        assert stored.read_bytes() == start.read_bytes()

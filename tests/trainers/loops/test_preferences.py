"""DPO, ORPO, KTO, SimPO: known effects that hold whatever the data, and data that do not fit."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from steelyard.harness.checkpoints import check, load_model, open_base
from steelyard.harness.checkpoints.digests import adapter_digest
from steelyard.harness.errors import ConfigError, DataError
from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.records import Checkpoint
from tests.trainers import tiny_jobs


def margin(checkpoint: Checkpoint, folder: Path) -> float:
    """Mean log p(chosen) - log p(rejected) over the preference data."""
    model, tokenizer = load_model(checkpoint)

    def log_probability(prompt: str, answer: str) -> float:
        ids = tokenizer(prompt + answer, return_tensors="pt")["input_ids"]
        start = len(tokenizer(prompt)["input_ids"])
        with torch.inference_mode():
            picked = model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])
        return float(picked[start - 1 :].sum())

    rows = [json.loads(line) for line in (folder / "preferences.jsonl").read_text().splitlines()]
    return sum(
        log_probability(r["prompt"], r["chosen"]) - log_probability(r["prompt"], r["rejected"])
        for r in rows
    ) / len(rows)


def test_dpo_starts_at_ln_2(base: Checkpoint, tmp_path: Path) -> None:
    dpo = tiny_jobs.train("dpo", base, tmp_path / "dpo", steps=2, learning_rate=1e-3)
    # Policy and reference are one model, so the loss is -log sigmoid(0) [Rafailov et al., eq. 7].
    assert dpo.manifest.loss_curve[0].loss == pytest.approx(math.log(2), abs=1e-6)
    assert dpo.manifest.loss_curve[0].metrics["rewards/margins"] == pytest.approx(0, abs=1e-5)


def test_dpo_from_an_adapter_starts_at_ln_2_too(base: Checkpoint, tmp_path: Path) -> None:
    lora = tiny_jobs.train("lora", base, tmp_path / "lora", steps=4, learning_rate=1e-2)
    dpo = tiny_jobs.train("dpo", lora, tmp_path / "dpo", steps=1)
    assert dpo.manifest.loss_curve[0].loss == pytest.approx(math.log(2), abs=1e-6)
    assert dpo.manifest.format == "full"
    assert "trained from 'lora' with its adapter merged into its base's weights" in (
        dpo.manifest.notes
    )


@pytest.mark.parametrize("name", ["dpo", "orpo", "kto", "simpo"])
def test_preferences_widen_the_margin(base: Checkpoint, tmp_path: Path, name: str) -> None:
    tuned = tiny_jobs.train(
        name, base, tmp_path / name, steps=15, batch_size=16, learning_rate=5e-3
    )
    assert margin(tuned, tmp_path) > margin(base, tmp_path) + 0.3


def test_the_sft_term_adds_the_chosen_answers_own_loss(base: Checkpoint, tmp_path: Path) -> None:
    def first_loss(folder: str, **options: Any) -> float:
        tuned = tiny_jobs.train("dpo", base, tmp_path / folder, steps=1, **options)
        return tuned.manifest.loss_curve[0].loss

    half, whole = first_loss("half", sft_weight=0.5), first_loss("whole", sft_weight=1.0)
    chosen = 2 * (half - math.log(2))
    assert chosen > 1
    assert whole == pytest.approx(math.log(2) + chosen, rel=1e-5)


@pytest.mark.parametrize("loss_type", ["ipo", "hinge", "robust", "apo_zero"])
def test_other_losses_of_trl_run_by_their_names(
    base: Checkpoint, tmp_path: Path, loss_type: str
) -> None:
    smoothing = 0.1 if loss_type == "robust" else 0.0
    tuned = tiny_jobs.train(
        "dpo", base, tmp_path / "dpo", steps=1, loss_type=loss_type, label_smoothing=smoothing
    )
    expected = {"ipo": 25.0, "hinge": 1.0, "robust": math.log(2), "apo_zero": 1.0}[loss_type]
    # ipo: (0 - 1 / (2 beta))^2 at beta = 0.1; hinge: max(0, 1 - 0); apo_zero: two sigmoids at 0.
    assert tuned.manifest.loss_curve[0].loss == pytest.approx(expected, rel=1e-4)


def test_orpo_trains_on_the_beginning_that_evaluations_ask_with(
    base: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL's ORPOTrainer puts BOS in front of a row even where the tokenizer does not."""
    from trl.experimental.orpo import ORPOTrainer

    seen: list[list[int]] = []
    train = ORPOTrainer.train

    def look(self: Any, *args: Any, **options: Any) -> Any:
        seen.append(self.train_dataset[0]["chosen_input_ids"])
        return train(self, *args, **options)

    monkeypatch.setattr(ORPOTrainer, "train", look)
    tuned = tiny_jobs.train("orpo", base, tmp_path / "orpo", steps=1)
    _, tokenizer = load_model(tuned)
    assert tokenizer.bos_token_id == 0
    assert seen[0][0] != tokenizer.bos_token_id
    assert seen[0][-1] == tokenizer.eos_token_id
    assert tuned.manifest.digests.tokenizer == base.manifest.digests.tokenizer


CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.mark.parametrize(
    ("added", "chats", "begins"),
    [
        (["<s>"], False, [0]),
        (["<s>"], True, []),  # a chat is what its template wrote, in evaluations too
        (["<pad>", "<s>"], False, [2, 0]),  # GLM begins every text with two tokens
        (["<pad>", "<s>"], True, []),
    ],
)
def test_orpo_begins_texts_as_the_tokenizer_does_and_chats_as_their_template(
    base: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    added: list[str],
    chats: bool,
    begins: list[int],
) -> None:
    from tokenizers import processors
    from trl.experimental.orpo import ORPOTrainer

    folder = Path(shutil.copytree(base.folder, tmp_path / "base"))
    _, tokenizer = load_model(base)
    ids = tokenizer.convert_tokens_to_ids(added)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=[*added, "$A"], special_tokens=list(zip(added, ids, strict=True))
    )
    tokenizer.pad_token = None  # EOS is taken in its place
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(CHAT)
    prompt: Any = [{"role": "user", "content": "who ?"}] if chats else "who ?"
    answers = (" the fox .", " the dog .")
    pair: Any = [[{"role": "assistant", "content": text}] for text in answers] if chats else answers
    row = {"prompt": prompt, "chosen": pair[0], "rejected": pair[1]}
    data = tiny_jobs.write_rows(tmp_path / "pairs.jsonl", [row] * 2)
    seen: list[list[int]] = []
    train = ORPOTrainer.train

    def look(self: Any, *args: Any, **options: Any) -> Any:
        seen.append(self.train_dataset[0]["chosen_input_ids"])
        return train(self, *args, **options)

    monkeypatch.setattr(ORPOTrainer, "train", look)
    tiny_jobs.train("orpo", open_base(str(folder)), tmp_path / "orpo", data=data, steps=1)
    asked = "<user>who ?<assistant> the fox ." if chats else "who ? the fox ."
    own = tokenizer(asked, add_special_tokens=False)["input_ids"]
    assert seen[0] == [*begins, *own, tokenizer.eos_token_id]


# --- adapters in place of all weights -----------------------------------------------------------


@pytest.mark.parametrize("name", ["dpo", "orpo", "kto", "simpo"])
def test_with_a_rank_an_adapter_learns_the_preference(
    base: Checkpoint, tmp_path: Path, name: str
) -> None:
    tuned = tiny_jobs.train(
        name, base, tmp_path / name, rank=4, steps=15, batch_size=16, learning_rate=1e-2
    )
    assert tuned.manifest.format == "adapter"
    assert "move by" in check(tuned, base)["adapter applied"]
    assert margin(tuned, tmp_path) > margin(base, tmp_path) + 0.2


def test_dpo_of_an_adapter_starts_at_ln_2_without_a_second_model(
    base: Checkpoint, tmp_path: Path
) -> None:
    dpo = tiny_jobs.train("dpo", base, tmp_path / "dpo", steps=1, rank=4)
    assert dpo.manifest.loss_curve[0].loss == pytest.approx(math.log(2), abs=1e-6)


# --- SimPO --------------------------------------------------------------------------------------


def test_simpo_starts_at_the_loss_of_its_formula(base: Checkpoint, tmp_path: Path) -> None:
    """-log sigmoid(beta / |y| log p(y_w) - beta / |y| log p(y_l) - gamma) [Meng et al., eq. 6]."""
    rows = [{"prompt": "who ? answer :", "chosen": " the fox .", "rejected": " the old man ."}]
    data = tiny_jobs.write_rows(tmp_path / "d.jsonl", rows)
    tuned = tiny_jobs.train(
        "simpo", base, tmp_path / "simpo", data=data, steps=1, batch_size=1, beta=2.0, gamma=0.5
    )
    model, tokenizer = load_model(base)

    def mean(answer: str) -> float:
        prompt, ids = (
            tokenizer(rows[0]["prompt"])["input_ids"],
            [*tokenizer(rows[0]["prompt"] + answer)["input_ids"], tokenizer.eos_token_id],
        )
        with torch.inference_mode():
            rows_ = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        picked = rows_.gather(1, torch.tensor(ids[1:])[:, None])[len(prompt) - 1 :]
        return float(picked.mean())

    lead = 2.0 * (mean(rows[0]["chosen"]) - mean(rows[0]["rejected"])) - 0.5
    assert tuned.manifest.loss_curve[0].loss == pytest.approx(math.log1p(math.exp(-lead)), rel=1e-4)


# --- KTO ----------------------------------------------------------------------------------------


def test_kto_starts_at_a_half(base: Checkpoint, tmp_path: Path) -> None:
    # Policy and reference are one model, so each loss is 1 - sigmoid(0) [Ethayarajh et al., eq. 8].
    kto = tiny_jobs.train("kto", base, tmp_path / "kto", steps=1)
    assert kto.manifest.loss_curve[0].loss == pytest.approx(0.5, abs=1e-6)


def test_pairs_taken_apart_by_hand_give_the_same_weights(base: Checkpoint, tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps": 4, "learning_rate": 1e-2, "rank": 4}
    pairs = tiny_jobs.preferences(tmp_path)
    from_pairs = tiny_jobs.train("kto", base, tmp_path / "a", data=pairs, **options)
    rows = []
    for line in pairs.path.read_text().splitlines():
        row = json.loads(line)
        for role, label in (("chosen", True), ("rejected", False)):
            rows.append({"prompt": row["prompt"], "completion": row[role], "label": label})
    labelled = tiny_jobs.write_rows(tmp_path / "labelled.jsonl", rows)
    from_labels = tiny_jobs.train("kto", base, tmp_path / "b", data=labelled, **options)
    assert adapter_digest(from_pairs.folder) == adapter_digest(from_labels.folder)


def experiment(folder: Path, rows: list[dict[str, Any]], trainer: str, mapping: str = "") -> Path:
    tiny_jobs.write_rows(folder / "d.jsonl", rows)
    file = folder / "experiment.yaml"
    file.write_text(
        f"name: t\nbase: microworld\nsuite: [microworld_known]\n"
        f"data: {{d: {{path: d.jsonl{mapping}}}}}\n"
        f"candidates: {{c: {{trainer: {trainer}, data: d}}}}\n"
    )
    return file


PAIR = {"prompt": "a", "chosen": " b", "rejected": " c"}
LABELLED = {"prompt": "a", "completion": " b", "label": True}


@pytest.mark.parametrize(
    ("trainer", "row", "expected"),
    [
        (
            "kto",
            {"prompt": "a", "completion": " b"},
            r"kto needs prompt, chosen, rejected or prompt",
        ),
        ("kto", PAIR | LABELLED, "both kinds of data at once"),
        ("kto", LABELLED | {"label": "good"}, "the label is neither true nor false"),
        ("kto", LABELLED | {"completion": " "}, "an empty completion"),
        ("kto", PAIR | {"rejected": " b"}, "chosen equals rejected in 1 of 1 rows"),
        ("dpo", LABELLED, r"dpo needs prompt, chosen, rejected or chosen, rejected\)"),
        ("simpo", PAIR | {"rejected": " b"}, "chosen equals rejected"),
        ("freeze", PAIR, r"freeze needs prompt, completion or messages or text\).*map one"),
        ("ia3", {"prompt": "", "completion": " b"}, "1 of 1 rows have an empty prompt"),
    ],
)
def test_data_that_do_not_fit_the_method_are_named_before_a_model_loads(
    tmp_path: Path, trainer: str, row: dict[str, Any], expected: str
) -> None:
    with pytest.raises((DataError, ConfigError), match=expected):
        load_experiment(experiment(tmp_path, [row], trainer))


def test_what_chosen_and_rejected_begin_with_is_their_prompt(
    base: Checkpoint, tmp_path: Path
) -> None:
    from steelyard.trainers.loops.preferences import with_prompt

    human = "\n\nHuman: who lives in the tower ?\n\nAssistant:"
    whole = {"chosen": f"{human} the old man", "rejected": f"{human} the other"}
    apart = {"prompt": human + " the", "chosen": " old man", "rejected": " other"}
    assert with_prompt(whole) == apart
    user, yes, no = ({"role": r, "content": c} for r, c in (("user", "?"), ("a", "y"), ("a", "n")))
    chat = {"chosen": [user, yes], "rejected": [user, no]}
    assert with_prompt(chat) == {"prompt": [user], "chosen": [yes], "rejected": [no]}
    weights = [
        tiny_jobs.train(
            "dpo", base, tmp_path / name / "dpo", steps=2, batch_size=2, learning_rate=1e-3,
            data=tiny_jobs.write_rows(tmp_path / f"{name}.jsonl", [row] * 4),
        ).manifest.digest
        for name, row in (("whole", whole), ("apart", apart))
    ]  # fmt: skip
    assert weights[0] == weights[1]
    nothing = tiny_jobs.write_rows(tmp_path / "n.jsonl", [{"chosen": "a b", "rejected": "c b"}])
    with pytest.raises(DataError, match="no common prompt in 1 of 1 rows"):
        tiny_jobs.train("dpo", base, tmp_path / "none", data=nothing)


def test_a_mapped_column_says_which_kind_of_data_is_meant(tmp_path: Path) -> None:
    file = experiment(tmp_path, [PAIR | LABELLED], "kto", mapping=", label: label")
    assert load_experiment(file).candidate("c").trainer_name == "kto"


def test_labels_in_csv_are_read_and_labels_that_teach_nothing_refused(
    base: Checkpoint, tmp_path: Path
) -> None:
    from steelyard.harness.plugins.protocols import DataSource

    path = tmp_path / "rows.csv"
    path.write_text("prompt,completion,label\na, b,1\na, c,1\n")
    with pytest.raises(DataError, match="every answer is labelled true"):
        tiny_jobs.train("kto", base, tmp_path / "a", data=DataSource("rows", path), steps=1)
    path.write_text("prompt,completion,label\na, b,True\na, c,0\n")
    tuned = tiny_jobs.train("kto", base, tmp_path / "b", data=DataSource("rows", path), steps=1)
    assert tuned.manifest.steps == 1

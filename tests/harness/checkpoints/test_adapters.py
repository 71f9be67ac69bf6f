"""Adapters of few tokens, of embeddings, and with tokens that their training added."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.checkpoints import load_model_folder
from steelyard.harness.checkpoints.bases import base_of_adapter
from steelyard.harness.errors import CheckpointError
from tests.harness.scoring import tiny

FAR = (200, 201)
"""Tokens beyond those on which an adapter's effect is looked for first."""


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    return tiny.save_llama(folder, tie_word_embeddings=request.param)


def opened(base: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


def log_likelihood(model: Any, ids: list[int]) -> float:
    """By hand: the sum over all tokens but the first."""
    import torch

    with torch.no_grad():
        spread = model.eval()(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(spread[at - 1, ids[at]]) for at in range(1, len(ids)))


def save_few_tokens(base: Path, folder: Path, config: dict[str, Any]) -> Any:
    """An adapter that moves the embeddings of ``FAR`` alone, trained by plain PEFT."""
    import torch
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(opened(base), LoraConfig(r=4, task_type="CAUSAL_LM", **config))
    moving = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and ("token" in name or "embedding" in name)
    ]
    optimizer = torch.optim.SGD(moving, lr=0.5)
    ids = torch.tensor([[*FAR, 7]])
    for _ in range(3):
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q_proj"], "trainable_token_indices": list(FAR)},
        {"target_modules": ["embed_tokens"]},
    ],
    ids=["few tokens", "the embedding"],
)
def test_an_adapter_that_moves_few_tokens_is_applied(
    base: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    trained = save_few_tokens(base, tmp_path, config)
    text = [*FAR, 7]
    loaded = load_model_folder(base, adapter=tmp_path, device="cpu")
    assert log_likelihood(loaded.model, text) == pytest.approx(log_likelihood(trained, text))
    assert log_likelihood(loaded.model, text) != pytest.approx(
        log_likelihood(opened(base), text), abs=1e-3
    )


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q_proj"], "trainable_token_indices": list(FAR)},
        {"target_modules": ["embed_tokens"]},
    ],
    ids=["few tokens", "the embedding"],
)
def test_one_that_was_never_trained_is_the_base_and_no_error(
    base: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    from peft import LoraConfig, get_peft_model

    get_peft_model(opened(base), LoraConfig(r=4, **config)).save_pretrained(tmp_path)
    loaded = load_model_folder(base, adapter=tmp_path, device="cpu")
    assert log_likelihood(loaded.model, [*FAR, 7]) == pytest.approx(
        log_likelihood(opened(base), [*FAR, 7])
    )


def save_with_added_tokens(base: Path, folder: Path, config: dict[str, Any]) -> Any:
    """An adapter whose training added two tokens to the tokenizer and resized the embedding."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|tool|>", "<|/tool|>"]})
    model = opened(base)
    model.resize_token_embeddings(len(tokenizer))
    settings = {"target_modules": ["q_proj"], "init_lora_weights": False, "r": 4} | config
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"modules_to_save": ["embed_tokens", "lm_head"]},
        {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
    ],
    ids=["plain", "both saved", "tied and saved"],
)
def test_an_adapter_with_added_tokens_is_opened_with_their_rows(
    base: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    trained = save_with_added_tokens(base, tmp_path, config)
    loaded = load_model_folder(base, adapter=tmp_path, device="cpu")
    rows = tiny.VOCABULARY + 2
    assert loaded.model.get_input_embeddings().weight.shape[0] == rows
    assert len(loaded.tokenizer) == rows
    for text in ([5, 9, 14], [5, tiny.VOCABULARY, 14, tiny.VOCABULARY + 1]):
        assert log_likelihood(loaded.model, text) == pytest.approx(
            log_likelihood(trained, text), rel=1e-6
        )


def test_added_tokens_whose_rows_were_not_saved_are_counted_in_one_line(
    base: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    save_with_added_tokens(base, tmp_path, {})
    file = tmp_path / "adapter_model.safetensors"
    tensors = {name: value for name, value in load_file(file).items() if "q_proj" in name}
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match="322 tokens, the embedding 320 rows") as told:
        load_model_folder(base, adapter=tmp_path, device="cpu")
    assert "save_embedding_layers" in str(told.value)


@pytest.mark.parametrize("base", [False], ids=["untied"], indirect=True)
def test_rows_for_one_of_two_untied_embeddings_are_not_enough(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_with_added_tokens(base, tmp_path, {})
    file = tmp_path / "adapter_model.safetensors"
    tensors = {name: value for name, value in load_file(file).items() if "lm_head" not in name}
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match="322 rows for the embedding or for the head"):
        load_model_folder(base, adapter=tmp_path, device="cpu")


def test_an_embedding_that_was_saved_beside_an_adapter_counts(base: Path, tmp_path: Path) -> None:
    """As PEFT saves it with ``save_embedding_layers=True``, whether tokens were added or not."""
    import torch
    from peft import LoraConfig, get_peft_model

    options: dict[str, Any] = {"target_modules": ["q_proj"], "init_lora_weights": False}
    model = get_peft_model(opened(base), LoraConfig(r=4, task_type="CAUSAL_LM", **options))
    with torch.no_grad():
        model.get_input_embeddings().weight[FAR[0]] += 0.5
    model.save_pretrained(tmp_path, save_embedding_layers=True)
    ids = [3, *FAR, 7]
    loaded = load_model_folder(tmp_path, device="cpu")
    assert log_likelihood(loaded.model, ids) == pytest.approx(log_likelihood(model, ids), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task_type": "SEQ_CLS"}, r"task_type: the adapter gives no text \(got 'SEQ_CLS'\)"),
        ({"alora_invocation_tokens": [5]}, "alora_invocation_tokens: .* switched on by tokens"),
    ],
)
def test_an_adapter_that_makes_no_text_model_is_refused_by_its_key(
    base: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    save_few_tokens(base, tmp_path, {"target_modules": ["embed_tokens"]})
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(CheckpointError, match=words):
        load_model_folder(tmp_path, device="cpu")


def test_the_base_is_of_the_revision_that_the_adapter_names(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two revisions of one repository in the hub's cache, laid out as huggingface_hub lays them."""
    from huggingface_hub import constants

    repository = tmp_path / "hub" / "models--org--name"
    for revision, commit in (("main", "a" * 40), ("v2", "b" * 40)):
        shutil.copytree(base, repository / "snapshots" / commit)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / revision).write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    adapter = tmp_path / "adapter"
    save_few_tokens(base, adapter, {"target_modules": ["embed_tokens"]})
    file = adapter / "adapter_config.json"
    config = json.loads(file.read_text()) | {"base_model_name_or_path": "org/name"}
    for revision, commit in ((None, "a" * 40), ("v2", "b" * 40)):
        file.write_text(json.dumps(config | {"revision": revision}))
        assert base_of_adapter(adapter).name == commit
    file.write_text(json.dumps(config | {"revision": "v3"}))
    with pytest.raises(CheckpointError, match="org/name at v3"):
        base_of_adapter(adapter)

"""GGUF export: what transformers reads back is what ggml's block formats say, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import gguf
import numpy as np
import pytest
import torch
import transformers

from steelyard.harness.checkpoints import load_model, open_base
from steelyard.harness.errors import CheckpointError
from steelyard.harness.records import Checkpoint
from steelyard.trainers.weights.gguf_export import Kind, export
from tests.harness.scoring import tiny
from tests.trainers import tiny_jobs
from tests.trainers.weights.llama_cpp import llama_cpp

SHAPE: dict[str, Any] = {
    "vocab_size": tiny.VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 1,
}


def random_model(architecture: str, **changes: Any) -> Any:
    config = transformers.AutoConfig.for_model(architecture, **(SHAPE | changes))
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def read_back(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file="m.gguf", dtype=torch.float32
    ).eval()


def through_ggml(values: torch.Tensor, kind: str) -> torch.Tensor:
    """What the block format keeps, by the gguf package's own reference."""
    stored = gguf.GGMLQuantizationType[kind]
    packed = gguf.quants.quantize(values.detach().numpy(), stored)
    return torch.from_numpy(gguf.quants.dequantize(packed, stored))


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": True, "head_dim": 32, "rope_theta": 1e5}),
        ("qwen2", {}),
        ("qwen3", {"head_dim": 128}),
    ],
)
@pytest.mark.parametrize("kind", get_args(Kind))
def test_what_is_read_back_are_the_dequantised_values(
    architecture: str, changes: dict[str, Any], kind: Any, tmp_path: Path
) -> None:
    model = random_model(architecture, **changes)
    tiny.save_tokenizer(tmp_path)
    assert export(model, tmp_path, tmp_path / "m.gguf", kind) == []
    again = read_back(tmp_path)
    assert again.config.tie_word_embeddings == model.config.tie_word_embeddings
    found = dict(again.named_parameters())
    for name, parameter in model.named_parameters():
        embedding = "embed_tokens" in name or "lm_head" in name
        stored = "Q8_0" if kind[:2] in ("Q4", "Q5") and embedding else kind
        if parameter.ndim == 1:
            stored = "F32"
        expected = parameter if stored == "F32" else through_ggml(parameter, stored)
        assert torch.equal(found.pop(name), expected), name
        with torch.no_grad():
            parameter.copy_(expected)
    assert not found
    # The shape says how the weights are used, so the logits say whether it was read back right.
    assert torch.equal(tiny_jobs.logits(again), tiny_jobs.logits(model))


def test_a_block_of_q8_0_is_as_by_hand() -> None:
    values = torch.tensor([[12.7, -6.35, 0.1, 0.04] + [0.0] * 28])
    # Scale 12.7 / 127 = .1 as float16.
    expected = [12.7, -6.4, 0.1, 0.0]  # -63.5 rounds away from zero
    assert through_ggml(values, "Q8_0")[0, :4].tolist() == pytest.approx(expected, abs=0.01)


def test_llama_cpp_loads_each_kind_and_goes_on_as_transformers_does(tmp_path: Path) -> None:
    tokenizer = tiny.save_tokenizer(tmp_path)
    tokens = tokenizer("the quick brown fox")["input_ids"]
    for kind in get_args(Kind):
        export(random_model("qwen2"), tmp_path, tmp_path / "m.gguf", kind)
        with llama_cpp(tmp_path / "m.gguf") as cpp:
            continued = cpp.continued(tokens, 6)
        with torch.inference_mode():
            logits = read_back(tmp_path)(torch.tensor([tokens + continued])).logits
        likely = logits[0, len(tokens) - 1 : -1]
        chosen = likely.gather(1, torch.tensor(continued)[:, None])[:, 0]
        # llama.cpp rounds activations to eight bits where weights have few: a tenth of a nat here.
        assert float((likely.max(-1).values - chosen).max()) < (0.5 if "Q" in kind else 0.05), kind


def test_a_weight_beyond_float16_is_refused_where_the_format_has_no_room(tmp_path: Path) -> None:
    """65,504 is the largest float16; stored without a word it would be an infinity."""
    tiny.save_tokenizer(tmp_path)
    model = random_model("llama")
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = 70_000.0
    for kind in ("F32", "Q8_0", "BF16"):
        export(model, tmp_path, tmp_path / "m.gguf", kind)  # type: ignore[arg-type]
    with torch.no_grad():  # the last file's rounding is left in the model
        model.model.layers[0].mlp.up_proj.weight[0, 0] = 70_000.0
    with pytest.raises(CheckpointError, match=r"F16 cannot hold the tensor .*up_proj.* 7e\+04"):
        export(model, tmp_path, tmp_path / "m.gguf", "F16")


def test_the_tokenizer_in_the_file_is_the_one_beside_it(tmp_path: Path) -> None:
    tokenizer = tiny.save_tokenizer(tmp_path)
    export(random_model("llama"), tmp_path, tmp_path / "m.gguf", "F32")
    fields = gguf.GGUFReader(tmp_path / "m.gguf").fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    assert {token: i for i, token in enumerate(tokens)} == tokenizer.get_vocab()
    assert fields["tokenizer.ggml.pre"].contents() == "gpt-2"
    assert fields["tokenizer.ggml.eos_token_id"].contents() == tokenizer.eos_token_id


@pytest.mark.parametrize(
    ("architecture", "changes", "expected"),
    [
        ("gemma", {}, "no GGUF export for the architecture 'gemma'"),
        ("qwen3", {"head_dim": 32}, "read back from GGUF, its head_dim is 128, not 32"),
        ("llama", {"attention_bias": True}, "its attention_bias is False, not True"),
        ("llama", {"hidden_act": "gelu"}, "its hidden_act is silu, not gelu"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
            "its rope_parameters is ",
        ),
    ],
)
def test_what_would_be_read_back_as_another_model_is_refused(
    architecture: str, changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    tiny.save_tokenizer(tmp_path)
    with pytest.raises(CheckpointError, match=expected):
        export(random_model(architecture, **changes), tmp_path, tmp_path / "m.gguf", "F32")


def test_a_gguf_candidate_is_a_parent_like_any_other(base: Checkpoint, tmp_path: Path) -> None:
    q8 = tiny_jobs.train("quantize", base, tmp_path / "q8", scheme="gguf-q8_0")
    assert (q8.manifest.format, q8.gguf_file) == ("gguf", "model.gguf")
    assert q8.manifest.size_bytes == (q8.folder / "model.gguf").stat().st_size
    lora = tiny_jobs.train("lora", q8, tmp_path / "lora", steps=1)
    assert lora.manifest.format == "full"
    assert any("its parent is an adapter or a GGUF file" in note for note in lora.manifest.notes)


def test_a_gguf_candidate_may_be_what_a_sweep_takes(base: Checkpoint, tmp_path: Path) -> None:
    q8 = tiny_jobs.train("quantize", base, tmp_path / "q8", scheme="gguf-q8_0")
    taken = tiny_jobs.train("none", base, tmp_path / "taken", path=str(q8.folder))
    assert (taken.manifest.format, taken.gguf_file) == ("gguf", "model.gguf")
    assert taken.manifest.digest == q8.manifest.digest
    (q8.folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match="a GGUF file cannot be taken in"):
        tiny_jobs.train("none", base, tmp_path / "bare", path=str(q8.folder))


@pytest.mark.slow
def test_smollm2_is_written_as_llama_cpp_wrote_it(real_models: Path, tmp_path: Path) -> None:
    """Names, shapes and figures against llama.cpp's own file; the vocabulary token by token."""
    smollm = open_base(str(real_models / "smollm2-135m-instruct"))
    q8 = tiny_jobs.train("quantize", smollm, tmp_path / "q8", scheme="gguf-q8_0")
    ours, theirs = (
        gguf.GGUFReader(folder / name)
        for folder, name in (
            (q8.folder, q8.gguf_file), (smollm.weights_folder, smollm.gguf_file),
        )
    )  # fmt: skip
    assert {t.name: tuple(t.shape) for t in ours.tensors} == {
        t.name: tuple(t.shape) for t in theirs.tensors
    }
    for key, field in theirs.fields.items():
        if key.startswith(("llama.", "tokenizer.")) and key in ours.fields:
            assert ours.fields[key].contents() == field.contents(), key
    missing = {key for key in theirs.fields if key.startswith(("llama.", "tokenizer."))}
    assert missing - set(ours.fields) <= {"tokenizer.ggml.add_space_prefix"}

    # A query projection, rotated by llama.cpp's own converter; both are within a Q8_0 step.
    def values(reader: gguf.GGUFReader, name: str) -> Any:
        tensor = next(t for t in reader.tensors if t.name == name)
        return gguf.quants.dequantize(tensor.data, tensor.tensor_type)

    for name in ("blk.7.attn_q.weight", "blk.7.attn_k.weight", "token_embd.weight"):
        one, two = values(ours, name), values(theirs, name)
        assert np.abs(one - two).max() <= np.abs(two).max() / 127
    start, again = (
        tiny_jobs.logits(load_model(one)[0]).log_softmax(-1) for one in (smollm, q8)
    )  # fmt: skip
    # Eight bits, the embedding included: .0012 nats a token on WikiText-2, .006 on these.
    divergence = (start.exp() * (start - again)).sum(-1).mean()
    assert 0 < float(divergence) < 0.01
    assert (start.argmax(-1) == again.argmax(-1)).float().mean() > 0.9

"""Writes a model as one GGUF file, by the ``gguf`` package and under llama.cpp's names.

Block formats are ggml's, 32 weights with one float16 scale: Q8_0 (8.5 bits a weight), Q5_0 (5.5)
and Q4_0 (4.5); Q5_1 (6) and Q4_1 (5) have a float16 minimum besides. F16 and BF16 round each
weight. Vectors stay F32, and below 8 bits the embedding and the head are Q8_0. The ``gguf`` package
reads the other formats (Q4_K and its like) and does not write them. Source: the GGUF specification,
github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from steelyard.harness.checkpoints import read_config
from steelyard.harness.errors import CheckpointError
from steelyard.trainers.loops.libraries import gguf, numpy, torch, transformers
from steelyard.trainers.weights.gguf_tokenizer import add_tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"]

#: model_type -> GGUF architecture, for those whose export was read back and compared by a test.
ARCHITECTURES: Mapping[str, str] = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
#: Entries of a configuration that do not say what its weights compute.
_NOT_THE_MODEL = frozenset(
    {"architectures", "attention_dropout", "bos_token_id", "dtype", "eos_token_id"}
    | {"initializer_range", "pad_token_id", "pretraining_tp", "transformers_version"}
    | {"unk_token_id", "use_cache"}
)
_BLOCK = 32
#: Kinds without blocks, and those whose embedding and head keep eight bits.
_UNBLOCKED, _FEW_BITS = ("F32", "F16", "BF16"), ("Q5_1", "Q5_0", "Q4_1", "Q4_0")


def export(
    model: transformers.PreTrainedModel,
    tokenizer_folder: Path,
    file: Path,
    kind: Kind,
    *,
    with_tokenizer: bool = True,
) -> list[str]:
    """Write ``model`` (float weights) and the tokenizer in ``tokenizer_folder`` to ``file``.

    ``model`` is left with the weights that the file holds, rounded as they are there.

    ``with_tokenizer`` False: the file gets none, and llama.cpp refuses to load it.

    Returns:
        Notes on what the file does not hold.

    Raises:
        CheckpointError: an architecture that is not exported, one of its properties that
            transformers does not read back, weights that the format does not hold, or a tokenizer
            of which llama.cpp would make other tokens.
    """
    config = model.config
    architecture = _architecture(config, file)
    writer = gguf.GGUFWriter(file, architecture)
    _add_shape(writer, config, kind)
    if with_tokenizer:
        notes = add_tokenizer(writer, tokenizer_folder, config.vocab_size)
    else:
        notes = ["its tokenizer stands beside the GGUF file alone: llama.cpp does not load it"]
    names = gguf.get_tensor_name_map(
        next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture),
        config.num_hidden_layers,
    )
    parameters = dict(model.named_parameters())
    for name, values in _tensors(model).items():
        stem, _, suffix = name.rpartition(".")
        there = names.get_name(stem)
        if there is None:
            raise CheckpointError(f"GGUF has no name for the tensor {name}", file=file)
        if architecture == "llama":
            values = _interleaved(values, there, config)
        stored = _stored_as(values, there, kind)
        data, rounded = _quantized(numpy.ascontiguousarray(values), stored, name, file)
        writer.add_tensor(f"{there}.{suffix}", data, raw_dtype=stored)
        if architecture == "llama":
            rounded = _interleaved(rounded, there, config, back=True)
        with torch.no_grad():
            parameters[name].copy_(torch.tensor(rounded))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    _require_same(config, file)
    return notes


def _architecture(config: transformers.PretrainedConfig, file: Path) -> str:
    architecture = ARCHITECTURES.get(config.model_type)
    if architecture is None:
        raise CheckpointError(
            f"no GGUF export for the architecture '{config.model_type}'",
            file=file,
            fix=f"exported are {', '.join(ARCHITECTURES)}; others by llama.cpp's own converter",
        )
    return architecture


def _require_same(config: transformers.PretrainedConfig, file: Path) -> None:
    """Raise where transformers reads another model out of ``file`` than was written into it.

    The shape in a GGUF file says less than a configuration does: a scaled rotary embedding, biases,
    another activation or a head size that the reader does not expect are lost without a word.
    """
    read_back = read_config(file.parent, file.name).to_dict()
    for key, ours in config.to_dict().items():
        theirs = read_back.get(key)
        if key in _NOT_THE_MODEL or key.startswith("_") or ours == theirs:
            continue
        if (
            isinstance(ours, float)
            and isinstance(theirs, float)
            and math.isclose(ours, theirs, rel_tol=1e-6)
        ):  # GGUF keeps float32
            continue
        raise CheckpointError(
            f"read back from GGUF, its {key} is {theirs}, not {ours}",
            file=file,
            fix="use another scheme, or convert it by llama.cpp and name the file as a base",
        )


def _add_shape(writer: gguf.GGUFWriter, config: transformers.PretrainedConfig, kind: Kind) -> None:
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_type("model")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType["ALL_F32" if kind == "F32" else f"MOSTLY_{kind}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _tensors(model: transformers.PreTrainedModel) -> dict[str, NDArray[numpy.float32]]:
    """The parameters as float32 arrays; a head that is the embedding is not written twice."""
    return {
        name: parameter.detach().float().cpu().numpy()
        for name, parameter in model.named_parameters()
    }


def _interleaved(
    values: NDArray[numpy.float32],
    name: str,
    config: transformers.PretrainedConfig,
    *,
    back: bool = False,
) -> NDArray[numpy.float32]:
    """Rows of a query or key projection in GGUF's order, or ``back`` from it.

    Transformers rotates the first half of a head against the second, llama.cpp neighbours against
    each other: within each head, row i of the first half goes before row i of the second.
    """
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    count = heads.get(name.rpartition(".")[2])
    if count is None:
        return values
    half = values.shape[0] // count // 2
    halves = values.reshape(count, *((half, 2) if back else (2, half)), *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def _stored_as(values: NDArray[numpy.float32], name: str, kind: Kind) -> gguf.GGMLQuantizationType:
    if values.ndim == 1 or (kind not in _UNBLOCKED and values.shape[-1] % _BLOCK):
        return gguf.GGMLQuantizationType.F32
    if kind in _FEW_BITS and name in ("token_embd", "output"):
        return gguf.GGMLQuantizationType.Q8_0
    return gguf.GGMLQuantizationType[kind]


def _quantized(
    values: NDArray[numpy.float32], stored: gguf.GGMLQuantizationType, name: str, file: Path
) -> tuple[NDArray[numpy.generic], NDArray[numpy.float32]]:
    """The tensor in its format, and the floats that it stands for by then.

    Raises where a weight, or a block's scale, is too large for it.
    """
    with numpy.errstate(over="ignore", invalid="ignore"):
        data: NDArray[numpy.generic] = gguf.quants.quantize(values, stored)
        kept = gguf.quants.dequantize(data, stored)
    if not numpy.isfinite(kept).all():
        raise CheckpointError(
            f"{stored.name} cannot hold the tensor {name}: a weight of {abs(values).max():.3g} is "
            "beyond float16",
            file=file,
            fix="use gguf-bf16, or a scheme without float16 scales",
        )
    return data, kept

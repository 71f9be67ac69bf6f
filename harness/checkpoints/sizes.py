"""Whether a model can be built: what its configuration promises, held against its weights.

A line of ``config.json`` can ask for a hundred thousand layers, and a library that builds them
first and looks for their weights then fills the memory. The headers of the weights say how many
tensors and numbers there are, without reading one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from steelyard.harness.checkpoints.digests import tensor_shapes
from steelyard.harness.checkpoints.folder import CONFIG, model_config, weight_files
from steelyard.harness.environment import total_memory_bytes
from steelyard.harness.errors import CheckpointError

#: Configurations' names of how many blocks there are: each has a tensor of its own at least.
_BLOCKS = (
    *("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers"),
    *("encoder_layers", "decoder_layers"),
)
#: ... and of the length of a tensor's side.
_SIDES = (
    *("vocab_size", "hidden_size", "intermediate_size", "n_embd", "n_inner", "d_model", "d_ff"),
    *("ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim", "word_embed_proj_dim"),
)
#: So many are built in no time: what is wrong with fewer is said by whoever loads the weights.
_FREE_BLOCKS, _FREE_SIDE = 1_000, 1_000_000


def require_buildable(folder: Path, bytes_each: int | None) -> None:
    """Refuse a model that is larger by its configuration than by its weights, or than the memory.

    Args:
        folder: full weights in safetensors, with their configuration.
        bytes_each: of a number once it is in this machine's memory; None where numbers are packed.

    Raises ``CheckpointError``.
    """
    files = weight_files(folder)
    shapes = tensor_shapes(files)
    bits = 8 * sum(file.stat().st_size for file in files)
    numbers = min(sum(map(_numbers, shapes)), bits)  # a header may claim anything
    for key, value in _whole_numbers(model_config(folder)):
        name = key.rpartition(".")[2]
        most, unit = (len(shapes), "tensors") if name in _BLOCKS else (bits, "numbers")
        free = _FREE_BLOCKS if name in _BLOCKS else _FREE_SIDE
        if name in (*_BLOCKS, *_SIDES) and value > max(most, free):
            raise CheckpointError(
                f"is more than its weights have {unit} ({most:,})",
                file=folder / CONFIG,
                key=key,
                value=value,
                fix="copy config.json again from where the weights come from",
            )
    memory = total_memory_bytes()
    if bytes_each is not None and memory is not None and numbers * bytes_each > memory:
        raise CheckpointError(
            f"needs {numbers * bytes_each / 1e9:,.0f} GB of memory for its weights, and this "
            f"machine has {memory / 1e9:,.0f}",
            file=folder,
            fix="use a larger machine, a GPU, or a quantised checkpoint",
        )


def _numbers(shape: list[int]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


def _whole_numbers(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    """Dotted key and value of every whole number, those of nested configurations too."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _whole_numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int) and not isinstance(value, bool):
            yield f"{prefix}{key}", value

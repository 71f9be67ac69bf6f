"""A model's folder checked before another library reads it, which checks less.

transformers fills what a folder lacks with random numbers, and PEFT starts at random what an
adapter's file lacks, each with a warning. Here their tensors are held against the model, of which
only the shapes are made, and their numbers are read one tensor at a time.
"""

from __future__ import annotations

from pathlib import Path

from steelyard.harness.checkpoints.adapters import read_adapters
from steelyard.harness.checkpoints.folder import ADAPTER_WEIGHTS, weight_files
from steelyard.harness.checkpoints.model import find_source, require_text
from steelyard.harness.checkpoints.weights import (
    read_config,
    read_weights,
    require_numbers,
    text_class,
    weights_without_numbers,
)
from steelyard.harness.environment import quiet


def require_whole_folder(
    folder: Path, adapter: str | Path | None = None, gguf_file: str | None = None
) -> None:
    """Refuse a model, or an adapter, that is not whole; no Python of the folder runs.

    Args:
        folder: as ``path_or_id`` of :func:`steelyard.harness.checkpoints.find_source`.
        adapter: a PEFT adapter that is to be put on it.
        gguf_file: the file to read where the folder holds several; it is read in full.

    Raises:
        CheckpointError: a tensor is missing, left over, of another shape or not of numbers; it is
            no text model; or its weights are packed in a way that cannot be looked into here.
    """
    source = find_source(folder, adapter, gguf_file)
    weights = Path(source.weights)
    with quiet():
        config = read_config(weights, source.gguf_file)
        require_text(config, source)
        kind = text_class(config)
        if source.gguf_file is None:
            model = weights_without_numbers(kind, weights)
            _require_numbers(weight_files(weights))
        else:
            model = read_weights(kind, weights, gguf_file=source.gguf_file, config=config).model
        if source.adapter is not None:
            read_adapters(model, {"default": Path(source.adapter)})
            _require_numbers([Path(source.adapter) / ADAPTER_WEIGHTS])


def _require_numbers(files: list[Path]) -> None:
    from safetensors import safe_open

    for file in files:
        with safe_open(str(file), framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  it is no mapping
                value = tensors.get_tensor(name)
                if value.is_floating_point() and value.numel():
                    value = value.float() if value.dtype.itemsize == 1 else value
                    require_numbers([(name, value)], file.parent)

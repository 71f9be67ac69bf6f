"""The one door through which a model's weights are read: all of them, and nothing else.

transformers fills what a file lacks with random numbers, and passes over what has no place in the
model, with a warning; so a checkpoint without one matrix scores, each time otherwise. Here the
model has every tensor of its own from the folder, every tensor of the folder has a place in the
model, their shapes agree, and all of them are numbers. Tensors that are tied to others, and those
that the model's own class in transformers passes over (constants that older versions stored, heads
that it does not have), are apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from steelyard.harness.checkpoints.digests import stored_as_integers
from steelyard.harness.checkpoints.foreign import own_python
from steelyard.harness.checkpoints.gguf_header import read_header
from steelyard.harness.checkpoints.shown import shown_model
from steelyard.harness.checkpoints.sizes import require_buildable
from steelyard.harness.errors import STOPPING, CheckpointError
from steelyard.harness.files import one_line

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

#: Experts in a GGUF file are split by transformers without a name of their own; see its
#: ``modeling_gguf_pytorch_utils``.
_GGUF_EXPERTS = re.compile(r"_exps\.|_shexp\.|_inp_shexp\.")
#: Factors of the rotary embedding, which transformers does not read; 1 everywhere they do nothing.
_GGUF_ROTARY = "rope_freqs.weight"
#: BERT's heads of another task, which stand beside its language model's; transformers 4 passed over
#: them too.
_OTHER_HEADS = re.compile(r"^(\w+\.)?pooler\.|^cls\.seq_relationship\.")
_COPY_AGAIN = (
    "copy the weights again, or name the kind of model in config.json (architectures) that they "
    "are of"
)


class _Kind(Protocol):
    """A class of transformers that reads a folder."""

    def from_pretrained(self, *positional: Any, **named: Any) -> Any:
        """The model; with ``output_loading_info`` also what was missing and left over."""


class Weights(NamedTuple):
    """A model with all its weights, on the device that it was read to."""

    model: PreTrainedModel
    notes: tuple[str, ...]
    """What is odd about them, for people."""


def read_config(folder: Path, gguf_file: str | None = None) -> PretrainedConfig:
    """The configuration of the model in ``folder``; Python of the folder runs where it is trusted.

    Raises:
        CheckpointError: there is none that transformers reads.
    """
    import transformers

    python = own_python(folder)
    if gguf_file is not None:
        read_header(folder / gguf_file)
    with shown_model(folder, gguf_file, python) as shown:
        try:
            config: PretrainedConfig = transformers.AutoConfig.from_pretrained(
                shown,
                local_files_only=True,
                trust_remote_code=python is not None,
                **_named(gguf_file),
            )
        except (MemoryError, *STOPPING):
            raise
        except BaseException as error:  # whatever a stranger's configuration makes libraries raise
            raise cannot_be_opened(error, folder, shown, gguf_file) from error
    return config


def text_class(config: PretrainedConfig) -> _Kind:
    """The class of transformers that opens a text model of this configuration."""
    import transformers

    is_two_part = getattr(config, "is_encoder_decoder", False)
    kind: _Kind = (
        transformers.AutoModelForSeq2SeqLM if is_two_part else transformers.AutoModelForCausalLM
    )
    return kind


def read_weights(
    kind: _Kind,
    folder: Path,
    *,
    gguf_file: str | None = None,
    config: PretrainedConfig | None = None,
    with_new_head: bool = False,
    **options: Any,
) -> Weights:
    """``kind.from_pretrained`` with ``options``; Python of the folder runs where it is trusted.

    Args:
        kind: ``AutoModelForCausalLM``, a class of models, ...
        folder: a model folder; of what lies there only what counts is shown.
        gguf_file: the file of it that holds the weights.
        config: what :func:`read_config` gave of that file, where the caller has it: reading a GGUF
            file's settings takes seconds.
        with_new_head: whether ``kind`` has another head than the folder: what lies outside the base
            model may then be missing (the new one, or one that is not asked) and left over.
        options: of ``from_pretrained``.

    Raises:
        CheckpointError: it cannot be opened, or is larger than its weights or the memory; a tensor
            is missing, left over, of another shape, or not of numbers.
    """
    # A class that is there already looks for none.
    python = None if _is_model(kind) else own_python(folder)
    if gguf_file is None:
        # Read into this machine's memory first, wherever they go; packed ones have no dtype.
        packed = "device_map" in options
        require_buildable(
            folder, None if packed else getattr(options.get("dtype"), "itemsize", None)
        )
    else:
        config = config or read_config(folder, gguf_file)
        read_header(folder / gguf_file).require_holds(_parameters(config, folder))
    model, loading = _loaded(kind, folder, gguf_file, python, options)
    _require_whole(loading, folder, _own_parts(model) if with_new_head else None)
    if gguf_file is not None:
        _require_whole_gguf(model, folder / gguf_file)
    elif getattr(model.config, "quantization_config", None) is None:
        _require_floats(model, folder)
    zeros = require_numbers(floats_of(model), folder)
    return Weights(model, _zero_note(zeros))


def weights_without_numbers(kind: _Kind, folder: Path) -> PreTrainedModel:
    """The model of ``folder`` on torch's ``meta`` device, which has shapes and no numbers.

    Raises:
        CheckpointError: it cannot be opened, or a tensor is missing, left over or of another shape.
    """
    python = own_python(folder)
    model, loading = _loaded(kind, folder, None, python, {"device_map": "meta"})
    _require_whole(loading, folder, None)
    return model


def _loaded(
    kind: _Kind,
    folder: Path,
    gguf_file: str | None,
    python: str | None,
    options: Mapping[str, object],
) -> tuple[PreTrainedModel, Mapping[str, Collection[Any]]]:
    """What transformers makes of the files that count, and what it says of their tensors."""
    with shown_model(folder, gguf_file, python) as shown:
        try:
            model, loading = kind.from_pretrained(
                shown,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # the caller refuses them, by their shapes
                local_files_only=True,
                trust_remote_code=python is not None,
                **_named(gguf_file),
                **options,
            )
        except (MemoryError, *STOPPING):
            raise
        except BaseException as error:
            raise cannot_be_opened(error, folder, shown, gguf_file) from error
    return model, loading


def _parameters(config: PretrainedConfig, folder: Path) -> int:
    """The numbers of the model that a configuration describes; no memory is taken for them."""
    import torch
    import transformers

    try:
        with torch.device("meta"):
            model = transformers.AutoModel.from_config(config)
    except (MemoryError, *STOPPING):
        raise
    except BaseException as error:  # whatever a stranger's sizes make libraries raise
        raise cannot_be_opened(error, folder, folder) from error
    return sum(parameter.numel() for parameter in model.parameters())


def _is_model(kind: _Kind) -> bool:
    from transformers import PreTrainedModel

    return isinstance(kind, type) and issubclass(kind, PreTrainedModel)


def _named(gguf_file: str | None) -> dict[str, object]:
    return {} if gguf_file is None else {"gguf_file": gguf_file}


def cannot_be_opened(
    error: BaseException, folder: Path, shown: Path, gguf_file: str | None = None
) -> CheckpointError:
    """What a library raised, in one line that names the folder, or the file, instead of links."""
    fix = "name a folder or hub id with config.json and safetensors or GGUF weights"
    problem = first_line(error).replace(str(shown), str(folder))
    file = folder / (gguf_file or "")
    return CheckpointError(f"cannot be opened: {problem}", file=file, fix=fix)


def first_line(error: BaseException) -> str:
    """The first line of an error, with the second where the first only announces it."""
    text = str(error).strip().splitlines()
    if not text:
        return type(error).__name__
    return " ".join(text[:2]) if text[0].endswith(":") else text[0]


def _require_whole(
    loading: Mapping[str, Collection[Any]], folder: Path, parts: Collection[str] | None
) -> None:
    """Refuse weights that are not, tensor for tensor, those of these parts of the model."""
    missing = _within(parts, loading["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{len(missing)} tensors of the model are not in its weights, such as {missing[0]}: "
            "they would be random numbers",
            file=folder,
            fix=_COPY_AGAIN,
        )
    unexpected = _within(parts, loading["unexpected_keys"])
    unexpected = [name for name in unexpected if not _OTHER_HEADS.search(name)]
    if unexpected:
        raise CheckpointError(
            f"{len(unexpected)} tensors of its weights have no place in the model, such as "
            f"{one_line(unexpected[0])}: what they do would be left out",
            file=folder,
            fix=f"{_COPY_AGAIN}, or remove what is no part of the model",
        )
    for name, stored, expected in loading["mismatched_keys"]:
        raise CheckpointError(
            f"the tensor {name} has the shape {tuple(stored)} in its weights and "
            f"{tuple(expected)} in the model",
            file=folder,
            fix="copy config.json and the weights from one place",
        )


def _within(parts: Collection[str] | None, names: Collection[str]) -> list[str]:
    return sorted(n for n in names if parts is None or n.partition(".")[0] in parts)


def _own_parts(model: PreTrainedModel) -> set[str]:
    """What the names of the base model's tensors begin with; its pooler is a head."""
    parts = {str(model.base_model_prefix)}
    if model.base_model is model:
        parts |= {name for name, _ in model.named_children()} - {"pooler"}
    return parts


def _require_floats(model: PreTrainedModel, folder: Path) -> None:
    """Refuse integers in place of weights: their scales are missing, and they would be cast."""
    weights = {name for name, value in model.named_parameters() if value.is_floating_point()}
    whole_numbers = sorted(weights & stored_as_integers(folder))
    if whole_numbers:
        raise CheckpointError(
            f"the tensor {whole_numbers[0]} is stored as integers, and config.json does not say "
            "which weights they stand for (quantization_config)",
            file=folder,
            fix="copy config.json from where the weights come from",
        )


def _require_whole_gguf(model: PreTrainedModel, file: Path) -> None:
    """Refuse a GGUF file with tensors that transformers passes over without a word."""
    import gguf
    from transformers import modeling_gguf_pytorch_utils as reading

    reader = gguf.GGUFReader(str(file))
    processor = reading.TENSOR_PROCESSORS.get(
        str(reader.fields["general.architecture"].contents()), reading.TensorProcessor
    )(config=model.config.to_dict())
    places = reading.get_gguf_hf_weights_map(model, processor)
    for tensor in reader.tensors:
        name = str(tensor.name)
        if name in places or _GGUF_EXPERTS.search(name):
            continue
        if name == _GGUF_ROTARY and bool((tensor.data == 1).all()):
            continue
        raise CheckpointError(
            f"transformers has no place for the tensor {name}: what it does would be left out",
            file=file,
            fix="use the model's safetensors, or score it through a server (backend: lm-eval:...)",
        )


def require_numbers(tensors: Iterable[tuple[str, torch.Tensor]], folder: Path) -> list[str]:
    """Refuse a tensor with NaN or infinity: nothing that is computed with it is a number.

    Returns:
        Names of the matrices that are zero everywhere. They are numbers, and some methods leave
        such; where nobody does, they are the mark of a file that was not copied to its end.

    Raises:
        CheckpointError: by the tensor's name.
    """
    import torch

    zeros = []
    for name, value in tensors:
        low, high = torch.aminmax(value)
        if not bool(torch.isfinite(low) & torch.isfinite(high)):
            raise CheckpointError(
                f"the tensor {name} is not finite: it holds NaN or infinity",
                file=folder,
                fix="copy the weights again; where they were trained so, train them again",
            )
        if value.ndim > 1 and not bool(low) and not bool(high):
            zeros.append(name)
    return zeros


def _zero_note(names: list[str]) -> tuple[str, ...]:
    if not names:
        return ()
    count = f"{len(names)} matrices are" if len(names) > 1 else "1 matrix is"
    return (f"{count} zero everywhere, such as {names[0]}",)


def floats_of(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and values of every parameter of floats; of packed ones what they stand for."""
    import torch

    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point() or not parameter.numel():
            continue
        # torchao's tensors stand for floats, and do not take every operation; nor do 8-bit floats.
        packed = type(parameter) not in (torch.Tensor, torch.nn.Parameter)
        value = (parameter.dequantize() if packed else parameter).detach()
        yield name, value.float() if value.dtype.itemsize == 1 else value

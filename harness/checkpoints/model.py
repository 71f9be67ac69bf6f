"""Opens a checkpoint as a transformers model and its tokenizer, or says in one line why not.

Weights are safetensors or GGUF: a pickle can run code when it is read, so it is refused. No code
of a checkpoint is run. A folder is read from the disk alone; a hub id goes where ``HF_HUB_OFFLINE``
and the cache let it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.harness.checkpoints.adapters import apply_adapter
from steelyard.harness.checkpoints.bases import (
    base_of_adapter,
    model_folder,
    registered_or_downloaded,
)
from steelyard.harness.checkpoints.causality import require_causal
from steelyard.harness.checkpoints.chat_time import limit_template, tell_fixed_time
from steelyard.harness.checkpoints.folder import (
    ADAPTER_CONFIG,
    has_tokenizer,
    is_adapter,
    only_gguf,
    require_safetensors,
    tokenizer_folder,
)
from steelyard.harness.checkpoints.foreign import own_tokenizer_python
from steelyard.harness.checkpoints.four_bits import keep_layout
from steelyard.harness.checkpoints.own_files import refuse_links_out
from steelyard.harness.checkpoints.shown import shown_tokenizer
from steelyard.harness.checkpoints.weights import first_line, read_config, read_weights, text_class
from steelyard.harness.environment import quiet
from steelyard.harness.errors import STOPPING, CheckpointError

if TYPE_CHECKING:
    import torch
    from transformers import (
        PretrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
    )


@dataclass(frozen=True)
class Source:
    """The folders that the parts of a checkpoint are read from."""

    weights: str
    tokenizer: str
    gguf_file: str | None = None
    adapter: str | None = None


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode on its device, and the tokenizer that belongs to it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    source: Source
    is_encoder_decoder: bool
    notes: tuple[str, ...] = ()
    """What is odd about its weights, for people."""


def find_source(
    path_or_id: str | Path, adapter: str | Path | None = None, gguf_file: str | None = None
) -> Source:
    """Say what is to be read, without reading weights.

    ``path_or_id`` is a model folder, an adapter folder (its base is taken from
    ``adapter_config.json``), a GGUF file, a folder that holds one, or a hub id.

    Raises:
        CheckpointError: no weights, only pickled weights, several GGUF files and none named, or a
            GGUF file without a tokenizer beside it.
    """
    path = Path(path_or_id)
    if path.suffix == ".gguf" and path.is_file():
        path, gguf_file = path.parent, path.name
    if not path.is_dir():
        if path.exists() or path.is_absolute() or str(path_or_id).startswith("."):
            raise CheckpointError("no such model folder", file=path_or_id, fix="check the path")
        path = registered_or_downloaded(str(path_or_id))
    refuse_links_out(path)
    if adapter is None and is_adapter(path):
        base = find_source(base_of_adapter(path))
        if base.adapter is not None:
            fix = "merge that adapter into its base first (a candidate with trainer: merge)"
            raise CheckpointError(
                "its base is an adapter too", file=path, value=base.adapter, fix=fix
            )
        tokenizer = str(path) if has_tokenizer(path) else base.tokenizer
        return Source(base.weights, tokenizer, base.gguf_file, _adapter(path))
    gguf_file = gguf_file or only_gguf(path)
    if gguf_file is None:
        require_safetensors(path, "model")
    tokenizer = str(tokenizer_folder(path))
    if adapter is not None and has_tokenizer(Path(adapter)):
        tokenizer = str(adapter)
    return Source(str(path), tokenizer, gguf_file, _adapter(adapter))


def load_model_folder(
    path_or_id: str | Path,
    *,
    adapter: str | Path | None = None,
    gguf_file: str | None = None,
    device: str | None = None,
    dtype: torch.dtype | str | None = None,
) -> LoadedModel:
    """Load weights, adapter and tokenizer and check that they belong together.

    Args:
        path_or_id: see :func:`find_source`.
        adapter: a PEFT adapter folder to put on the model.
        gguf_file: the file to read where a folder holds several.
        device: a torch device; the GPU where there is one, else the CPU.
        dtype: None is fp32 on a CPU and the checkpoint's own on a GPU.

    Raises:
        CheckpointError: the checkpoint cannot be opened, its vocabulary is larger than its
            embedding, its adapter has no effect, or it predicts tokens from those behind them.
    """
    source = find_source(path_or_id, adapter, gguf_file)
    with quiet():
        model, notes = _load_model(source, *_placement(device, dtype))
        require_causal(model.eval(), source.weights)
        if source.adapter is not None:
            model = apply_adapter(model, Path(source.adapter))
        tokenizer = open_tokenizer(Path(source.tokenizer), Path(source.weights))
        _check_vocabulary(model, tokenizer, source)
    model.eval()
    encoder_decoder = bool(getattr(model.config, "is_encoder_decoder", False))
    return LoadedModel(model, tokenizer, source, encoder_decoder, notes)


def _placement(
    device: str | None, dtype: torch.dtype | str | None
) -> tuple[str, torch.dtype | str]:
    import torch

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype is None:
        dtype = torch.float32 if device == "cpu" else "auto"
    elif isinstance(dtype, str) and dtype != "auto":
        named = getattr(torch, dtype, None)
        if not isinstance(named, torch.dtype):
            fix = "use float32, bfloat16, float16 or auto"
            raise CheckpointError("unknown dtype", key="dtype", value=dtype, fix=fix)
        dtype = named
    return device, dtype


def _load_model(
    source: Source, device: str, dtype: torch.dtype | str
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    folder = Path(source.weights)
    config = read_config(folder, source.gguf_file)
    require_text(config, source)
    automatic = text_class(config)
    quantized = getattr(config, "quantization_config", None) is not None
    options: dict[str, Any] = {"device_map": {"": device}} if quantized else {}
    weights = read_weights(
        automatic, folder, gguf_file=source.gguf_file, config=config, dtype=dtype, **options
    )
    model = weights.model
    _state_origin(model, source)
    if quantized:
        keep_layout(model)
        _require_quantised(model, source)
        return model, weights.notes
    return model.to(device), weights.notes


def _require_quantised(model: PreTrainedModel, source: Source) -> None:
    """Refuse weights that are not what config.json says of their quantisation.

    A method that transformers does not know is passed over there with a warning, and what is
    stored is then read as if it were the weights; plain weights under a method of packed ones fail
    somewhere in the first pass.
    """
    import torch

    refusal = functools.partial(
        CheckpointError,
        file=Path(source.weights) / "config.json",
        key="quantization_config",
        fix="copy config.json and the weights from one place",
    )
    stated = getattr(model.config, "quantization_config", None)
    if stated is None:
        return  # FP8 and MXFP4 become plain floats where no kernel computes with them
    if getattr(model, "quantization_method", None) is None:
        method = stated.get("quant_method") if isinstance(stated, dict) else stated
        raise refusal("a quantisation that transformers does not know", value=method)
    ids = torch.ones((1, 2), dtype=torch.long, device=model.device)
    decoder = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    try:
        with torch.inference_mode():
            model.eval()(input_ids=ids, use_cache=False, **decoder)
    except Exception as error:  # whatever a kernel makes of tensors that are not its own
        problem = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise refusal(f"the weights are not stored in this way: {problem}") from error


def _state_origin(model: PreTrainedModel, source: Source) -> None:
    """Say where the model comes from: it was read through links that are gone by now.

    ``use_cache`` is how a training ran, not what the model computes; scorers set it themselves.
    """
    model.name_or_path = model.config._name_or_path = source.weights
    model.config.use_cache = True
    settings = getattr(model, "generation_config", None)
    if settings is not None and settings.use_cache is False:
        settings.use_cache = True


#: What the class that saved a model is for, at the end of its name, where that is to give texts.
_FOR_TEXTS = ("CausalLM", "ConditionalGeneration", "Seq2SeqLM", "ImageTextToText")
#: Left to the model itself, which is asked what it predicts from (``causality``).
_FOR_GAPS = ("MaskedLM", "PreTraining")


def require_text(config: PretrainedConfig, source: Source) -> None:
    """Refuse a model whose class says that it is for something else than texts.

    Where the embedding is the output matrix too, a classifier's weights open as a whole text model,
    and every number that comes out looks like one.
    """
    names = tuple(map(str, getattr(config, "architectures", None) or ()))
    purposes = [name.rpartition("For")[2] for name in names if "For" in name]
    if not purposes or any(purpose in _FOR_TEXTS + _FOR_GAPS for purpose in purposes):
        return
    if purposes[0] == "SequenceClassification":
        fix = "name it as a reward of grpo or rloo, and score a model that was trained with it"
        raise CheckpointError("gives a reward, not text", file=source.weights, fix=fix)
    raise CheckpointError(
        f"is a {names[0]}, which gives no text",
        file=source.weights,
        key="architectures",
        fix="score the model that it was made from",
    )


def open_tokenizer(folder: Path, weights: Path | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer in ``folder``, for the model in ``weights`` (None: the same folder).

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    import transformers

    python = own_tokenizer_python(folder)
    with shown_tokenizer(folder, weights or folder, python) as shown:
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                shown, local_files_only=True, trust_remote_code=python is not None
            )
        except (MemoryError, *STOPPING):
            raise
        except BaseException as error:  # whatever a stranger's files make libraries raise: panics
            raise _unreadable(error, folder, shown) from error
    _state_files(tokenizer, shown, folder)
    tell_fixed_time(tokenizer)
    limit_template(tokenizer)
    return tokenizer


def _state_files(tokenizer: PreTrainedTokenizerBase, shown: Path, folder: Path) -> None:
    """Let the tokenizer name its own files: it was read through links that are gone by now."""
    for names in (tokenizer.__dict__, tokenizer.init_kwargs):
        for key, value in names.items():
            if isinstance(value, str) and value.startswith(str(shown)):
                names[key] = str(folder) + value.removeprefix(str(shown))


def _unreadable(error: BaseException, folder: Path | str, shown: Path | str) -> CheckpointError:
    problem = first_line(error).replace(str(shown), str(folder))
    fix = "put tokenizer.json and tokenizer_config.json beside the weights"
    return CheckpointError(f"no readable tokenizer: {problem}", file=folder, fix=fix)


def _check_vocabulary(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: Source
) -> None:
    rows = int(model.get_input_embeddings().weight.shape[0])
    tokens = 1 + max(tokenizer.get_vocab().values(), default=-1)
    if tokens > rows:
        fix = "use the tokenizer that the model was trained with, or resize the embedding"
        if source.adapter is not None:
            fix = (
                "save the adapter again with save_embedding_layers=True, which keeps the rows of "
                "the tokens that were added"
            )
        raise CheckpointError(
            f"the tokenizer has {tokens:,} tokens, the embedding {rows:,} rows",
            file=source.tokenizer,
            fix=fix,
        )


def _adapter(adapter: str | Path | None) -> str | None:
    if adapter is None:
        return None
    folder = model_folder(str(adapter))
    refuse_links_out(folder)
    if not is_adapter(folder):
        fix = "name the folder that PEFT saved"
        raise CheckpointError(f"no {ADAPTER_CONFIG} there", file=folder, fix=fix)
    require_safetensors(folder, "adapter")
    return str(folder)

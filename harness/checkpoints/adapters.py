"""Puts a PEFT adapter on a model and proves that it is there.

A mismatch between an adapter's key names and the model's modules is only a warning in PEFT: the
model then scores as its base, and every comparison says "no difference". So three things are
checked: the tensors of the file are in the model, those that its configuration asks for are in the
file, and the logits differ from the base's, unless the adapter does nothing by construction
(freshly made: all LoRA B are zero).

An adapter whose training added tokens brings the embedding's rows along; the base is resized to
them first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.harness.checkpoints.folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from steelyard.harness.checkpoints.foreign import refuse_foreign_adapter
from steelyard.harness.checkpoints.merging import beneath
from steelyard.harness.checkpoints.shown import shown_adapter
from steelyard.harness.checkpoints.weights import first_line, require_numbers
from steelyard.harness.errors import CheckpointError, located
from steelyard.harness.files import one_line, read_json_object

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

_NAME_THE_BASE = "name the base model that the adapter was trained on"
#: PEFT's kinds of tasks that classify.
_NO_TEXT = ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS")
#: Tokens that the effect of an adapter is looked for on.
_PROBE_TOKENS = 16
#: Rows of an embedding that are compared at a time.
_CHUNK_ROWS = 4096

#: Ten times what the deepest models have.
_MOST_LAYERS = 1_000


def apply_adapter(model: PreTrainedModel, adapter: Path) -> PeftModel:
    """Return the model with the adapter on it.

    Raises:
        CheckpointError: the adapter does not fit the model, makes something else than a text model
            of it, or has no effect although it should.
    """
    with located(file=adapter):
        _require_text_adapter(adapter / ADAPTER_CONFIG)
    adapted = read_adapters(model, {"default": adapter})
    adapted.eval()
    with located(file=adapter):
        _check_effect(adapted)
    return adapted


def _require_text_adapter(file: Path) -> None:
    """Refuse an adapter that was trained for something else than texts, or for parts of a row."""
    config = read_json_object(file, CheckpointError)
    task = config.get("task_type")
    if task in _NO_TEXT:
        fix = "score the model that it was made from"
        raise CheckpointError("the adapter gives no text", key="task_type", value=task, fix=fix)
    if config.get("alora_invocation_tokens") is not None:
        # Texts that share a beginning are run through the model once, and it counts from the place
        # of these tokens in a whole row.
        raise CheckpointError(
            "the adapter is switched on by tokens within a text (aLoRA), which is not supported",
            key="alora_invocation_tokens",
            value=config["alora_invocation_tokens"],
            fix="train it as plain LoRA",
        )


def read_adapters(model: PreTrainedModel, folders: Mapping[str, Path]) -> PeftModel:
    """Put the adapters in ``folders`` on the model, by name: the one door through which they come.

    Raises:
        CheckpointError: one does not fit the model: a tensor of its file has no place there, or one
            that its configuration asks for is not in its file (PEFT only warns of some, and starts
            them at random); or its configuration leads elsewhere.
    """
    import peft

    adapted: PeftModel | None = None
    for name, folder in folders.items():
        refuse_foreign_adapter(folder)
        _require_few_layers(folder / ADAPTER_CONFIG)
        with located(file=folder), shown_adapter(folder) as shown:
            try:
                if adapted is None:
                    _fit_vocabulary(model, _shapes(folder / ADAPTER_WEIGHTS))
                    adapted = peft.PeftModel.from_pretrained(
                        model, str(shown), adapter_name=name, is_trainable=False
                    )
                else:
                    adapted.load_adapter(str(shown), adapter_name=name)
            except (OSError, ValueError, KeyError, RuntimeError) as error:
                problem = f"does not fit the model: {first_line(error)}"
                if isinstance(error, KeyError):
                    problem = f"its file lacks the tensor {error}"
                raise CheckpointError(problem, fix=_NAME_THE_BASE) from error
            _require_whole(adapted, name, folder / ADAPTER_WEIGHTS)
    assert adapted is not None, "one adapter at least"
    return adapted


def _require_few_layers(file: Path) -> None:
    """Refuse a ``layer_replication`` beyond any model: PEFT builds every layer that it names before
    it looks for a weight.
    """
    ranges = read_json_object(file, CheckpointError).get("layer_replication") or []
    try:
        count = sum(max(0, int(end) - int(start)) for start, end in ranges)
    except (TypeError, ValueError, OverflowError):
        count = _MOST_LAYERS + 1
    if count > _MOST_LAYERS:
        raise CheckpointError(
            f"is no list of ranges that make at most {_MOST_LAYERS} layers",
            file=file,
            key="layer_replication",
            fix="copy the adapter again",
        )


def _shapes(file: Path) -> Mapping[str, tuple[int, ...]]:
    """The shape of every tensor of an adapter's file; none where there is no such file."""
    if not file.is_file():
        return {}
    from safetensors import safe_open

    with safe_open(str(file), framework="pt") as tensors:
        names = tensors.keys()
        return {name: tuple(tensors.get_slice(name).get_shape()) for name in names}


def _fit_vocabulary(model: PreTrainedModel, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Resize the embedding to the rows that an adapter brings along.

    Raises:
        CheckpointError: it brings rows for new tokens of one of two embeddings that are not tied.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    rows = int(embedding.weight.shape[0])
    tied = head is not None and head.weight is embedding.weight
    own = {
        module: _rows(model, module, shapes) for module in (embedding, head) if module is not None
    }
    brought = {count for count in own.values() if count is not None}
    if not brought or brought == {rows}:
        return
    if len(brought) > 1 or (None in own.values() and max(brought) > rows and not tied):
        raise CheckpointError(
            f"it brings {max(brought):,} rows for the embedding or for the head, and not for the "
            f"other, which has {rows:,} in the base",
            fix="save the adapter again with save_embedding_layers=True",
        )
    # The new rows are overwritten by the adapter's: how they start does not matter.
    model.resize_token_embeddings(brought.pop(), mean_resizing=False)


def _rows(
    model: PreTrainedModel, module: torch.nn.Module, shapes: Mapping[str, tuple[int, ...]]
) -> int | None:
    """The rows that an adapter's file has for a module of the model; None: it has none."""
    name = next(name for name, other in model.named_modules() if other is module)
    for suffix in ("weight", "base_layer.weight"):
        shape = shapes.get(f"base_model.model.{name}.{suffix}")
        if shape is not None:
            return shape[0]
    return None


def _require_whole(adapted: PeftModel, name: str, file: Path) -> None:
    """The file has each tensor that PEFT would store of the adapter, and no other; all numbers."""
    from peft import get_peft_model_state_dict

    shapes = _shapes(file)
    there = get_peft_model_state_dict(adapted, adapter_name=name)
    strangers = sorted(shapes.keys() - there.keys() - _whole_embeddings(adapted))
    if strangers:
        raise CheckpointError(
            f"{len(strangers)} of its tensors found no place in the model, such as "
            f"{one_line(strangers[0])}",
            fix=_NAME_THE_BASE,
        )
    # Of whole embeddings PEFT stores some besides; those of the base are right where it did not.
    needed = get_peft_model_state_dict(adapted, adapter_name=name, save_embedding_layers=False)
    missing = sorted(needed.keys() - shapes.keys())
    if missing:
        raise CheckpointError(
            f"{len(missing)} tensors that {ADAPTER_CONFIG} asks for are not in {file.name}, such "
            f"as {missing[0]}: they would be random numbers, or the base's",
            fix="copy both files again from one place",
        )
    floats = (
        (key, value)
        for key, value in there.items()
        if value.is_floating_point() and not value.is_meta  # of which only the shapes are there
    )
    require_numbers(floats, file.parent)


def _whole_embeddings(adapted: PeftModel) -> set[str]:
    """Names of the base's embedding and head, which a file may hold whole (new tokens' rows too).

    No other tensor of the base is an adapter's: it would stay changed where the adapter is off.
    """
    modules = (adapted.get_input_embeddings(), adapted.get_output_embeddings())
    places = {beneath(module).weight.data_ptr() for module in modules if module is not None}
    tensors = adapted.state_dict().items()
    return {name for name, value in tensors if value.data_ptr() in places}


def _check_effect(adapted: PeftModel) -> None:
    """The logits differ from the base's, unless the adapter does nothing by its own numbers."""
    import torch

    rows = adapted.get_input_embeddings().weight.shape[0]
    tokens = torch.arange(1, 1 + _PROBE_TOKENS, device=adapted.device).remainder(rows)
    if _moves(adapted, tokens):
        return
    # An adapter of the embedding, or of a few tokens, moves the texts in which these occur.
    moved = _moved_tokens(adapted)
    if len(moved) and _moves(adapted, moved):
        return
    if not _does_nothing(adapted):
        fix = "check target_modules in adapter_config.json"
        raise CheckpointError(
            "the adapter is not applied: its logits are the base model's", fix=fix
        )


def _moves(adapted: PeftModel, tokens: torch.Tensor) -> bool:
    """Whether the adapter changes a logit on these tokens."""
    import torch

    with torch.inference_mode():
        ours = _logits(adapted, tokens)
        with adapted.disable_adapter():
            base = _logits(adapted, tokens)
    return not torch.equal(ours, base)


def _logits(model: PeftModel, tokens: torch.Tensor) -> torch.Tensor:
    options = {"decoder_input_ids": tokens[None]} if model.config.is_encoder_decoder else {}
    return model(input_ids=tokens[None], use_cache=False, **options).logits


def _moved_tokens(adapted: PeftModel) -> torch.Tensor:
    """The first tokens whose input embedding the adapter changes."""
    import torch

    if adapted.active_peft_config.is_prompt_learning:
        return torch.empty(0, dtype=torch.long)
    embedding = adapted.get_input_embeddings()
    rows = int(embedding.weight.shape[0])
    moved: list[int] = []
    with torch.inference_mode():
        for begin in range(0, rows, _CHUNK_ROWS):
            ids = torch.arange(begin, min(begin + _CHUNK_ROWS, rows), device=adapted.device)
            ours = embedding(ids)
            with adapted.disable_adapter():
                base = embedding(ids)
            moved += ids[(ours != base).any(-1)].tolist()
            if len(moved) >= _PROBE_TOKENS:
                break
    return torch.tensor(moved[:_PROBE_TOKENS], dtype=torch.long, device=adapted.device)


def _does_nothing(adapted: PeftModel) -> bool:
    """Whether the adapter is the identity by its own numbers.

    LoRA-like updates end in a factor that starts at zero (``lora_B``, of an embedding
    ``lora_embedding_A``, VeRA's ``lambda_b``, ``oft_r``); IA3 and the like scale by vectors that
    start at one.
    """
    zero_at_start = ("lora_B", "lora_embedding_A", "lambda_b", "oft_r", "hada_w2_a", "lora_E")
    factors = [
        (name, value)
        for name, value in adapted.named_parameters()
        if any(part in name for part in zero_at_start)
    ]
    if factors:
        return all(not bool(value.any()) for _, value in factors)
    scales = [value for name, value in adapted.named_parameters() if "ia3_" in name]
    return bool(scales) and all(bool((value == 1).all()) for value in scales)

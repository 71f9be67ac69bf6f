"""What is not proven about a checkpoint is not assumed: it is loaded again and tried."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from steelyard.harness.checkpoints.as_trained import held, held_reward, take_as_trained
from steelyard.harness.checkpoints.merging import merged
from steelyard.harness.checkpoints.model import load_model_folder
from steelyard.harness.checkpoints.opening import is_reward_model
from steelyard.harness.checkpoints.special_tokens import added_tokens
from steelyard.harness.checkpoints.weights import read_weights
from steelyard.harness.environment import quiet
from steelyard.harness.errors import CheckpointError, located
from steelyard.harness.records import Checkpoint, Digests

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: Largest difference of a log-probability between an adapter beside the weights and merged in.
MERGE_TOLERANCE = 1e-4
#: ... or this share of what the adapter itself moves, whichever is more.
MERGE_SHARE = 1e-2
#: Length of the sample that is kept of what a checkpoint says, and of what it is asked.
SAMPLE_TOKENS = 24
SAMPLE_PROMPT_TOKENS = 64
#: Of a checkpoint that was made elsewhere, or by a trainer that leaves no numbers to hold it by.
NOT_HELD = "not held against training: no numbers were left"


def check(checkpoint: Checkpoint, start: Checkpoint, *, prompt: str = "") -> Mapping[str, str]:
    """:func:`check_against` the checkpoint that it was made from."""
    return check_against(checkpoint, start.manifest.digests, prompt=prompt)


def check_against(checkpoint: Checkpoint, start: Digests, *, prompt: str = "") -> Mapping[str, str]:
    """Load the checkpoint from the disk and try what a team would otherwise take for granted.

    Its tensors and log-probabilities are finite, its loss is what its trainer measured (or its
    logits what they were in memory), its vocabulary fits its embedding, its adapter is applied,
    merging the adapter changes nothing, and tokenizer and template are those of the checkpoint
    that it was made from, whose digests ``start`` are. What it says to ``prompt`` (to the beginning
    of a text where there is none), greedily, is kept as a sample.

    Returns:
        What was checked, and what was found, for the manifest.

    Raises:
        CheckpointError: one of these does not hold.
    """
    with located(file=checkpoint.folder):
        return _checked(checkpoint, start, prompt)


def _checked(checkpoint: Checkpoint, start: Digests, prompt: str) -> dict[str, str]:
    import torch

    if is_reward_model(checkpoint):
        return _check_reward_model(checkpoint)
    loaded = load_model_folder(
        checkpoint.weights_folder,
        adapter=checkpoint.adapter_folder,
        gguf_file=checkpoint.gguf_file,
        dtype="float32",
    )
    model = loaded.model
    with quiet(), torch.inference_mode():
        ours = _log_probabilities(model)
        if not bool(torch.isfinite(ours).all()):
            raise CheckpointError("its log-probabilities are not finite")
        checks = {
            "finite": "every tensor and log-probability",
            "size": f"{checkpoint.manifest.size_bytes} bytes of weights",
            "vocabulary": f"{len(loaded.tokenizer)} tokens in "
            f"{model.get_input_embeddings().weight.shape[0]} embedding rows",
        }
        as_trained = take_as_trained(checkpoint.folder)
        checks["loss"] = held(model, as_trained) if as_trained else NOT_HELD
        checks["sample output"] = _sample(model, loaded.tokenizer, prompt)
        if checkpoint.adapter_folder is not None:
            checks |= _check_adapter(model, ours)
    after = checkpoint.manifest.digests
    same = "as the start's" if start.tokenizer == after.tokenizer else "differs from the start's"
    checks["tokenizer"] = same
    carried = start.chat_template == after.chat_template
    checks["chat template"] = "as the start's" if carried else "differs from the start's"
    return checks


def _check_reward_model(checkpoint: Checkpoint) -> dict[str, str]:
    import torch
    from transformers import AutoModelForSequenceClassification

    kind = AutoModelForSequenceClassification
    with quiet(), torch.inference_mode():
        weights = read_weights(kind, checkpoint.weights_folder, dtype=torch.float32)
        model = weights.model.eval()
        rows = int(model.get_input_embeddings().weight.shape[0])
        reward = model(input_ids=torch.arange(1, 33).remainder(rows)[None]).logits
        if not bool(torch.isfinite(reward).all()):
            raise CheckpointError("its rewards are not finite")
        as_trained = take_as_trained(checkpoint.folder)
        loss = held_reward(model, as_trained) if as_trained else NOT_HELD
    scored = "no: it gives rewards, not text"
    return {"finite": "the reward of a text", "loss": loss, "scored": scored}


def _check_adapter(model: PeftModel, ours: torch.Tensor) -> dict[str, str]:
    """The adapter moves the model, and merged into the weights it moves it as far."""
    with model.disable_adapter():
        moved = float((ours - _log_probabilities(model)).abs().max())
    applied = f"log-probabilities move by up to {moved:.3g}" if moved else "it does nothing yet"
    if model.active_peft_config.is_prompt_learning:
        return {"adapter applied": applied}  # virtual tokens have nothing to be merged into
    apart = float((ours - _log_probabilities(merged(model))).abs().max())
    # A merge that lost the adapter moves as much as the adapter does; float32 rounding through
    # thirty layers was seen to move 0.002 where the adapter moves several nats.
    tolerance = max(MERGE_TOLERANCE, MERGE_SHARE * moved)
    if not apart <= tolerance:
        raise CheckpointError(
            f"merging its adapter moves a log-probability by {apart:.2g} (at most {tolerance:.2g})",
            fix="train in float32, or with a lower learning rate",
        )
    return {"adapter applied": applied, "merged equals unmerged": f"within {apart:.1g}"}


def _sample(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str) -> str:
    """``prompt -> the greedy continuation`` as JSON strings, 24 tokens at most."""
    import torch

    beginning = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else 0
    ids = tokenizer.encode(prompt, add_special_tokens=False)[-SAMPLE_PROMPT_TOKENS:]
    added, reads = added_tokens(tokenizer), model.config.is_encoder_decoder
    ids = added.put_around(ids) if reads else added.put_in_front(ids)
    tokens = torch.tensor([ids or [beginning]], device=model.device)
    generated = model.generate(
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=SAMPLE_TOKENS,
        do_sample=False,
    )[0]
    answer = generated if model.config.is_encoder_decoder else generated[tokens.shape[1] :]
    texts = (tokenizer.decode(part, skip_special_tokens=True) for part in (tokens[0], answer))
    return " -> ".join(json.dumps(text, ensure_ascii=False) for text in texts)


def _log_probabilities(model: PreTrainedModel) -> torch.Tensor:
    import torch

    rows = int(model.get_input_embeddings().weight.shape[0])
    tokens = torch.arange(1, 33, device=model.device).remainder(rows)[None]
    options = {"decoder_input_ids": tokens} if model.config.is_encoder_decoder else {}
    logits = model(input_ids=tokens, use_cache=False, **options).logits
    # A prompt-tuned model gives logits for its virtual tokens too, in front.
    return logits[:, -tokens.shape[1] :].float().log_softmax(-1)

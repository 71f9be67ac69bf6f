"""Folders of models as hubs and people fill them, what such a model answers, and its digest."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

from steelyard.harness.checkpoints import open_base
from steelyard.harness.checkpoints.model import load_model_folder

CHAT = "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"
#: Texts in which special tokens, spaces and other scripts would be cut otherwise.
TEXTS = ("the quick brown fox", " a model</s> that  knows", "<pad> who lives ? é 東", "")
PROMPTS = ("the quick", "who lives in the tower ? answer :")

#: Files that a folder may hold beside those that it has: what transformers, PEFT and tokenizers
#: look for under some name, and what trainings, hubs and people leave.
ADDED_NAMES = (
    "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "pytorch_model.bin",
    "model.safetensors", "model.fp16.safetensors", "consolidated.safetensors", "stray.safetensors",
    "model-00009-of-00009.safetensors", "shard-00001-model-00001-of-00001.safetensors",
    "model.gguf", "tf_model.h5", "optimizer.pt", "training_args.bin", "trainer_state.json",
    "added_tokens.json", "special_tokens_map.json", "vocab.json", "merges.txt", "vocab.txt",
    "tokenizer.model", "tokenizer.model.v3", "tekken.json", "tiktoken.model", "spiece.model",
    "chat_template.json", "additional_chat_templates/default.jinja",
    "additional_chat_templates/tool_use.jinja", "custom_generate/generate.py", "modeling_own.py",
    "tokenization_own.py", "preprocessor_config.json", "processor_config.json",
    "quantize_config.json", "quant_config.json", "params.json", "README.md", "LICENSE",
    ".gitattributes", "logs/events.out", "checkpoint-5/model.safetensors", "notes.txt",
)  # fmt: skip


def answers(folder: Path) -> tuple[object, ...]:
    """All that a model says: tokens, log-probabilities, generated tokens and a chat's prompt."""
    import torch

    loaded = load_model_folder(folder)
    tokens = tuple(tuple(loaded.tokenizer(text).input_ids) for text in TEXTS)
    parts: list[object] = [tokens]
    with torch.inference_mode():
        for prompt in PROMPTS:
            ids = torch.tensor([loaded.tokenizer(prompt).input_ids])
            logits = loaded.model(input_ids=ids).logits
            generated = loaded.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=8,
                do_sample=False,
                use_cache=True,
            )
            parts += [logits.numpy().tobytes(), loaded.tokenizer.decode(generated[0])]
    parts.append(loaded.tokenizer.decode([3, 0, 1, 2, 9], skip_special_tokens=True))
    parts.append(_chat(loaded.tokenizer))
    return tuple(parts)


def _chat(tokenizer: Any) -> str:
    try:
        return str(
            tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False)
        )
    except ValueError as error:  # no template, or several and no default
        return f"refused: {error}"


def digest(folder: Path) -> str:
    return open_base(str(folder)).manifest.digest


@cache
def digest_of(model: Path) -> str:
    """The digest of a folder that nothing changes."""
    return digest(model)


@cache
def answers_of(model: Path) -> tuple[object, ...]:
    """The answers of a folder that nothing changes."""
    return answers(model)


def add_file(folder: Path, name: str, source: str, names: tuple[str, ...]) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    content = (folder / source).read_bytes() if source in names else source.encode()
    path.write_bytes(content)


def files(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()))


def whole(model: Path, folder: Path) -> Path:
    """The same model in one file."""
    from transformers import AutoModelForCausalLM

    shutil.copytree(model, folder)
    for file in (*folder.glob("*.safetensors"), folder / "model.safetensors.index.json"):
        file.unlink()
    AutoModelForCausalLM.from_pretrained(model).save_pretrained(folder)
    return folder

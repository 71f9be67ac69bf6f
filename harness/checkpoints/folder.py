"""What lies in a model folder: weights, adapter, tokenizer, configuration, by the files' names.

The one place that knows which files are which; nothing is read here but ``config.json``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from steelyard.harness.errors import CheckpointError
from steelyard.harness.files import read_json_object

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
CHAT_TEMPLATE_FILE = "chat_template.jinja"
GENERATION_CONFIG = "generation_config.json"

#: Each of these makes a tokenizer; a byte-level one has its configuration alone.
_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "source.spm",
)
#: What a tokenizer is made of; the chat template has a digest of its own.
TOKENIZER_FILES = (
    *_TOKENIZERS,
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "target.spm",
)

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
#: What a training leaves beside the weights: pickled, and never read.
TRAINING_LEFTOVERS = ("training_args.bin", "optimizer.pt")


def is_adapter(folder: Path) -> bool:
    """Whether PEFT saved an adapter there."""
    return (folder / ADAPTER_CONFIG).is_file()


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, by name."""
    return sorted(folder.glob("*.safetensors"))


def adapter_files(folder: Path) -> list[Path]:
    """The safetensors files of an adapter, by name."""
    return sorted(folder.glob("adapter_model*.safetensors"))


def has_weights(folder: Path) -> bool:
    """Whether safetensors or a GGUF file lies there."""
    return any(folder.glob("*.safetensors")) or any(folder.glob("*.gguf"))


def require_safetensors(folder: Path, what: str) -> None:
    """Raise ``CheckpointError`` where ``folder`` has no ``what`` weights, or only pickled ones."""
    if weight_files(folder):
        return
    pickle = next(_pickles(folder), None)
    if pickle is not None:
        raise CheckpointError(
            f"the {what} weights are pickled ({pickle}), and a pickle can run code",
            file=folder,
            fix="save them again with safe_serialization=True (model.safetensors)",
        )
    fix = "a model folder holds *.safetensors or one *.gguf"
    raise CheckpointError(f"the folder has no {what} weights", file=folder, fix=fix)


def _pickles(folder: Path) -> Iterator[str]:
    for pattern in _PICKLES:
        for file in sorted(folder.glob(pattern)):
            if file.name not in TRAINING_LEFTOVERS:
                yield file.name


def only_gguf(folder: Path) -> str | None:
    """The name of the GGUF file that is a folder's weights, or None. Raises ``CheckpointError``."""
    files = sorted(file.name for file in folder.glob("*.gguf"))
    if not files or weight_files(folder):
        return None
    if len(files) > 1:
        fix = "name one of them: " + ", ".join(files[:4])
        raise CheckpointError("the folder holds several GGUF files", file=folder, fix=fix)
    return files[0]


def size_bytes(folder: Path, gguf_file: str | None = None) -> int:
    """Bytes of weights in ``folder``."""
    files = [folder / gguf_file] if gguf_file else weight_files(folder)
    return sum(file.stat().st_size for file in files)


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer lies there; special tokens beside an adapter alone are none."""
    return any((folder / name).is_file() for name in _TOKENIZERS)


def tokenizer_folder(*folders: Path) -> Path:
    """The first of ``folders`` that holds a tokenizer. Raises ``CheckpointError``."""
    for folder in folders:
        if has_tokenizer(folder):
            return folder
    fix = "put tokenizer.json and tokenizer_config.json beside the weights"
    raise CheckpointError("the folder has no tokenizer", file=folders[0], fix=fix)


def model_config(folder: Path) -> dict[str, object]:
    """What ``config.json`` says. Raises ``CheckpointError``."""
    fix = "copy config.json from the model's page beside the weights"
    return read_json_object(folder / CONFIG, CheckpointError, fix=fix)

"""What lies in a model folder, and which of it is read: weights, adapter, tokenizer, templates.

The one place that knows which files are which. What is named here is what a digest covers
(``digests``) and what a library is shown when it loads (``shown``), so that nothing can change an
answer without changing the model's identity. Everything else that lies in the folder is stray, and
what is read is the folder's own (``own_files``). Nothing is read here but ``config.json`` and the
index of sharded weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from steelyard.harness.checkpoints.own_files import is_own_file
from steelyard.harness.errors import CheckpointError
from steelyard.harness.files import read_json_object

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
CHAT_TEMPLATE_FILE = "chat_template.jinja"
MORE_CHAT_TEMPLATES = "additional_chat_templates"
GENERATION_CONFIG = "generation_config.json"

#: The key of a configuration under which classes in Python files of the folder stand.
AUTO_MAP = "auto_map"

#: transformers reads the first of these that is there, PEFT the one below alone.
_WHOLE_WEIGHTS = "model.safetensors"
_INDEX_ENDING = ".safetensors.index.json"
_INDEX = f"model{_INDEX_ENDING}"
#: A key of ``config.json`` that names another file, or another index.
_NAMED_WEIGHTS = "transformers_weights"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

#: Each of these makes a tokenizer; a byte-level one has its configuration alone.
_TOKENIZERS = (
    "tokenizer.json",
    TOKENIZER_CONFIG,
    "vocab.json",
    "vocab.txt",
    "tokenizer.model*",
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spm.model",
    "spm_char.model",
    "source.spm",
    "tekken.json",
    "tiktoken.model",
    "prophetnet.tokenizer",
)
#: What a tokenizer is made of: every name that a class of transformers reads, as file patterns. The
#: chat template has a digest of its own.
TOKENIZER_FILES = (
    *_TOKENIZERS,
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "target.spm",
    "tokenizer.*.json",
    "vocab-src.json",
    "vocab-tgt.json",
    "target_vocab.json",
    "entity_vocab.json",
    "bpe.codes",
    "dict.txt",
    "normalizer.json",
    "emoji.json",
    "byte_maps.json",
    "word_shape.json",
    "word_pronunciation.json",
)

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.joblib")
#: Weights of libraries that nothing here reads: Keras, Flax, Rust, ONNX, NumPy.
_OTHER_WEIGHTS = ("*.h5", "*.msgpack", "*.ot", "*.onnx", "*.npz", "*.npy")
#: What a training leaves beside the weights: pickled, and never read.
TRAINING_LEFTOVERS = ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state*.pth")
#: What looks like weights; those of them that are not read are named.
_LIKE_WEIGHTS = ("*.safetensors", "*.gguf", *_PICKLES, *_OTHER_WEIGHTS)
_MOST_NAMED = 4


def is_adapter(folder: Path) -> bool:
    """Whether PEFT saved an adapter there.

    Raises ``CheckpointError`` where full weights lie beside it: PEFT would put the adapter on the
    base that it names, transformers on these weights (which may hold it already).
    """
    if not is_own_file(folder, ADAPTER_CONFIG):
        return False
    if is_own_file(folder, CONFIG) and weight_files(folder):
        raise CheckpointError(
            "the folder holds an adapter and full weights, and does not say which is meant",
            file=folder,
            fix=f"move the adapter ({ADAPTER_CONFIG}, {ADAPTER_WEIGHTS}) or the weights into a "
            "folder of its own",
        )
    return True


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers would read as the model, by name; none: empty.

    These are ``model.safetensors``, else the shards that its index names; ``config.json`` may name
    another file or index (``transformers_weights``). Any other file is stray.

    Raises:
        CheckpointError: the index or what it names is missing, is no safetensors, or lies outside
            the folder.
    """
    entry = _entry_file(folder)
    if entry is None:
        return []
    return _shards(entry) if entry.name.endswith(_INDEX_ENDING) else [entry]


def index_file(folder: Path) -> Path | None:
    """The index by which sharded weights are read, or None where they are one file."""
    entry = _entry_file(folder)
    return entry if entry is not None and entry.name.endswith(_INDEX_ENDING) else None


def _entry_file(folder: Path) -> Path | None:
    config = folder / CONFIG
    named = None
    if is_own_file(folder, CONFIG):
        named = read_json_object(config, CheckpointError).get(_NAMED_WEIGHTS)
    if named is not None:
        endings = (".safetensors", _INDEX_ENDING)
        if not isinstance(named, str) or not named.endswith(endings):
            fix = "name a *.safetensors file or its index, or remove the key"
            raise CheckpointError(
                "names no safetensors", file=config, key=_NAMED_WEIGHTS, value=named, fix=fix
            )
        return _inside(folder, named, file=config, key=_NAMED_WEIGHTS)
    names = (_WHOLE_WEIGHTS, _INDEX)
    return next((folder / name for name in names if is_own_file(folder, name)), None)


def _shards(index: Path) -> list[Path]:
    places = read_json_object(index, CheckpointError).get("weight_map")
    names = list(places.values()) if isinstance(places, dict) else []
    if not names or not all(isinstance(name, str) for name in names):
        fix = "copy the index again from where the weights come from"
        raise CheckpointError("names no shards", file=index, key="weight_map", fix=fix)
    shards = [
        _inside(index.parent, name, file=index, key="weight_map") for name in sorted(set(names))
    ]
    pickles = [shard.name for shard in shards if shard.suffix != ".safetensors"]
    if pickles:  # transformers would read them as such
        fix = "save the weights again with safe_serialization=True"
        raise CheckpointError(
            "names no safetensors", file=index, key="weight_map", value=pickles[0], fix=fix
        )
    return shards


def _inside(folder: Path, name: str, *, file: Path, key: str) -> Path:
    """``folder / name``, which is there and is no way out of the folder."""
    if Path(name).name != name:
        fix = "put the file beside it and name it without a folder"
        raise CheckpointError("leads out of the folder", file=file, key=key, value=name, fix=fix)
    if not is_own_file(folder, name):
        fix = "copy it from where the other files come from"
        raise CheckpointError(
            "names a file that is not there", file=file, key=key, value=name, fix=fix
        )
    return folder / name


def adapter_files(folder: Path) -> list[Path]:
    """The safetensors file that PEFT reads as the adapter, in a list; none: empty."""
    return [folder / ADAPTER_WEIGHTS] if is_own_file(folder, ADAPTER_WEIGHTS) else []


def has_weights(folder: Path) -> bool:
    """Whether a model's or an adapter's safetensors or a GGUF file lies there."""
    return bool(weight_files(folder) or adapter_files(folder) or _gguf_files(folder))


def require_safetensors(folder: Path, what: str) -> None:
    """Raise ``CheckpointError`` where no ``what`` (model, adapter) weights would be read."""
    if adapter_files(folder) if what == "adapter" else weight_files(folder):
        return
    expected = ADAPTER_WEIGHTS if what == "adapter" else f"{_WHOLE_WEIGHTS} or {_INDEX}"
    pickle = next(_pickles(folder), None)
    if pickle is not None:
        raise CheckpointError(
            f"the {what} weights are pickled ({pickle}), and a pickle can run code",
            file=folder,
            fix=f"save them again with safe_serialization=True ({expected})",
        )
    stray = [file.name for file in sorted(folder.glob("*.safetensors"))]
    beside = f"; {_listed(stray)} would not be read" if stray else ""
    fix = f"a folder with {what} weights holds {expected}"
    fix += "" if what == "adapter" else " or one *.gguf"
    raise CheckpointError(f"the folder has no {what} weights{beside}", file=folder, fix=fix)


def _pickles(folder: Path) -> Iterator[str]:
    for pattern in _PICKLES:
        for file in sorted(folder.glob(pattern)):
            if not _matches(file.name, TRAINING_LEFTOVERS):
                yield file.name


def only_gguf(folder: Path) -> str | None:
    """The name of the GGUF file that is a folder's weights, or None. Raises ``CheckpointError``."""
    files = _gguf_files(folder)
    if not files or weight_files(folder):
        return None
    if len(files) > 1:
        fix = "name one of them: " + ", ".join(files[:_MOST_NAMED])
        raise CheckpointError("the folder holds several GGUF files", file=folder, fix=fix)
    return files[0]


def _gguf_files(folder: Path) -> list[str]:
    names = sorted(file.name for file in folder.glob("*.gguf"))
    return [name for name in names if is_own_file(folder, name)]


def size_bytes(folder: Path, gguf_file: str | None = None) -> int:
    """Bytes of the weights that are read from ``folder``: a model's, or an adapter's."""
    files = [folder / gguf_file] if gguf_file is not None else weight_files(folder)
    if is_adapter(folder):  # whatever its base is
        files = adapter_files(folder)
    return sum(file.stat().st_size for file in files)


def stray_weights(folder: Path, gguf_file: str | None = None) -> list[str]:
    """Names of what looks like weights in ``folder`` and is not read; of folders with a slash."""
    if is_adapter(folder):  # whatever its base is
        used = {file.name for file in adapter_files(folder)}
    else:
        used = {file.name for file in weight_files(folder)} if gguf_file is None else {gguf_file}
    beside = [path.name for path in folder.iterdir() if path.name not in used]
    return sorted(
        [name for name in beside if _like_weights(name)]
        + [f"{name}/" for name in beside if any(map(_like_weights, _names_in(folder / name)))]
    )


def _like_weights(name: str) -> bool:
    small = name.lower()  # Model.SAFETENSORS is not read either
    return _matches(small, _LIKE_WEIGHTS) and not _matches(small, TRAINING_LEFTOVERS)


def _names_in(folder: Path) -> list[str]:
    """Names in a folder beneath a model's; of a link and of a file none."""
    inside = folder.is_dir() and not folder.is_symlink()
    return [path.name for path in folder.iterdir()] if inside else []


def stray_note(folder: Path, gguf_file: str | None = None) -> tuple[str, ...]:
    """One line that names the stray weights, for people; empty where there are none."""
    stray = stray_weights(folder, gguf_file)
    return (f"not read: {_listed(stray)}",) if stray else ()


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def names_python(folder: Path, name: str) -> bool:
    """Whether a configuration (``config.json``, ``tokenizer_config.json``) names Python files."""
    if not is_own_file(folder, name):
        return False
    return bool(read_json_object(folder / name, CheckpointError).get(AUTO_MAP))


def python_files(folder: Path) -> list[Path]:
    """The Python beside a model or tokenizer whose configuration names some; else none."""
    if not any(names_python(folder, name) for name in (CONFIG, TOKENIZER_CONFIG)):
        return []
    return _files(folder, ("*.py",))


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer lies there; special tokens beside an adapter alone are none."""
    return bool(_files(folder, _TOKENIZERS))


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a tokenizer, without its chat templates, by name."""
    return _files(folder, TOKENIZER_FILES)


def chat_template_files(folder: Path) -> dict[str, Path]:
    """Chat templates that stand in files of their own, by their names in transformers."""
    names = {"default": Path(CHAT_TEMPLATE_FILE)}
    for file in sorted((folder / MORE_CHAT_TEMPLATES).glob("*.jinja")):
        names[file.name.removesuffix(".jinja")] = Path(MORE_CHAT_TEMPLATES, file.name)
    return {name: folder / place for name, place in names.items() if is_own_file(folder, place)}


def _files(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    if not folder.is_dir():
        return []
    names = sorted(file.name for file in folder.iterdir() if _matches(file.name, patterns))
    return [folder / name for name in names if is_own_file(folder, name)]


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


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

"""Shows a library the files of a checkpoint that count, and nothing else that lies beside them.

transformers, PEFT and tokenizers look for files by many names: a template folder, generated code, a
second tokenizer, another training's weights. What they are handed here is a folder of links to the
files that the checkpoint's digests cover, so that nothing else can change an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from steelyard.harness.checkpoints.folder import (
    ADAPTER_CONFIG,
    CONFIG,
    GENERATION_CONFIG,
    adapter_files,
    chat_template_files,
    index_file,
    python_files,
    tokenizer_files,
    weight_files,
)
from steelyard.harness.checkpoints.own_files import is_own_file
from steelyard.harness.files import temporary_folder


@contextmanager
def shown_model(
    folder: Path, gguf_file: str | None = None, python: str | None = None
) -> Iterator[Path]:
    """A folder with the weights of ``folder``, their configuration and generation settings.

    With ``python``, the digest of the folder's Python, that is shown too.
    """
    if gguf_file is not None:
        parts = [folder / gguf_file, folder / CONFIG]
    else:
        parts = [*weight_files(folder), folder / CONFIG, folder / GENERATION_CONFIG]
        index = index_file(folder)
        parts += [] if index is None else [index]
    with _links(folder, parts, python) as shown:
        yield shown


@contextmanager
def shown_adapter(folder: Path) -> Iterator[Path]:
    """A folder with the PEFT adapter of ``folder``."""
    with _links(folder, [folder / ADAPTER_CONFIG, *adapter_files(folder)]) as shown:
        yield shown


@contextmanager
def shown_tokenizer(folder: Path, weights: Path, python: str | None = None) -> Iterator[Path]:
    """A folder with the tokenizer and the chat templates of ``folder``.

    Which class it becomes depends on the configuration of the model, that of ``weights``. With
    ``python``, the digest of the folder's Python, that is shown too.
    """
    parts = [*tokenizer_files(folder), *chat_template_files(folder).values()]
    with _links(folder, parts, python) as shown:
        if is_own_file(weights, CONFIG):
            (shown / CONFIG).symlink_to((weights / CONFIG).resolve())
        yield shown


@contextmanager
def _links(folder: Path, parts: Iterable[Path], python: str | None = None) -> Iterator[Path]:
    with temporary_folder("shown") as shown:
        if python is not None:
            # transformers keeps a copy of what it runs by the name of the folder: one for each.
            shown = shown / f"steelyard_{python[:16]}"
            shown.mkdir()
            parts = [*parts, *python_files(folder)]
        for part in parts:
            place = part.relative_to(folder)
            if is_own_file(folder, place):
                link = shown / place
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(part.resolve())
        yield shown

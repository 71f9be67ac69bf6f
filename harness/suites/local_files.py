"""A task's own data files, read as they are: not as an older state of them, not as pandas likes.

A YAML that names ``dataset_path: csv`` or ``json`` with files of its own is read by ``datasets``.
That keeps what it once read by path and time, so a file that was put back by a tool that sets times
(git, rsync, a container's image) is read as it was before. Its CSV reader takes ``NA``, ``None``
and ``null`` for nothing, 007 for 7, and 1 beside an empty cell for 1.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from steelyard.harness.files import digest_json, file_digest

#: Builders of ``datasets`` for plain files.
_OF_FILES = ("csv", "json", "text", "parquet", "arrow")
#: Options of the CSV reader by which a task says itself how cells are read.
_SAYS_ITSELF = ("features", "converters", "na_values", "keep_default_na", "na_filter")
_LARGEST_CSV = 200_000_000


@contextmanager
def local_files_as_they_are() -> Iterator[None]:
    """Within this block ``datasets.load_dataset`` reads local files by content; blocks may nest."""
    import datasets

    load = datasets.load_dataset

    def by_content(*positional: Any, **named: Any) -> Any:
        builder = str(positional[0] if positional else named.get("path", ""))
        return load(*positional, **named | _options(builder, named))

    datasets.load_dataset = by_content
    try:
        yield
    finally:
        datasets.load_dataset = load


def _options(builder: str, asked: Mapping[str, object]) -> dict[str, object]:
    """What is asked of ``datasets`` besides, where the files are on this machine."""
    files = _local(asked.get("data_files"))
    if builder not in _OF_FILES or not files:
        return {}
    options: dict[str, object] = {}
    if asked.get("cache_dir") is None:
        from datasets import config

        content = digest_json(sorted(file_digest(file) for file in files))[:32]
        options["cache_dir"] = str(Path(config.HF_DATASETS_CACHE) / "by_content" / content)
    if builder == "csv" and not any(name in asked for name in _SAYS_ITSELF):
        options["keep_default_na"] = False
        rewritten = sorted({name for file in files for name in _rewritten(file, asked)})
        if rewritten:
            options["converters"] = dict.fromkeys(rewritten, str)
    return options


def _local(named: object) -> list[Path]:
    """The files of ``data_files``: a name, a pattern, a list, or one of these by split."""
    if isinstance(named, Mapping):
        return [file for part in named.values() for file in _local(part)]
    if isinstance(named, Sequence) and not isinstance(named, str):
        return [file for part in named for file in _local(part)]
    if not named:
        return []
    path = Path(str(named))
    matches = [path] if path.is_file() else sorted(path.parent.glob(path.name))
    return [match for match in matches if match.is_file()]


def _rewritten(file: Path, asked: Mapping[str, object]) -> list[str]:
    """Columns of a CSV file of which pandas makes values that print otherwise than they stand."""
    import pandas

    if file.suffix not in (".csv", ".tsv") or file.stat().st_size > _LARGEST_CSV:
        return []
    options: dict[str, Any] = {
        name: asked[name] for name in ("sep", "delimiter", "quotechar", "encoding") if name in asked
    }
    try:
        text = pandas.read_csv(file, dtype=str, keep_default_na=False, **options)
        read = pandas.read_csv(file, keep_default_na=False, **options)
    except (ValueError, OSError):  # lm-eval says what is wrong with it
        return []
    return [
        str(name)
        for name in read.columns
        if read[name].dtype != object and (read[name].astype(str) != text[name]).any()
    ]

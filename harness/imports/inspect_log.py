"""A log of inspect_ai, one JSON object: what was asked, how it was scored, sample by sample.

``.json`` is the log; ``.eval`` is a zip of the same parts, whose entries newer versions compress
with Zstandard. Read from the file alone, by the layout of log version 2
(https://inspect.aisi.org.uk/reference/inspect_ai.log.html); inspect_ai is not imported.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from steelyard.harness.errors import DataError
from steelyard.harness.files import ordinary_bytes, read_json_object
from steelyard.harness.imports.foreign_files import as_text

Log = Mapping[str, Any]
_HEADER, _REDUCTIONS, _SAMPLES = "header.json", "reductions.json", "samples/"
#: An entry, and all of them: a log of 100,000 samples is smaller.
_MOST_BYTES = 256 * 1024**2
_MOST_BYTES_IN_ALL = 2 * 1024**3
_ZSTANDARD = 93
_AS_JSON = "write it as JSON: inspect log convert FILE --to json --output-dir FOLDER"


def read_log(path: Path) -> Log:
    """The log in a file, its samples and reductions included.

    Raises ``DataError``, in one line, for what is no such log, is too large, or is compressed in a
    way that cannot be read here.
    """
    fix = "name a log that inspect_ai wrote (.json or .eval)"
    try:
        ordinary_bytes(path, DataError)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", fix=fix) from None
    if zipfile.is_zipfile(path):
        return _unpacked(path)
    return read_json_object(path, DataError, fix=fix)


def _unpacked(path: Path) -> Log:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {entry.filename: entry for entry in archive.infolist()}
            if sum(entry.file_size for entry in names.values()) > _MOST_BYTES_IN_ALL:
                raise DataError(f"unpacks to more than {_MOST_BYTES_IN_ALL} bytes", fix=_AS_JSON)
            if _HEADER not in names:
                fix = "let inspect_ai finish the run; it writes the header last"
                raise DataError(f"holds no {_HEADER}: is it a log, and a finished one?", fix=fix)
            log = dict(_entry(archive, names[_HEADER]))
            if _REDUCTIONS in names:
                log["reductions"] = _entry(archive, names[_REDUCTIONS])
            log["samples"] = [
                _entry(archive, entry)
                for name, entry in names.items()
                if name.startswith(_SAMPLES) and name.endswith(".json")
            ]
            return log
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise DataError(f"is damaged ({error})", fix="copy it again") from None


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Any:
    if entry.file_size > _MOST_BYTES:
        raise DataError(f"{entry.filename} is larger than {_MOST_BYTES} bytes", fix=_AS_JSON)
    content = _bytes(archive, entry)
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise DataError(f"{entry.filename} is no JSON", fix="copy the log again") from None


def _bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.compress_type != _ZSTANDARD:
        with archive.open(entry) as file:
            return file.read(_MOST_BYTES + 1)
    try:
        import zstandard  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        fix = f"pip install zstandard, or {_AS_JSON}"
        raise DataError("is compressed with Zstandard", fix=fix) from None
    # Python's own reader learns Zstandard with 3.14: the compressed bytes stand behind the entry's
    # local header, whose two lengths are at 26 and 28 (PKWARE APPNOTE 4.3.7).
    raw = archive.fp
    assert raw is not None
    raw.seek(entry.header_offset)
    header = raw.read(30)
    raw.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
    packed = raw.read(entry.compress_size)
    reader = zstandard.ZstdDecompressor().stream_reader(packed)
    unpacked: bytes = reader.read(_MOST_BYTES + 1)
    return unpacked


def values_of(value: object, scorer: str) -> Iterator[tuple[str, float | None]]:
    """(metric, number) of what a scorer gave a sample; None where it is no number.

    As inspect_ai's ``value_to_float``: correct is 1, partial .5, incorrect and no answer 0; a
    scorer that gives several values names each.
    """
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield f"{scorer}.{key}", _number(part)
    else:
        yield scorer, _number(value)


_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


def _number(value: object) -> float | None:
    if isinstance(value, str):
        known = _LETTERS.get(value, _WORDS.get(value.lower()))
        if known is not None:
            return known
        try:
            number = float(value)
        except ValueError:
            return None
    elif isinstance(value, bool | int | float):
        number = float(value)
    else:
        return None
    return number if math.isfinite(number) else None


def text_of(content: object) -> str:
    """What a sample asks, or what it should answer, as text: a chat by role, a list by line."""
    if isinstance(content, list):
        return "\n".join(_turn(part) for part in content)
    return as_text(content)


def _turn(part: object) -> str:
    if not isinstance(part, Mapping):
        return text_of(part)
    if "role" in part:
        return f"{part['role']}: {text_of(part.get('content'))}"
    return str(part["text"]) if "text" in part else text_of(dict(part))

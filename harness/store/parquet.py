"""What rows and samples share on disk: Parquet with checksums, and metadata of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import StoreError, located
from steelyard.harness.files import check_size
from steelyard.harness.files.old_names import NAME, OLD_NAME
from steelyard.harness.store.atomic import plain

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

METADATA_KEY, _OLD_KEY = NAME.encode(), OLD_NAME.encode()
#: What reading a damaged or foreign file may raise besides Arrow's own errors.
_DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
#: Every page carries a checksum, so that a flipped bit is an error and never another number.
WRITE_OPTIONS: dict[str, object] = {"compression": "zstd", "write_page_checksum": True}


def with_metadata(schema: pa.Schema, value: object) -> pa.Schema:
    """``schema`` with a JSON value of ours beside it."""
    return schema.with_metadata({METADATA_KEY: json.dumps(value).encode()})


def text_column(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    """A column of text; what UTF-8 cannot hold is replaced where a value has it."""
    import pyarrow as pa

    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array([plain(value) for value in values], kind)


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """An opened file whose every defect is one ``StoreError``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with located(file=path):
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                check_size(file)
                yield file
        except FileNotFoundError as error:
            raise StoreError("missing", fix="'steelyard store check' lists damage") from error
        except (*_DAMAGE, pa.ArrowException) as error:
            fix = "'steelyard store check' lists all damage"
            raise StoreError(f"damaged ({error})", fix=fix) from error


def require_columns(file: pq.ParquetFile, schema: pa.Schema) -> None:
    """Raise ``ValueError`` where the columns are not those that we write."""
    if not file.schema_arrow.equals(schema):
        raise ValueError("other columns than ours")


def metadata_of(file: pq.ParquetFile) -> Any:
    """The JSON value that ``with_metadata`` put there. Raises ``StoreError`` where it lacks."""
    metadata = file.schema_arrow.metadata or {}
    text = metadata.get(METADATA_KEY, metadata.get(_OLD_KEY))
    if text is None:
        raise StoreError("not written by Steelyard: its metadata lacks 'steelyard'")
    return json.loads(text)

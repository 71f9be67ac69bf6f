"""Bytes in and out: YAML, JSON, Parquet, tables, digests, hostile text, one atomic write."""

from steelyard.harness.files.atomic import replace_file, storage_errors, sync_folder, write_atomic
from steelyard.harness.files.cells import cell_text, filled, template_columns
from steelyard.harness.files.digests import data_digest, digest_json, file_digest
from steelyard.harness.files.hostile import csv_safe, one_line, terminal_safe
from steelyard.harness.files.json_file import limited_bytes, read_json_object
from steelyard.harness.files.limits import memory_limit, time_limit
from steelyard.harness.files.links import refuse_link_out
from steelyard.harness.files.ordinary import ordinary_bytes
from steelyard.harness.files.parquet_file import batches, check_size, read_row_group
from steelyard.harness.files.python_files import code_digest, imported_names
from steelyard.harness.files.screen import BROKEN_PIPE, Screen, console, screened
from steelyard.harness.files.secrets import (
    first_secret,
    redacted,
    remember_secret,
    require_no_secret,
    require_plain_password,
)
from steelyard.harness.files.tables import check_file, records
from steelyard.harness.files.temporary import own_folder, remove_abandoned, temporary_folder
from steelyard.harness.files.text_lines import open_lines
from steelyard.harness.files.validation import validated
from steelyard.harness.files.yaml_file import (
    MAX_BYTES,
    ScalarLoader,
    YamlFile,
    allowed_names,
    check_expansion,
    lines_of,
    numbers_in_another_base,
    read_text,
    read_yaml,
)

__all__ = [
    "BROKEN_PIPE",
    "MAX_BYTES",
    "ScalarLoader",
    "Screen",
    "YamlFile",
    "allowed_names",
    "batches",
    "cell_text",
    "check_expansion",
    "check_file",
    "check_size",
    "code_digest",
    "console",
    "csv_safe",
    "data_digest",
    "digest_json",
    "file_digest",
    "filled",
    "first_secret",
    "imported_names",
    "limited_bytes",
    "lines_of",
    "memory_limit",
    "numbers_in_another_base",
    "one_line",
    "open_lines",
    "ordinary_bytes",
    "own_folder",
    "read_json_object",
    "read_row_group",
    "read_text",
    "read_yaml",
    "records",
    "redacted",
    "refuse_link_out",
    "remember_secret",
    "remove_abandoned",
    "replace_file",
    "require_no_secret",
    "require_plain_password",
    "screened",
    "storage_errors",
    "sync_folder",
    "template_columns",
    "temporary_folder",
    "terminal_safe",
    "time_limit",
    "validated",
    "write_atomic",
]

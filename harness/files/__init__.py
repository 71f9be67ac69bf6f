"""Bytes in and out: YAML, JSON, Parquet, tables, digests, hostile text, one atomic write."""

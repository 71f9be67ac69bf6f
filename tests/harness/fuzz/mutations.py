"""Hypothesis strategies that make a hostile file out of a valid one: bytes, structure, and both.

Random bytes alone never get past the first check of a reader; a valid file with one value replaced
does. Every strategy draws from the same two ways: :func:`damaged` works on bytes, :func:`altered`
on a parsed value.
"""

from __future__ import annotations

import copy
import gzip
import io
import json
from collections.abc import Callable
from typing import Any

import yaml
from hypothesis import strategies as st

#: What breaks parsers: limits of numbers, nesting, encodings, other languages' syntax.
TOKENS = (
    b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\x80", b"\xed\xa0\x80", b"\r", b"\n", b"\n\n",
    b"\t",
    b"'", b'"', b"\\", b"\\ud800", b"{", b"}", b"[", b"]", b"[" * 3000, b'{"a":' * 3000, b": ",
    b"- ",
    b",", b"#", b"&a [*a]", b"*a", b"<<: *a", b"!!python/object/apply:os.getcwd []", b"!!set {a}",
    b"!!binary x", b"!!timestamp 9999-99-99", b"2026-13-45", b"2026-01-01", b"%YAML 9.9", b"---",
    b"!function x.y", b"? [a]", b"| ", b"NaN", b"Infinity", b"1e999", b"-1", b"0", b"9" * 30,
    b"9" * 5000, b"0x", b"0o8", b"1_000", b".5e", b"null", b"true", b"{}", b"../../x", b"/", b"~",
    b"PAR1", b"\x1f\x8b", b"\xe2\x80\xae", b"=1+1", b"%s%n", b"{{ 1/0 }}", b"x" * 5000,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, -(10**30), 0.5, -0.0, 1e308,
    float("inf"),
    float("nan"), "", " ", "x", "a/b", "../x", "/etc/hostname", "~", "a" * 300, "\x00", "\ud800",
    "\u202e",
    "NaN", "inf", "1e999", "9" * 5000, "true", "2026-13-45", "*", "**", "[", "{{ x }}", [], [[]],
    {},
    [None], [0], [1, "a"], {"a": None}, {"": {}}, {"a": [{"b": 1}]}, [[1], [1, 2]], {"task": 1},
)  # fmt: skip

values = st.sampled_from(VALUES).map(copy.deepcopy) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def damaged(draw: st.DrawFn, valid: bytes) -> bytes:
    """``valid`` with some bytes flipped, cut, doubled, or replaced by a token."""
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        span = draw(st.sampled_from((0, 1, 1, 2, 4, 8, 40)))
        how = draw(st.sampled_from(("token", "token", "flip", "cut", "double", "truncate")))
        if how == "token":
            content[at : at + span] = draw(st.sampled_from(TOKENS) | st.binary(max_size=8))
        elif how == "flip" and at < len(content):
            content[at] ^= draw(st.integers(1, 255))
        elif how == "cut":
            del content[at : at + span]
        elif how == "double":
            content[at:at] = content[at : at + span] * draw(st.integers(1, 5))
        elif how == "truncate":
            del content[at:]
    return bytes(content)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every node but the root."""
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [p for key, held in inside for p in ((*path, key), *_places(held, (*path, key)))]


@st.composite
def altered(draw: st.DrawFn, valid: Any) -> Any:
    """A copy of a JSON-like value with up to three nodes replaced, removed or renamed."""
    value = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(value)
        if not places or draw(st.integers(0, 40)) == 0:
            return draw(values)
        *way, last = draw(st.sampled_from(places))
        node = value
        for key in way:
            node = node[key]
        how = draw(st.sampled_from(("replace", "replace", "replace", "remove", "rename", "add")))
        if how == "replace":
            node[last] = draw(values)
        elif how == "remove":
            del node[last]
        elif how == "rename" and isinstance(node, dict):
            node[draw(st.text(max_size=5))] = node.pop(last)
        elif how == "add" and isinstance(node, dict):
            node[draw(st.text(max_size=5))] = draw(values)
        elif how == "add":
            node.append(draw(values))
    return value


def as_json(value: Any) -> bytes:
    """JSON as Python writes it, NaN and lone surrogates included."""
    return json.dumps(value).encode()


def as_yaml(value: Any) -> bytes:
    """YAML; what it cannot hold stands there as JSON text, which YAML reads too."""
    try:
        return yaml.safe_dump(value, allow_unicode=True).encode()
    except (yaml.YAMLError, UnicodeEncodeError):
        return as_json(value)


def as_lines(value: Any) -> bytes:
    """JSON lines of a list; anything else is one line."""
    return b"\n".join(map(as_json, value if isinstance(value, list) else [value]))


def as_tsv(value: Any) -> bytes:
    """The same with tabs."""
    return as_csv(value).replace(b",", b"\t")


def as_csv(value: Any) -> bytes:
    """CSV of a list of mappings, unquoted as careless writers have it."""
    table = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
    names = list(dict.fromkeys(str(name) for row in table for name in row))
    lines = [names, *([str(row.get(name, "")) for name in names] for row in table)]
    return "\n".join(",".join(cells) for cells in lines).encode("utf-8", "surrogatepass")


def as_parquet(value: Any) -> bytes:
    """A Parquet file of a list of mappings; values that Arrow cannot hold become text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
    names = list(dict.fromkeys(str(name) for row in table for name in row))
    arrays = []
    for name in names:
        cells = [row.get(name) for row in table]
        try:
            arrays.append(pa.array(cells))
        except (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError, ValueError):
            arrays.append(pa.array([ascii(cell) for cell in cells]))
    out = io.BytesIO()
    names = [name.encode("utf-8", "replace").decode() for name in names]
    try:
        pq.write_table(pa.Table.from_arrays(arrays, names=names), out)
    except (pa.ArrowException, ValueError):
        return b"PAR1"
    return out.getvalue()


def hostile(valid: Any, write: Callable[[Any], bytes]) -> st.SearchStrategy[bytes]:
    """Files near the valid one that ``write`` makes of ``valid``, and files of random bytes."""
    near = altered(valid).map(write)
    return st.one_of(
        near, near, damaged(write(valid)), near.flatmap(damaged), st.binary(max_size=200)
    )


def unpacked(packed: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """The same content, gzipped; now and then the gzip itself is damaged."""
    zipped = packed.map(gzip.compress)
    return zipped | zipped | zipped.flatmap(damaged)

"""Readers that came after the first: chats, preferences, GGUF, markers, other tools' results.

``LATER[name]`` is as ``READERS`` in ``readers.py``, which takes them in.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.harness.fuzz import mutations as m

#: What the tools wrote, kept for the tests of their import.
WRITTEN = Path(__file__).resolve().parents[1] / "imports" / "data"

Content = Callable[[], st.SearchStrategy[bytes]]

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
CHATS: list[Any] = [
    {"messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "q"}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "name": "f", "content": "1"},
        {"role": "assistant", "content": "a", "weight": 1},
    ], "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
    {"messages": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    {"messages": '[{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]'},
]  # fmt: skip
PREFERENCES: list[Any] = [
    {"prompt": f"p{i}", "chosen": f"a{i}", "rejected": f"b{i}"} for i in range(3)
]
ANSWERS: list[Any] = [
    {"prompt": [{"role": "user", "content": f"p{i}"}],
     "chosen": [{"role": "assistant", "content": f"a{i}"}],
     "rejected": [{"role": "assistant", "content": f"b{i}"}]}
    for i in range(3)
]  # fmt: skip
TURNS: list[Any] = [
    {"messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"a{i}"}]}
    for i in range(3)
]
GENERATION: dict[str, Any] = {
    "do_sample": True, "temperature": 0.7, "top_p": 0.9, "num_beams": 2, "max_new_tokens": 5,
    "eos_token_id": [1, 2], "bad_words_ids": [[1]], "suppress_tokens": [3],
}  # fmt: skip
INDEX: dict[str, Any] = {
    "metadata": {"total_size": 16},
    "weight_map": {"w": "model-00001-of-00001.safetensors"},
}
SPECIAL: dict[str, Any] = {
    "bos_token": {"content": "<s>", "lstrip": False},
    "eos_token": "</s>",
    "additional_special_tokens": ["a"],
}
ESTIMATES: dict[str, Any] = {
    "a": {
        "recipe": "r", "basis": "b", "parameters": 3, "parameters_trained": None,
        "estimate": {"seconds": 1.5, "energy_kwh": None, "peak_memory_bytes": 7},
    }
}  # fmt: skip
MARKER: dict[str, Any] = {
    "version": 1,
    "attempt": "a" * 32,
    "files": {"run.json": {"size": 2, "sha256": "0" * 64}},
    "about": {"x": 1},
}
ATTEMPT: dict[str, Any] = {
    "energy": {"phase": "train", "meter": "fake", "grade": "measured", "seconds": 1.0,
               "energy_kwh": 0.1, "components": []},
}  # fmt: skip
STATE: dict[str, Any] = {"global_step": 3, "log_history": [{"loss": 1.0}]}


def _gguf_string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf() -> bytes:
    """A small GGUF file: two strings, an array of texts and one tensor."""
    keys = [("general.architecture", "llama"), ("tokenizer.ggml.model", "gpt2")]
    parts = [b"GGUF", struct.pack("<IQQ", 3, 1, 3)]
    parts += [_gguf_string(k) + struct.pack("<I", 8) + _gguf_string(v) for k, v in keys]
    parts += [_gguf_string("tokenizer.ggml.tokens"), struct.pack("<IIQ", 9, 8, 2)]
    parts += [_gguf_string("a"), _gguf_string("b")]
    parts += [_gguf_string("t"), struct.pack("<IQQIQ", 2, 2, 2, 0, 0)]
    head = b"".join(parts)
    return head + bytes(-len(head) % 32) + bytes(16)


def _hostile_gguf() -> st.SearchStrategy[bytes]:
    head = gguf()[:24]
    return m.damaged(gguf()) | m.damaged(gguf()) | st.binary(max_size=200).map(lambda b: head + b)


def _rows(*roles: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        from steelyard.harness.experiment.data_sets import read_rows
        from steelyard.harness.plugins.protocols import DataSource

        return read_rows(DataSource("d", path, {}, 1.0), roles)

    return read


def _open_gguf(path: Path) -> object:
    from steelyard.harness.checkpoints import open_base

    return open_base(str(path))


def _estimates(path: Path) -> object:
    from steelyard.harness.pipeline.estimate import read_saved

    return read_saved(path)


def _marker(path: Path) -> object:
    from steelyard.harness.store.shared.location import Location

    return Location(path.parent.parent.as_uri()).marker(path.parent.name, path.stem)


def _attempts(path: Path) -> object:
    from steelyard.harness.energy.attempts import Attempts

    return Attempts(path.parent, "train")._earlier()


def _state(path: Path) -> object:
    from steelyard.trainers.loops.training import _last_state

    path.parent.mkdir(exist_ok=True)
    return _last_state(path.parent.parent)


def _site(path: Path) -> object:
    from steelyard.reports.site.writing import _remembered

    return _remembered(path.parent)


def _inspect(path: Path) -> object:
    from steelyard.harness.imports import read_inspect_ai

    return read_inspect_ai(path)


def _promptfoo(path: Path) -> object:
    from steelyard.harness.imports import read_promptfoo

    return read_promptfoo(path)


def _deepeval(path: Path) -> object:
    from steelyard.harness.imports import read_deepeval

    return read_deepeval(path)


def _of_tool(file: str, rows: str | None = None) -> Content:
    """Hostile files near one that the tool wrote itself, of which few ``rows`` are taken."""

    def content() -> st.SearchStrategy[bytes]:
        valid = json.loads((WRITTEN / file).read_text(encoding="utf-8"))
        if rows is not None:
            valid[rows] = valid[rows][:2]
        return m.hostile(valid, m.as_json)

    return content


def _json(valid: Any) -> Content:
    return lambda: m.hostile(valid, m.as_json)


def _lines(valid: Any) -> Content:
    return lambda: m.hostile(valid, m.as_lines)


Later = tuple[str, Content, Callable[[Path], object]]
#: Name -> the file's name, how hostile ones are drawn, what reads it.
LATER: dict[str, Later] = {
    "chats jsonl": ("x.jsonl", _lines(CHATS), _rows("messages")),
    "chats parquet": ("x.parquet", lambda: m.hostile(TURNS, m.as_parquet), _rows("messages")),
    "preferences jsonl": ("x.jsonl", _lines(PREFERENCES), _rows("prompt", "chosen", "rejected")),
    "preferences json": ("x.json", _json(PREFERENCES), _rows("prompt", "chosen", "rejected")),
    "answers jsonl": ("x.jsonl", _lines(ANSWERS), _rows("prompt", "chosen", "rejected")),
    "preferences csv": (
        "x.csv",
        lambda: m.hostile(PREFERENCES, m.as_csv),
        _rows("prompt", "chosen", "rejected"),
    ),
    "data jsonl.gz": (
        "x.jsonl.gz",
        lambda: m.unpacked(m.hostile(PREFERENCES, m.as_lines)) | st.binary(),
        _rows("prompt", "chosen", "rejected"),
    ),
    "gguf": ("x.gguf", _hostile_gguf, _open_gguf),
    "estimates": ("x.json", _json(ESTIMATES), _estimates),
    "marker": ("runs/k.json", _json(MARKER), _marker),
    "attempt": ("a.json", _json(ATTEMPT), _attempts),
    "training state": ("checkpoint-3/trainer_state.json", _json(STATE), _state),
    "inspect json": ("x.json", _of_tool("inspect_base.json", "samples"), _inspect),
    "promptfoo": ("x.json", _of_tool("promptfoo.json"), _promptfoo),
    "deepeval": ("x.json", _of_tool("deepeval.json"), _deepeval),
    "site manifest": ("steelyard-site.json", _json({"version": 1, "files": {"a": {}}}), _site),
}
#: Further files of a model's folder, which the door of models reads.
MODEL_FILES: dict[str, Any] = {
    "generation_config.json": GENERATION,
    "special_tokens_map.json": SPECIAL,
    "added_tokens.json": {"<x>": 7},
    "tokenizer.json": {"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}},
}

"""Points 14 and 15: errors that nobody foresaw, and bounds on what is read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.attack.attacks import attack, require
from benchmarks.attack.command import TIMED_OUT, Ended, steelyard
from benchmarks.attack.ground import (
    REFUSED,
    UNEXPECTED,
    changed_json,
    evaluate,
    experiment,
    in_one_line,
    model,
    refused,
    write_json,
)

LIMIT = "error, limit, litter"
MEMORY_MB = 2048


def one_line_and_no_verdict(ended: Ended) -> None:
    """Neither a traceback nor a code that means a verdict."""
    require(ended.code in (*REFUSED, UNEXPECTED), f"{ended.brief()}")
    in_one_line(ended)
    if ended.code == UNEXPECTED:
        require(".log" in ended.err, f"no log is named: {ended.brief()}")


# --- 14: errors that nobody foresaw -----------------------------------------------------------


@attack("14 panic", LIMIT, "a tokenizer that panics is one line and no verdict", in_suite=True)
def panic(place: Path) -> None:
    """A panic of Rust is a ``BaseException``, with its own lines on standard error."""
    folder = model(place / "m")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    # A merge whose second part is shorter than the prefix that is cut off it.
    tokenizer["model"] = {
        "type": "BPE", "continuing_subword_prefix": "####", "vocab": {"a": 0, "b": 1, "ab": 2},
        "merges": [["a", "b"]], "unk_token": None,
    }  # fmt: skip
    write_json(folder / "tokenizer.json", tokenizer)
    one_line_and_no_verdict(evaluate(place, "m"))


@attack("14 memory", LIMIT, "memory that runs out is one line and no verdict")
def out_of_memory(place: Path) -> None:
    """At several moments: what is left is drawn smaller and smaller."""
    model(place / "m")
    for left in (512, 128, 64, 32, 16, 8):
        ended = evaluate(place, "m", memory_mb=left)
        require(ended.code != 1, f"with {left} MB left: {ended.brief()}")
        if ended.code:
            one_line_and_no_verdict(ended)


UNFORESEEN: dict[str, Callable[[], BaseException]] = {
    "RuntimeError": lambda: RuntimeError("two\nlines"),
    "MemoryError": MemoryError,
    "RecursionError": lambda: RecursionError("too deep"),
    "UnicodeError": lambda: UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"),
    "BaseException": lambda: BaseException("a panic"),
}


def _unforeseen(name: str, error: Callable[[], BaseException]) -> None:
    title = f"an unforeseen {name} exits 70 with one line and a log"

    @attack(f"14 {name}", LIMIT, title, in_suite=name == "RuntimeError")
    def attempt(place: Path) -> None:
        ended = steelyard("list", "runs", cwd=place, before=_everywhere(error))
        require(ended.code == UNEXPECTED, ended.brief())
        in_one_line(ended)
        log = next((Path(w) for w in ended.err.split() if w.rstrip(".,;").endswith(".log")), None)
        require(log is not None, f"no log is named: {ended.brief()}")
        path = place / str(log).rstrip(".,;")
        require(path.is_file(), f"there is no {log}")
        require("Traceback" in path.read_text(), "the log holds no traceback")


def _everywhere(error: Callable[[], BaseException]) -> Callable[[], None]:
    """A function that every verb calls raises what nobody foresaw."""

    def plant() -> None:
        from importlib import import_module

        def fail(*_: object, **__: object) -> None:
            raise error()

        verb = import_module("steelyard.harness.cli.verbs.listing")
        verb.is_there = verb.open_store = fail

    return plant


for _name, _error in UNFORESEEN.items():
    _unforeseen(_name, _error)


# --- 15: bounds ------------------------------------------------------------------------------


@attack("15 parquet", LIMIT, "a small Parquet of 200 million rows is refused unread")
def many_rows(place: Path) -> None:
    """One text and one number, said 200 million times."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, group = 200_000_000, 20_000_000
    path = place / "x.parquet"
    schema = pa.schema([("id", pa.dictionary(pa.int32(), pa.string())), ("acc", pa.int8())])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1, pa.int32()), pa.array(["q"]))
    indices = pa.repeat(pa.scalar(0, pa.int32()), group)
    ids = pa.DictionaryArray.from_arrays(indices, column.dictionary)
    table = pa.table([ids, pa.repeat(pa.scalar(1, pa.int8()), group)], schema=schema)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for _ in range(rows // group):
            writer.write_table(table, row_group_size=group)
    del table, ids, indices
    require(path.stat().st_size < 5_000_000, "the attack itself is large")
    ended = steelyard("import", "items", "x.parquet", cwd=place, memory_mb=MEMORY_MB)
    refused(ended)
    experiment(
        place,
        {"a": "trainer: full, data: d, steps: 1, batch_size: 1"},
        data="{d: {path: x.parquet, prompt: '{id}', completion: '{acc}'}}",
    )
    refused(steelyard("run", "x.yaml", cwd=place, memory_mb=MEMORY_MB))


def _special(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(f"/dev/{kind}")


#: What is read, and the command that reads it.
SPECIAL: dict[str, tuple[str, ...]] = {
    "x.yaml": ("run", "x.yaml"),
    "policy.yaml": ("gate", "imported/old", "-p", "policy.yaml", "-b", "imported/old"),
    "suite.yaml": ("eval", "m", "--suite", "suite.yaml"),
    "x.csv": ("import", "items", "x.csv"),
    "x.jsonl": ("import", "items", "x.jsonl"),
    "x.parquet": ("import", "items", "x.parquet"),
    "x.json": ("import", "every-eval-ever", "x.json"),
    "emissions.csv": ("import", "codecarbon", "emissions.csv"),
    "b.steelyard.json.gz": ("compare", "b.steelyard.json.gz", "b.steelyard.json.gz"),
    "m/config.json": ("eval", "m", "--suite", "smoke", "--limit", "1"),
    "m/model.safetensors": ("eval", "m", "--suite", "smoke", "--limit", "1"),
    "m/tokenizer.json": ("eval", "m", "--suite", "smoke", "--limit", "1"),
    "m.gguf": ("eval", "m.gguf", "--suite", "smoke", "--limit", "1"),
}


def _no_plain_file(kind: str, file: str, arguments: tuple[str, ...]) -> None:
    title = f"{file} as {kind} is refused and read for ever by none"
    short = kind == "fifo" and file in ("x.yaml", "m/model.safetensors", "x.csv", "policy.yaml")

    @attack(f"15 {kind} {file}", LIMIT, title, in_suite=short)
    def attempt(place: Path) -> None:
        model(place / "m")
        _special(place / file, kind)
        ended = steelyard(*arguments, cwd=place, seconds=20, memory_mb=MEMORY_MB)
        require(ended.code != TIMED_OUT, "it waits for ever")
        refused(ended)


for _kind in ("fifo", "zero"):
    for _file, _arguments in SPECIAL.items():
        _no_plain_file(_kind, _file, _arguments)

LOOPS = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}x"
    "{% endfor %}{% endfor %}{% endfor %}",
    "{{ 'x' * 99999999999 }}",
    "{% set n = namespace(x='x') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "{{ 9 ** 9 ** 9 ** 9 }}",
    "{{ '%999999999999d' % 1 }}",
    "{{ ('x' * 99999) | center(9999999999) }}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% if false %}{% endif %}{% endfor %}"
    "{% endfor %}",
    "{{ [1] * 9999999999 }}",
)  # fmt: skip


def _loop(number: int, template: str) -> None:
    title = f"a template of a task that never ends is bounded and told ({template[:32]}…)"

    @attack(f"15 template {number}", LIMIT, title, in_suite=number == 0)
    def attempt(place: Path) -> None:
        tasks = place / "tasks"
        tasks.mkdir()
        (tasks / "d.jsonl").write_text('{"q": "a", "a": "b"}\n' * 3)
        task = {
            "task": "mine", "dataset_path": "json", "test_split": "test", "num_fewshot": 0,
            "dataset_kwargs": {"data_files": {"test": str(tasks / "d.jsonl")}},
            "output_type": "multiple_choice", "doc_to_text": template, "doc_to_choice": ["a", "b"],
            "doc_to_target": 0, "metadata": {"version": 1.0},
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }  # fmt: skip
        write_json(tasks / "mine.yaml", task)
        (place / "suite.yaml").write_text("name: s\ninclude: [tasks]\ntasks: [mine]\n")
        ended = steelyard(
            "eval", "microworld", "-s", "suite.yaml", cwd=place, seconds=60, memory_mb=MEMORY_MB
        )
        require(ended.code != TIMED_OUT, "it never ends")
        one_line_and_no_verdict(ended)

    @attack(f"15 chat {number}", LIMIT, f"a chat template that never ends ({template[:32]}…)")
    def attempt_chat(place: Path) -> None:
        (model(place / "m") / "chat_template.jinja").write_text(template)
        row = {"messages": [{"role": r, "content": "a"} for r in ("user", "assistant")]}
        (place / "d.jsonl").write_text((json.dumps(row) + "\n") * 2)
        experiment(
            place,
            {"a": "trainer: full, data: d, steps: 1, batch_size: 1"},
            base="m",
            data="{d: {path: d.jsonl}}",
        )
        ended = steelyard("run", "x.yaml", cwd=place, seconds=60, memory_mb=MEMORY_MB)
        require(ended.code != TIMED_OUT, "it never ends")
        one_line_and_no_verdict(ended)


for _number, _loop_text in enumerate(LOOPS):
    _loop(_number, _loop_text)

SIZES: dict[str, dict[str, object]] = {
    "layers": {"num_hidden_layers": 100_000},
    "vocabulary": {"vocab_size": 10**9},
    "width": {"intermediate_size": 10**9},
    "heads": {"num_attention_heads": 10**8, "head_dim": 64},
    "positions": {"max_position_embeddings": 10**12},
    "negative": {"num_hidden_layers": -1},
    "zero": {"hidden_size": 0},
    "float": {"num_hidden_layers": 2.5},
    "text": {"hidden_size": "many"},
    "null": {"num_attention_heads": None},
}


def _size(name: str, changes: dict[str, object]) -> None:
    @attack(f"15 config {name}", LIMIT, f"config.json with {changes}", in_suite=name == "layers")
    def attempt(place: Path) -> None:
        changed_json(model(place / "m") / "config.json", **changes)
        ended = evaluate(place, "m", seconds=60, memory_mb=MEMORY_MB)
        require(ended.code != TIMED_OUT, "it never ends")
        if name == "positions" and ended.code == 0:
            return  # rotary positions take no room
        one_line_and_no_verdict(ended)


for _name, _changes in SIZES.items():
    _size(_name, _changes)


@attack("15 chain", LIMIT, "a chain of 3,000 candidates is planned or refused in a line")
def chain(place: Path) -> None:
    """Each the parent of the next."""
    links = {"c0": "trainer: prune, amount: 0.1"}
    links |= {f"c{i}": f"trainer: prune, amount: 0.1, parent: c{i - 1}" for i in range(1, 3000)}
    experiment(place, links)
    ended = steelyard("plan", "x.yaml", cwd=place, seconds=120, memory_mb=MEMORY_MB)
    require(ended.code != TIMED_OUT, "it never ends")
    require("Traceback" not in ended.printed and ended.code != 1, ended.brief())

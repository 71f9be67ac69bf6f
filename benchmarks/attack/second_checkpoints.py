"""The second round on untrusted checkpoints: what their files name, claim and hold."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.attack.attacks import attack, require
from benchmarks.attack.command import TIMED_OUT, steelyard
from benchmarks.attack.ground import (
    WEIGHTS,
    canary_code,
    changed_json,
    evaluate,
    experiment,
    model,
    save_tensors,
    tensors_of,
    untouched,
)
from benchmarks.attack.limits import MEMORY_MB, one_line_and_no_verdict
from benchmarks.attack.wrong_numbers import LAYER, adapter

CODE, WRONG, LIMIT, LEAK = "foreign code", "wrong number", "error, limit, litter", "leak"


def connections_to(canary: Path) -> Callable[[], None]:
    """Leaves a file behind where the process opens a connection, with the hub allowed."""

    def watch() -> None:
        import socket

        def connect(self: socket.socket, address: Any) -> None:
            canary.write_text(repr(address))
            raise ConnectionRefusedError(111, "watched")

        def resolve(*arguments: Any, **_: Any) -> list[Any]:
            canary.write_text(repr(arguments[:2]))
            raise socket.gaierror(-2, "watched")

        socket.socket.connect = connect  # type: ignore[method-assign, assignment]
        socket.getaddrinfo = resolve

    return watch


#: What a config may name to have code or files fetched, and in which file it stands.
NAMES: dict[str, tuple[str, dict[str, object]]] = {
    "a kernel of the hub": (
        "config.json",
        {"_attn_implementation": "someone/attention", "attn_implementation": "someone/attention"},
    ),
    "code of another repository": (
        "config.json",
        {
            "auto_map": {
                "AutoConfig": "someone/else--modeling.X",
                "AutoModelForCausalLM": "someone/else--modeling.X",
            }
        },
    ),
    "a tokenizer of another repository": (
        "tokenizer_config.json",
        {"auto_map": {"AutoTokenizer": ["someone/else--tok.X", None]}, "tokenizer_class": "X"},
    ),
    "another name or path": (
        "config.json",
        {"_name_or_path": "someone/else", "name_or_path": "someone/else"},
    ),
    "a quantisation library": (
        "config.json",
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
    ),
    "an unknown quantisation": ("config.json", {"quantization_config": {"quant_method": "../x"}}),
    "a tokenizer's base": (
        "tokenizer_config.json",
        {"name_or_path": "someone/else", "tokenizer_class": "BertTokenizer"},
    ),
}


def _naming(name: str, file: str, changes: dict[str, object]) -> None:
    title = f"{file} names {name}: nothing is fetched, nothing of it runs"

    @attack(f"checkpoint: {name}", CODE, title, in_suite=name == "a kernel of the hub")
    def attempt(place: Path) -> None:
        changed_json(model(place / "m") / file, **changes)
        ended = evaluate(
            place,
            "m",
            stdin="y\n" * 20,
            before=connections_to(place / "connection"),
            environment={"HF_HUB_OFFLINE": "0"},
        )
        require(not (place / "connection").exists(), "a connection was opened")
        if ended.code:
            one_line_and_no_verdict(ended)


for _name, (_file, _changes) in NAMES.items():
    _naming(_name, _file, _changes)

ESCAPES = (
    "{{ cycler.__init__.__globals__.os.system('touch %s') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__()[0] }}{{ self.__init__.__globals__ }}",
    "{{ (messages|attr('__class__')).__base__ }}",
    "{{ namespace.__init__.__globals__['__builtins__']['open']('%s','w') }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "{%% set x = messages.append('x') %%}",
    "{%% include '/etc/passwd' %%}",
    "{%% import 'os' as os %%}{{ os.system('touch %s') }}",
)


def _template(number: int, text: str) -> None:
    @attack(f"checkpoint: template {number}", CODE, f"a chat template leaves its box: {text[:40]}")
    def attempt(place: Path) -> None:
        canary = place / "canary"
        (model(place / "m") / "chat_template.jinja").write_text(
            text.replace("%s", str(canary)).replace("%%", "%")
        )
        row = {"messages": [{"role": r, "content": "a"} for r in ("user", "assistant")]}
        (place / "d.jsonl").write_text((json.dumps(row) + "\n") * 2)
        experiment(
            place,
            {"a": "trainer: full, data: d, steps: 1, batch_size: 1"},
            base="m",
            data="{d: {path: d.jsonl}}",
        )
        ended = steelyard("run", "x.yaml", "--no-gate", cwd=place, memory_mb=2 * MEMORY_MB)
        untouched(canary)
        require("root:x:" not in ended.printed, "a file of the machine is printed")
        if ended.code:
            one_line_and_no_verdict(ended)


for _number, _text in enumerate(ESCAPES):
    _template(_number, _text)


# --- adapters --------------------------------------------------------------------------------

ADAPTERS: dict[str, dict[str, object]] = {
    "a module to import (megatron_core)": {"megatron_config": {"x": 1}, "megatron_core": "planted"},
    "a library (auto_mapping)": {
        "auto_mapping": {"base_model_class": "X", "parent_library": "planted"}
    },
    "a base that is a file": {"base_model_name_or_path": "/etc/passwd"},
    "a base by address": {"base_model_name_or_path": "https://example.org/m"},
    "a base of the hub": {"base_model_name_or_path": "someone/else"},
    "itself as base": {"base_model_name_or_path": "."},
    "a pattern that never ends": {"target_modules": "(a+)+$" + "(.*)*" * 8 + "b"},
    "a hundred thousand layers": {"layer_replication": [[0, 2]] * 100_000},
    "an unknown kind": {"peft_type": "X-EVIL"},
    "a rank of a billion": {"r": 10**9},
    "a base with a revision": {"revision": "refs/pr/1", "base_model_name_or_path": "someone/else"},
}


def _lora(base: Path) -> dict[str, Any]:
    """A change of every query projection."""
    import torch

    rows, columns = tensors_of(base)["model.layers.0.self_attn.q_proj.weight"].shape
    name = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    shapes = {"A": (2, columns), "B": (rows, 2)}
    return {
        name.format(layer, part): torch.full(shape, 0.01)
        for layer in range(2)
        for part, shape in shapes.items()
    }


def _adapter(name: str, changes: dict[str, object]) -> None:
    @attack(f"adapter: {name}", CODE, f"adapter_config.json names {name}: refused, nothing runs")
    def attempt(place: Path) -> None:
        base = model(place / "m")
        (place / "planted.py").write_text(canary_code(place / "canary"))
        folder = adapter(place / "a", str(base))
        changed_json(folder / "adapter_config.json", **changes)
        save_tensors(folder, _lora(base), "adapter_model.safetensors")
        watch = connections_to(place / "connection")

        def before() -> None:
            import sys

            sys.path.append(str(place))  # a module that is there: would it be imported?
            watch()

        ended = evaluate(
            place,
            "a",
            before=before,
            seconds=60,
            memory_mb=MEMORY_MB,
            environment={"HF_HUB_OFFLINE": "0"},
        )
        untouched(place / "canary")
        require(ended.code != TIMED_OUT, "it never ends")
        hub = name.startswith("a base of the hub") or "revision" in name
        require(hub or not (place / "connection").exists(), "a connection was opened")
        if ended.code:
            one_line_and_no_verdict(ended)


for _name, _changes in ADAPTERS.items():
    _adapter(_name, _changes)


# --- weights and tokenizers ------------------------------------------------------------------


def _header(folder: Path, header: object, data: bytes = bytes(64)) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + data)


def _not_numbers(folder: Path, value: float) -> None:
    tensors = tensors_of(folder)
    tensors[LAYER] = tensors[LAYER] * value
    save_tensors(folder, tensors)


def _other_dtype(folder: Path) -> None:
    import torch

    tensors = tensors_of(folder)
    tensors[LAYER] = (tensors[LAYER] * 100).to(torch.int8)
    save_tensors(folder, tensors)


HALF: dict[str, object] = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
WEIGHT_FILES: dict[str, Callable[[Path], object]] = {
    "a header of 2^60 bytes": lambda f: (f / WEIGHTS).write_bytes(struct.pack("<Q", 2**60) + b"{}"),
    "overlapping tensors": lambda f: _header(f, {"a": HALF, "b": HALF}),
    "a shape of 2^62": lambda f: _header(f, {"a": {**HALF, "shape": [2**31, 2**31]}}),
    "a negative shape": lambda f: _header(f, {"a": {**HALF, "shape": [-2, -2]}}),
    "offsets outside": lambda f: _header(f, {"a": {**HALF, "data_offsets": [0, 10**12]}}),
    "a tensor twice": lambda f: _header(f, b'{"a":%s,"a":%s}' % ((json.dumps(HALF).encode(),) * 2)),
    "NaN": lambda f: _not_numbers(f, float("nan")),
    "infinities": lambda f: _not_numbers(f, float("inf")),
    "whole numbers in a layer": _other_dtype,
    "nothing": lambda f: (f / WEIGHTS).write_bytes(b""),
    "text": lambda f: (f / WEIGHTS).write_text("<html>404</html>"),
    "a Git LFS pointer": lambda f: (f / WEIGHTS).write_text(
        "version https://git-lfs.github.com/spec/v1\n"
    ),
    "a folder": lambda f: ((f / WEIGHTS).unlink(), (f / WEIGHTS).mkdir()),
}


def _weights(name: str, damage: Callable[[Path], object]) -> None:
    title = f"weights that hold {name}: refused, or no sample is scored"

    @attack(f"weights: {name}", WRONG, title, in_suite=name in ("overlapping tensors", "a folder"))
    def attempt(place: Path) -> None:
        damage(model(place / "m"))
        ended = evaluate(place, "m", seconds=60, memory_mb=MEMORY_MB)
        require(ended.code != TIMED_OUT, "it never ends")
        if ended.code:
            one_line_and_no_verdict(ended)
            return
        records = [json.loads(p.read_text()) for p in place.glob(".steelyard/runs/*/run.json")]
        values = [score["value"] for record in records for score in record["scores"]]
        finite = [value for value in values if value is not None]
        require(not finite or name not in ("NaN", "infinities"), f"scored as {finite}")
        require(name in ("NaN", "infinities"), f"scored: {values}")


for _name, _damage in WEIGHT_FILES.items():
    _weights(_name, _damage)


def _beyond(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    for token in tokenizer["added_tokens"]:
        token["id"] += 1_000_000
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def _loop(folder: Path) -> None:
    (folder / "self").symlink_to(".")
    (folder / "again").symlink_to("self")


def _many(folder: Path) -> None:
    for number in range(5000):
        (folder / f"file-{number}").write_text("")


def _deep(folder: Path) -> None:
    place = folder
    for _ in range(60):
        place = place / ("d" * 30)
    place.mkdir(parents=True)
    (place / "x").write_text("x")


FOLDERS: dict[str, Callable[[Path], object]] = {
    "token ids beyond the embedding": _beyond,
    "a link to itself": _loop,
    "5,000 other files": _many,
    "sixty folders in one another": _deep,
    "a path as vocabulary": lambda f: changed_json(
        f / "tokenizer_config.json", vocab_file="/etc/passwd", tokenizer_file="/etc/passwd"
    ),
    "generation without end": lambda f: changed_json(
        f / "generation_config.json", max_new_tokens=10**12, num_beams=10**6, max_length=10**12
    ),
    "a window of no tokens": lambda f: changed_json(f / "config.json", max_position_embeddings=0),
    "special tokens of other types": lambda f: changed_json(
        f / "tokenizer_config.json", eos_token=7, bos_token=["x"], pad_token={"a": None}
    ),
    "a manifest that is a list": lambda f: (f / "manifest.json").write_text("[]"),
    "a base link to /": lambda f: (f / "base.json").write_text(
        '{"relative": "/", "absolute": "/"}'
    ),
}


def _folder(name: str, change: Callable[[Path], object]) -> None:
    @attack(f"folder: {name}", LIMIT, f"a folder with {name}: scored, or one line; nothing carried")
    def attempt(place: Path) -> None:
        change(model(place / "m"))
        ended = evaluate(place, "m", seconds=90, memory_mb=MEMORY_MB)
        require(ended.code != TIMED_OUT, "it never ends")
        require("root:x:" not in ended.printed, "a file of the machine is printed")
        for path in place.glob(".steelyard/**/*"):
            carried = path.is_file() and b"root:x:" in path.read_bytes()
            require(not carried, "a file of the machine was carried into the workspace")
        if ended.code:
            one_line_and_no_verdict(ended)


for _name, _change in FOLDERS.items():
    _folder(_name, _change)

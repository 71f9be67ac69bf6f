"""The third round: what the list of the first left open, each attack on the kind it stands for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from benchmarks.attack.attacks import NotTriedError, attack, require
from benchmarks.attack.command import Ended, start, steelyard
from benchmarks.attack.ground import (
    BASE,
    REFUSED,
    UNEXPECTED,
    WEIGHTS,
    ended_well,
    evaluate,
    experiment,
    in_one_line,
    model,
    refused,
    run_record,
    save_tensors,
    tensors_of,
    write_json,
)
from benchmarks.attack.limits import LIMIT, MEMORY_MB
from benchmarks.attack.losses import ITEMS

WRONG, CODE, LOST, LEAK = "wrong number", "foreign code", "lost or stuck", "leak"
ADAPTER = "adapter_model.safetensors"


# --- a Ray actor that is killed ----------------------------------------------------------------


def _ray(title: str) -> None:
    @attack(
        f"14 ray {title}", LOST, f"Ray's process {title} is killed during scoring: same numbers"
    )
    def attempt(place: Path) -> None:
        killed = place / "killed"
        killed.mkdir()
        for home in (place, killed):
            experiment(home, {"a": "trainer: prune, amount: 0.3"}, limit="200")
        ended_well(steelyard("run", "x.yaml", "--no-gate", cwd=place))
        mark = {"STEELYARD_ATTACK": str(killed)}
        running = start(
            "run", "x.yaml", "--no-gate", "--executor", "ray", "--address", "local",
            "--workers", "1", cwd=killed, environment=mark,
        )  # fmt: skip
        deadline = time.monotonic() + 300
        victims: list[int] = []
        while not victims and time.monotonic() < deadline:
            scoring = list(_processes("ray::score", killed))
            victims = list(_processes(title, killed)) if scoring else []
            time.sleep(0.05)
        for victim in victims:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        ended = running.ended(500)
        if not victims:
            raise NotTriedError(f"no process {title} was seen: {ended.brief()}")
        require(ended.code == 0, f"it does not go on: {ended.brief()}")
        for candidate in ("base", "a"):
            ours, theirs = (_values(home, candidate) for home in (place, killed))
            require(ours == theirs, f"{candidate} has other numbers than an undisturbed run")


def _processes(title: str, place: Path) -> Iterator[int]:
    """Processes of that title that come from the command in ``place``."""
    mark = f"STEELYARD_ATTACK={place}".encode()
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            is_named = (folder / "cmdline").read_bytes().startswith(title.encode())
            if is_named and mark in (folder / "environ").read_bytes():
                yield int(folder.name)


def _values(home: Path, candidate: str) -> list[tuple[str, float]]:
    scores = run_record(home, candidate)["scores"]
    return sorted(
        (f"{score['task']}/{score['metric']}", score["value"])
        for score in scores
        if score["task"] != "cost"
    )


for _title in ("ray::_Bell", "ray::score"):
    _ray(_title)


# --- folders for lm-eval's own backends, and half adapters -------------------------------------


def _hf(cwd: Path, base: str) -> Ended:
    backend = "'lm-eval:hf,device=cpu'"
    experiment(cwd, {"a": "trainer: none, path: n"}, base=base, backend=backend, limit="4")
    return steelyard("run", "x.yaml", "--no-gate", cwd=cwd)


def _handed_over(change: str) -> None:
    @attack(
        f"2 lm-eval {change}", WRONG, f"lm-eval's hf is not handed weights with a {change} tensor"
    )
    def attempt(place: Path) -> None:
        tensors = tensors_of(model(place / "m"))
        key = sorted(tensors)[-3]
        value = tensors.pop(key)
        if change == "misshapen":
            tensors[key] = value[..., :1].contiguous()
        elif change == "renamed":
            tensors[f"{key}_"] = value
        elif change == "NaN":
            tensors[key] = value * float("nan")
        save_tensors(place / "m", tensors)
        model(place / "n")
        ended = _hf(place, "m")
        require(ended.code in (*REFUSED, UNEXPECTED), f"not refused: {ended.brief()}")
        runs = [json.loads(path.read_text()) for path in place.glob(".steelyard/runs/**/run.json")]
        scored = [run["candidate"] for run in runs if run["candidate"] == "base" and run["scores"]]
        require(not scored, "the base was scored all the same")


for _change in ("missing", "misshapen", "renamed", "NaN"):
    _handed_over(_change)

HALVES: dict[str, Callable[[str], bool]] = {
    "lora_A alone": lambda name: "lora_B" not in name,
    "lora_B alone": lambda name: "lora_A" not in name,
    "half of the layers": lambda name: "layers.0." not in name,
    "one projection of two": lambda name: "v_proj" not in name,
    "nothing": lambda name: False,
}


def _whole_adapter(folder: Path, base: Path) -> Path:
    import peft
    from transformers import AutoModelForCausalLM

    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    loaded = AutoModelForCausalLM.from_pretrained(base)
    peft.get_peft_model(loaded, config).save_pretrained(folder)
    return folder


def _half(name: str, stays: Callable[[str], bool]) -> None:
    @attack(f"2 adapter {name}", WRONG, f"an adapter that holds {name} is refused by name")
    def attempt(place: Path) -> None:
        base = model(place / "m")
        folder = _whole_adapter(place / "a", base)
        tensors = tensors_of(folder, ADAPTER)
        halved = {key: value for key, value in tensors.items() if stays(key)}
        if len(halved) == len(tensors):
            raise NotTriedError(f"no tensor of {sorted(tensors)[:4]} is left out")
        save_tensors(folder, halved, ADAPTER)
        for _ in range(2):  # what was refused once is refused again
            refused(evaluate(place, "a"), "a")
        recipes = {
            "half": "trainer: none, path: a",
            "merged": "trainer: merge, sources: [half, half], method: linear",
        }
        experiment(place, recipes, base="m")
        ended = steelyard("run", "x.yaml", "--no-gate", cwd=place)
        require(ended.code in REFUSED, f"it is merged: {ended.brief()}")


for _name, _stays in HALVES.items():
    _half(_name, _stays)


# --- links in folders of results ---------------------------------------------------------------


@attack("7 results", CODE, "a link in a folder of lm-eval's results that leads out is not read")
def linked_results(place: Path) -> None:
    """Prompts and answers of a run would be those of any file of this machine."""
    moment, outside, folder = "2026-01-01T00-00-00.1", place / "outside", place / "out"
    folder.mkdir()
    results = {"results": {"t": {"acc,none": 1.0}}, "configs": {"t": {"task": "t"}},
               "n-samples": {"t": {"effective": 1}}}  # fmt: skip
    sample = {"doc_id": 0, "doc": {"q": "secret-word"}, "target": "a", "resps": [["a"]], "acc": 1.0,
              "filtered_resps": ["a"], "arguments": [["q", "a"]], "metrics": ["acc"],
              "filter": "none"}  # fmt: skip
    outside.write_text(json.dumps(sample) + "\n")
    write_json(folder / f"results_{moment}.json", results)
    (folder / f"samples_t_{moment}.jsonl").symlink_to(outside)
    refused(steelyard("import", "lm-eval", "out", cwd=place), f"samples_t_{moment}.jsonl")
    read = [p for p in place.glob(".steelyard/**/*") if p.is_file()]
    require(not any(b"secret-word" in p.read_bytes() for p in read), "it was carried along")


# --- bounds ------------------------------------------------------------------------------------


def _giant(key: str, value: int) -> None:
    @attack(f"15 gguf {key} {value}", LIMIT, f"a GGUF file with {key} of {value} is told at once")
    def attempt(place: Path) -> None:
        from transformers import AutoModelForCausalLM

        from steelyard.trainers.weights.gguf_export import export

        folder = model(place / "m")
        loaded = AutoModelForCausalLM.from_pretrained(BASE)
        export(loaded, folder, folder / "m.gguf", "F16", with_tokenizer=False)
        for part in (WEIGHTS, "config.json"):
            (folder / part).unlink()
        content = bytearray((folder / "m.gguf").read_bytes())
        at = content.index(key.encode()) + len(key) + 4
        content[at : at + 4] = struct.pack("<I", value)
        (folder / "m.gguf").write_bytes(content)
        ended = evaluate(place, "m/m.gguf", seconds=120, memory_mb=MEMORY_MB)
        refused(ended, "m.gguf")
        require(ended.memory_mb < 1000, f"it took {ended.memory_mb:.0f} MB first")


for _key in ("llama.block_count", "llama.embedding_length", "llama.feed_forward_length"):
    for _value in (5_000_000, 2**32 - 1):
        _giant(_key, _value)


@attack("14 task memory", LIMIT, "memory that runs out inside one task is no verdict: exit 70")
def memory_inside_a_task(place: Path) -> None:
    """The task's own function asks for more than any machine has."""
    tasks = place / "tasks"
    tasks.mkdir()
    (tasks / "d.jsonl").write_text('{"q": "a", "a": "b"}\n' * 3)
    (tasks / "own.py").write_text("def results(doc, results):\n    return {'acc': [0] * 10**15}\n")
    (tasks / "mine.yaml").write_text(
        "task: mine\ndataset_path: json\ntest_split: test\nnum_fewshot: 0\n"
        f"dataset_kwargs: {{data_files: {{test: {tasks}/d.jsonl}}}}\n"
        "output_type: multiple_choice\ndoc_to_text: '{{q}}'\ndoc_to_choice: [a, b]\n"
        "doc_to_target: 0\nprocess_results: !function own.results\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    )
    (place / "suite.yaml").write_text("name: s\ninclude: [tasks]\ntasks: [mine]\n")
    ended = steelyard("eval", "microworld", "-s", "suite.yaml", cwd=place)
    require(ended.code == UNEXPECTED, ended.brief())
    in_one_line(ended)


# --- a workspace that nothing may be written to -------------------------------------------------


def _read_only(title: str, change: Callable[[Path], None]) -> None:
    @attack(f"16 read-only {title}", LIMIT, f"compare and gate read a read-only workspace, {title}")
    def attempt(place: Path) -> None:
        if os.geteuid() != 0:
            raise NotTriedError("only root may become another user")
        for name, text in (("old", ITEMS), ("new", ITEMS.replace(",1", ",0", 2))):
            (place / f"{name}.csv").write_text(text)
            ended_well(steelyard("import", "items", f"{name}.csv", cwd=place))
        rules = "rules: [{task: items, margin: 0.45}]\n"
        (place / "policy.yaml").write_text(f"baseline: imported/old\n{rules}")
        change(place / ".steelyard")
        for path in [place, *place.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        if not all(folder.stat().st_mode & 0o001 for folder in place.parents):
            raise NotTriedError("the temporary folder is private to root")
        for verb in (
            ("compare", "imported/old", "imported/new"),
            ("gate", "imported/new", "-p", "policy.yaml"),
            ("list", "runs"),
        ):
            ended = steelyard(
                *verb, cwd=place, before=_nobody, environment={"HOME": "/nonexistent"}
            )
            judged = (0, 1, 4) if verb[0] == "gate" else (0,)
            require(ended.code in judged, f"{' '.join(verb)}: {ended.brief()}")
            require("error:" not in ended.err, f"{' '.join(verb)}: {ended.brief()}")


def _nobody() -> None:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def _damage(workspace: Path) -> None:
    _index(workspace).write_bytes(bytes(range(200)))


def _index(workspace: Path) -> Path:
    return workspace / "index.sqlite"


_read_only("its index missing", lambda workspace: _index(workspace).unlink())
_read_only("its index damaged", _damage)
_read_only("without tmp", lambda workspace: shutil.rmtree(workspace / "tmp", ignore_errors=True))

"""Points 1 to 4: the run that is judged, and the weights that are scored, are the ones meant."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from benchmarks.attack.attacks import attack, require
from benchmarks.attack.command import steelyard
from benchmarks.attack.ground import (
    POLICY,
    WEIGHTS,
    canary_pickle,
    changed_json,
    ended_well,
    evaluate,
    experiment,
    model,
    refused,
    ruined,
    save_tensors,
    tensors_of,
    untouched,
    write_json,
)

WRONG = "wrong number"
NO_GATE = ("run", "x.yaml", "--no-gate")
GATE = ("gate", "x/a", "--policy", "policy.yaml")
LAYER = "model.layers.0.mlp.down_proj.weight"


def _good_and_bad(place: Path) -> None:
    model(place / "good")
    ruined(place / "bad")
    (place / "policy.yaml").write_text(POLICY)


def _recipe(place: Path, folder: str) -> None:
    experiment(place, {"a": f"trainer: none, path: {folder}"})


def _judged_bad(place: Path) -> None:
    ended = steelyard(*GATE, cwd=place)
    require(ended.code != 0, f"the gate judged the good run, not the current one: {ended.brief()}")


@attack("1", WRONG, "recipe bad, good, bad again: the gate judges the last one")
def bad_good_bad(place: Path) -> None:
    """The third run is cached, so that no date of it is newer than the second's."""
    _good_and_bad(place)
    for folder in ("bad", "good", "bad"):
        _recipe(place, folder)
        ended_well(steelyard(*NO_GATE, cwd=place))
    _judged_bad(place)


@attack("1 failed run", WRONG, "a run that failed is not followed by a gate that passes")
def failed_run(place: Path) -> None:
    """The shipped workflow gates after a failed run on a restored cache."""
    _good_and_bad(place)
    _recipe(place, "good")
    ended_well(steelyard(*NO_GATE, cwd=place))
    broken = model(place / "broken")
    tensors = tensors_of(broken)
    tensors[LAYER] = tensors[LAYER][:, :-1].contiguous()
    save_tensors(broken, tensors)
    _recipe(place, "broken")
    ended = steelyard(*NO_GATE, cwd=place)
    require(ended.code == 2, f"the run should have failed: {ended.brief()}")
    _judged_bad(place)


@attack("1 killed run", WRONG, "a run that was killed is not followed by a gate that passes")
def killed_run(place: Path) -> None:
    """The recipe has changed and its run never ended: there is nothing to judge."""
    _good_and_bad(place)
    _recipe(place, "good")
    ended_well(steelyard(*NO_GATE, cwd=place))
    _recipe(place, "bad")
    ended = steelyard(*NO_GATE, cwd=place, before=killed_in_scoring)
    require(ended.code == 128 + signal.SIGKILL, f"it was not killed: {ended.brief()}")
    _judged_bad(place)


def killed_in_scoring() -> None:
    """End the process without mercy where scoring begins."""
    stage = import_module("steelyard.harness.pipeline.score")
    stage.evaluate = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)


@attack("1 clock", WRONG, "a run made under a clock of 2031 is not the newest for ever")
def fast_clock(place: Path) -> None:
    """The good run says 2031, the bad one was made after it."""
    _good_and_bad(place)
    _recipe(place, "good")
    ended_well(steelyard(*NO_GATE, cwd=place, before=in_2031))
    _recipe(place, "bad")
    ended_well(steelyard(*NO_GATE, cwd=place))
    _judged_bad(place)


def in_2031() -> None:
    """Every clock of the process five years ahead."""
    ahead = 5 * 365 * 86400.0
    true_time = time.time

    class Ahead(datetime.datetime):
        """``datetime`` under a fast clock."""

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            """The time, five years ahead."""
            return datetime.datetime.fromtimestamp(true_time() + ahead, tz)

    time.time = lambda: true_time() + ahead
    for name in ("pipeline.run_record", "checkpoints.opening", "store.locks", "store.logs"):
        module = import_module(f"steelyard.harness.{name}")
        if hasattr(module, "datetime"):
            module.datetime = Ahead


# --- weights ---------------------------------------------------------------------------------


def _without_a_layer(folder: Path) -> None:
    tensors = tensors_of(folder)
    del tensors[LAYER]
    save_tensors(folder, tensors)


def _another_shape(folder: Path) -> None:
    tensors = tensors_of(folder)
    tensors[LAYER] = tensors[LAYER][:, :-1].contiguous()
    save_tensors(folder, tensors)


def _another_name(folder: Path) -> None:
    tensors = tensors_of(folder)
    tensors["renamed.weight"] = tensors.pop(LAYER)
    save_tensors(folder, tensors)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": _without_a_layer,
    "mismatched": _another_shape,
    "renamed": _another_name,
}


def _damaged_weights(name: str, damage: Callable[[Path], None]) -> None:
    title = f"a tensor of the weights is {name}: it is not filled at random"

    @attack(f"2 {name}", WRONG, title, in_suite=name == "missing")
    def attempt(place: Path) -> None:
        damage(model(place / "m"))
        refused(evaluate(place, "m"), LAYER)


for _name, _damage in DAMAGES.items():
    _damaged_weights(_name, _damage)

#: Where else weights are loaded: the recipe of a candidate whose start is the damaged model.
DOORS = {
    "prune": "trainer: prune, amount: 0.1",
    "quantize": "trainer: quantize, scheme: absmax-int8",
    "full": "trainer: full, data: d, steps: 1, batch_size: 2",
    "lora": "trainer: lora, data: d, steps: 1, batch_size: 2, rank: 2",
}


def _damaged_door(name: str, recipe: str) -> None:
    @attack(f"2 under {name}", WRONG, f"{name} of a base that lacks a tensor is refused")
    def attempt(place: Path) -> None:
        _without_a_layer(model(place / "m"))
        (place / "d.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 4)
        data = {"data": "{d: {path: d.jsonl}}"} if "data:" in recipe else {}
        experiment(place, {"a": recipe}, base="m", **data)
        refused(steelyard(*NO_GATE, cwd=place), LAYER)


for _name, _recipe_of in DOORS.items():
    _damaged_door(_name, _recipe_of)


@attack("2 merge", WRONG, "a merge with a source that lacks a tensor is refused")
def merge_of_damaged(place: Path) -> None:
    """Neither filled at random nor left out of the mean."""
    model(place / "good")
    _without_a_layer(model(place / "broken"))
    experiment(
        place,
        {
            "a": "trainer: none, path: good",
            "b": "trainer: none, path: broken",
            "m": "trainer: merge, sources: [a, b], method: linear",
        },
    )
    refused(steelyard(*NO_GATE, cwd=place), LAYER)


# --- what the digest covers ------------------------------------------------------------------


def _scores(place: Path, name: str) -> list[object]:
    ended_well(evaluate(place, name, "--name", name))
    records = [json.loads(path.read_text()) for path in place.glob(".steelyard/runs/**/run.json")]
    record = next(r for r in records if name in (r["candidate"], r["experiment"]))
    return [(score["task"], score["metric"], score["value"]) for score in record["scores"]]


@attack("3 backup", WRONG, "a backup beside the weights is named and changes nothing")
def backup(place: Path) -> None:
    """The scores are those of the weights that transformers reads."""
    model(place / "a")
    other = ruined(place / "bad")
    shutil.copytree(place / "a", place / "b")
    shutil.copyfile(other / WEIGHTS, place / "b" / "model-backup.safetensors")
    require(_scores(place, "a") == _scores(place, "b"), "the backup changed the scores")


def _index(folder: Path, file: str) -> None:
    """An index that finds every tensor in ``file``."""
    tensors = tensors_of(folder)
    (folder / WEIGHTS).unlink()
    write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(tensors, file)},
    )


@attack("3 outside", WRONG, "an index that names ../outside.safetensors is refused", in_suite=True)
def outside(place: Path) -> None:
    """The weights could be exchanged without the folder's digest changing."""
    folder = model(place / "m")
    shutil.copyfile(folder / WEIGHTS, place / "outside.safetensors")
    _index(folder, "../outside.safetensors")
    refused(evaluate(place, "m"), "outside.safetensors")


@attack("3 absolute", WRONG, "an index that names an absolute path is refused")
def absolute(place: Path) -> None:
    """As ``../``, by another spelling."""
    folder = model(place / "m")
    shutil.copyfile(folder / WEIGHTS, place / "outside.safetensors")
    _index(folder, str(place / "outside.safetensors"))
    refused(evaluate(place, "m"), "outside.safetensors")


@attack("3 pickle", WRONG, "an index that names a .bin is refused and no pickle is opened")
def index_of_pickles(place: Path) -> None:
    """A pickle runs what it holds."""
    folder = model(place / "m")
    _index(folder, "pytorch_model.bin")
    canary_pickle(folder / "pytorch_model.bin", place / "canary")
    refused(evaluate(place, "m"))
    untouched(place / "canary")


@attack("3 named weights", WRONG, "`transformers_weights` of a config does not swap the weights")
def named_weights(place: Path) -> None:
    """Refused, or the file that it names is the one that is digested and loaded."""
    ruined(place / "bad")
    folder = model(place / "m")
    shutil.copyfile(place / "bad" / WEIGHTS, folder / "other.safetensors")
    first = _scores(place, "m")
    shutil.copytree(folder, place / "n")
    changed_json(place / "n" / "config.json", transformers_weights="other.safetensors")
    ended = evaluate(place, "n", "--name", "n")
    if ended.code == 0:
        shutil.copytree(place / "n", place / "o")
        shutil.copyfile(place / "m" / WEIGHTS, place / "o" / "other.safetensors")
        require(_scores(place, "o") == first, "a file that is not digested decides the scores")
    else:
        refused(ended)


def adapter(folder: Path, base: str) -> Path:
    """A LoRA adapter's configuration, without weights."""
    folder.mkdir(parents=True)
    write_json(
        folder / "adapter_config.json",
        {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": 2,
         "lora_alpha": 4, "target_modules": ["q_proj"]},
    )  # fmt: skip
    return folder


@attack("3 decoy", WRONG, "a decoy beside adapter_model.bin: the pickle is not read", in_suite=True)
def decoy(place: Path) -> None:
    """PEFT reads the ``.bin`` where the one file that it knows by name is missing."""
    base = model(place / "m")
    folder = adapter(place / "a", str(base))
    save_tensors(folder, {"x": tensors_of(base)[LAYER]}, "adapter_model_decoy.safetensors")
    canary_pickle(folder / "adapter_model.bin", place / "canary")
    ended = evaluate(place, "a")
    untouched(place / "canary")
    refused(ended)


@attack("4", WRONG, "a manifest cannot vouch that foreign weights are another model")
def vouching_manifest(place: Path) -> None:
    """The run's own checkpoint is copied, its weights exchanged, the digests declared."""
    model(place / "good")
    bad = ruined(place / "bad")
    experiment(place, {"a": "trainer: none, path: good"})
    ended_well(steelyard(*NO_GATE, cwd=place))
    manifests = sorted(place.glob(".steelyard/checkpoints/*/manifest.json"))
    honest = next(
        (path for path in manifests if json.loads(path.read_text())["candidate"] == "a"), None
    )
    claims = json.loads(honest.read_text()) if honest else {"checks": {}}
    (place / "policy.yaml").write_text(POLICY)
    for claimed in ("digest of the float32 copy", "digest of the float32 weights"):
        claims["checks"] = {**claims.get("checks", {}), claimed: claims.get("digest", "0" * 64)}
    write_json(bad / "manifest.json", claims)
    experiment(place, {"a": "trainer: none, path: bad"})
    ended = steelyard(*NO_GATE, cwd=place)
    require(ended.code in (0, 2), f"neither scored nor refused: {ended.brief()}")
    _judged_bad(place)
    ended = evaluate(place, "bad")
    if ended.code == 0:
        require("1.000" not in ended.out, "foreign weights were given the good model's scores")

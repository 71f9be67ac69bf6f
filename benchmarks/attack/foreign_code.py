"""Points 5 to 7: no Python of a folder or the working directory runs; no link leads outside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.attack.attacks import NotTriedError, attack, require
from benchmarks.attack.command import Ended, interpreter, steelyard
from benchmarks.attack.ground import (
    POLICY,
    REFUSED,
    WEIGHTS,
    canary_code,
    changed_json,
    ended_well,
    evaluate,
    experiment,
    in_one_line,
    model,
    refused,
    untouched,
)

CODE = "foreign code"
YES = "y\n" * 50


def _modelling(place: Path) -> Path:
    """A model that says of itself that it needs the Python beside it."""
    folder = model(place / "m")
    (folder / "modeling_x.py").write_text(
        canary_code(place / "canary") + "class X: pass\nclass XConfig: pass\n"
    )
    changed_json(
        folder / "config.json",
        model_type="x-foreign",
        auto_map={"AutoConfig": "modeling_x.XConfig", "AutoModelForCausalLM": "modeling_x.X"},
    )
    return folder


def _tokenizing(place: Path) -> Path:
    folder = model(place / "m")
    (folder / "tokenization_x.py").write_text(
        canary_code(place / "canary") + "class XTokenizer: pass\n"
    )
    changed_json(
        folder / "tokenizer_config.json",
        tokenizer_class="XTokenizer",
        auto_map={"AutoTokenizer": ["tokenization_x.XTokenizer", "tokenization_x.XTokenizer"]},
    )
    return folder


def _generating(place: Path) -> Path:
    folder = model(place / "m")
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(
        canary_code(place / "canary") + "def generate(*a, **k): pass\n"
    )
    return folder


FOLDERS: dict[str, Callable[[Path], Path]] = {
    "model": _modelling,
    "tokenizer": _tokenizing,
    "generation": _generating,
}


def _asked(name: str, make: Callable[[Path], Path]) -> None:
    title = f"`yes y | steelyard eval` runs no Python of a folder ({name})"

    @attack(f"5 {name}", CODE, title, in_suite=name != "generation")
    def attempt(place: Path) -> None:
        make(place)
        ended = evaluate(place, "m", stdin=YES)
        untouched(place / "canary")
        if ended.code:
            in_one_line(ended)


for _name, _make in FOLDERS.items():
    _asked(_name, _make)


DOORS: dict[str, tuple[str, ...]] = {
    "run": ("run", "x.yaml"),
    "train": ("train", "x.yaml"),
    "plan": ("plan", "x.yaml"),
    "show": ("show", "microworld_known", "--tokenizer", "m"),
    "check": ("tasks", "check", "microworld_known", "--tokenizer", "m"),
    "gate": ("gate", "m", "--sequential", "-p", "policy.yaml", "-b", "microworld"),
}


def _door(name: str, arguments: tuple[str, ...]) -> None:
    @attack(f"5 by {name}", CODE, f"`yes y | steelyard {name}` runs no Python of a folder")
    def attempt(place: Path) -> None:
        for make in (_modelling, _tokenizing):
            make(place)
            (place / "policy.yaml").write_text(POLICY)
            experiment(place, {"a": "trainer: prune, amount: 0.1"}, base="m")
            ended = steelyard(*arguments, cwd=place, stdin=YES)
            untouched(place / "canary")
            if ended.code:
                in_one_line(ended)
            shutil.rmtree(place / "m")


for _name, _arguments in DOORS.items():
    _door(_name, _arguments)


# --- the working directory -------------------------------------------------------------------

SHADOWED = ("torch", "numpy", "json", "yaml", "steelyard", "sitecustomize", "safetensors", "ray")


def _planted(place: Path) -> None:
    for name in SHADOWED:
        canary = place / f"canary-{name}"
        (place / f"{name}.py").write_text(canary_code(canary) + "raise SystemExit(9)\n")


def _nothing_ran(place: Path) -> None:
    ran = sorted(path.name.removeprefix("canary-") for path in place.glob("canary-*"))
    require(not ran, f"modules of the working directory ran: {', '.join(ran)}")


def _from_here(name: str, *more: str) -> None:
    @attack(f"6 {name}", CODE, f"no module of the working directory runs under {name}")
    def attempt(place: Path) -> None:
        _planted(place)
        experiment(place, {"a": "trainer: prune, amount: 0.1"})
        ended = interpreter("run", "x.yaml", "--no-gate", *more, cwd=place, seconds=400)
        _nothing_ran(place)
        ended_well(ended)


_from_here("inline")
_from_here("local", "--executor", "local", "--workers", "2")
_from_here("ray", "--executor", "ray", "--address", "local", "--workers", "1")


# --- links that leave the folder -------------------------------------------------------------

SECRET = "secret-word-of-another-folder"


def _link(name: str, file: str) -> None:
    title = f"a link {file} -> outside is refused"

    @attack(f"7 {name}", CODE, title, in_suite=name == "vocabulary")
    def attempt(place: Path) -> None:
        folder = model(place / "m")
        outside = place / "outside"
        if (folder / file).exists():
            shutil.move(folder / file, outside)
        else:
            outside.write_text(f"{SECRET}\n")
        (folder / file).symlink_to(os.path.relpath(outside, folder))
        ended = evaluate(place, "m")
        refused(ended, file)
        require(SECRET not in ended.printed, "what the link leads to is printed")
        carried = [p for p in place.glob(".steelyard/**/*") if p.is_file()]
        require(
            not any(SECRET.encode() in path.read_bytes() for path in carried),
            "what the link leads to was carried into the workspace",
        )


for _name, _file in {
    "vocabulary": "vocab.txt",
    "weights": WEIGHTS,
    "config": "config.json",
    "tokenizer": "tokenizer.json",
    "template": "chat_template.jinja",
    "license": "LICENSE",
}.items():
    _link(_name, _file)


@attack("7 folder", CODE, "a folder inside that is a link to elsewhere is refused or not read")
def linked_folder(place: Path) -> None:
    """``additional_chat_templates -> /somewhere`` is read by transformers."""
    folder = model(place / "m")
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / "x.jinja").write_text(SECRET)
    (folder / "additional_chat_templates").symlink_to(place / "elsewhere")
    ended = evaluate(place, "m")
    require(ended.code in (0, *REFUSED), ended.brief())
    experiment(place, {"a": "trainer: prune, amount: 0.1"}, base="m")
    steelyard("run", "x.yaml", "--no-gate", cwd=place)
    carried = [p for p in place.glob(".steelyard/checkpoints/**/*") if p.is_file()]
    require(
        not any(SECRET.encode() in path.read_bytes() for path in carried),
        "a checkpoint holds what the link led to",
    )


@attack("7 adapter", CODE, "an adapter whose weights are a link to elsewhere is refused")
def linked_adapter(place: Path) -> None:
    """As the full model's."""
    from benchmarks.attack.wrong_numbers import adapter

    base = model(place / "m")
    folder = adapter(place / "a", str(base))
    shutil.copyfile(base / WEIGHTS, place / "outside")
    (folder / "adapter_model.safetensors").symlink_to(place / "outside")
    refused(evaluate(place, "a"), "adapter_model.safetensors")


@attack("7 hub", CODE, "the hub's cache, whose files are links into blobs/, still opens")
def hub_cache(place: Path) -> None:
    """What refuses every link would refuse each model of the hub."""
    cache = place / "models--org--m"
    source = model(place / "source")
    (cache / "blobs").mkdir(parents=True)
    snapshot = cache / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(source.iterdir())):
        blob = cache / "blobs" / f"{number:064x}"
        shutil.copyfile(file, blob)
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
    require_works(evaluate(place, snapshot))


def require_works(ended: Ended) -> None:
    """Refusing would be wrong."""
    if ended.code == 1:
        raise NotTriedError(ended.brief())
    require(ended.code == 0, f"what should open is refused: {ended.brief()}")

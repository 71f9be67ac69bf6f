"""Points 8 to 10: nothing is deleted, stopped for good or kept where it cannot last."""

from __future__ import annotations

import json
import os
from pathlib import Path

from benchmarks.attack.attacks import attack, require
from benchmarks.attack.command import steelyard
from benchmarks.attack.ground import (
    changed_json,
    ended_well,
    experiment,
    files_below,
    in_one_line,
    refused,
)

LOST = "lost or stuck"
ITEMS = "id,acc\n" + "".join(f"q{i},{i % 2}\n" for i in range(40))


def imported(place: Path, name: str = "old") -> Path:
    """The folder of a run that was imported; nothing of it needs a model."""
    (place / f"{name}.csv").write_text(ITEMS)
    before = set(place.glob(".steelyard/runs/*"))
    ended_well(steelyard("import", "items", f"{name}.csv", cwd=place))
    return next(iter(set(place.glob(".steelyard/runs/*")) - before))


def _from_the_future(folder: Path) -> None:
    changed_json(folder / "run.json", schema_version=99, a_field_of_tomorrow={"x": 1})


@attack("8", LOST, "a run of a newer version is touched by no verb", in_suite=True)
def newer_version(place: Path) -> None:
    """`store check` says that an upgrade is needed; the others must not do more than say so."""
    folder = imported(place)
    _from_the_future(folder)
    os.utime(folder, (1, 1))
    before = {name: (folder / name).read_bytes() for name in sorted(files_below(folder))}
    verbs: tuple[tuple[str, ...], ...] = (
        ("list", "runs"),
        ("store", "check"),
        ("store", "rebuild"),
        ("store", "gc", "--delete"),
        ("import", "items", "old.csv"),
        ("compare", "imported/old", "imported/old"),
        ("export", "imported/old", "--to", "csv"),
        ("leaderboard", "-o", "site"),
    )
    for verb in verbs:
        ended = steelyard(*verb, cwd=place)
        require(ended.code != 1 or verb[0] in ("list",), f"{' '.join(verb)}: {ended.brief()}")
        after = {name: (folder / name).read_bytes() for name in sorted(files_below(folder))}
        require(after == before, f"{' '.join(verb)} changed or deleted a newer version's run")


@attack("8 run", LOST, "`run` on a workspace with a newer version's run deletes nothing")
def newer_version_run(place: Path) -> None:
    """The run that the experiment would make again is the newer one."""
    experiment(place, {"a": "trainer: prune, amount: 0.1"})
    ended_well(steelyard("run", "x.yaml", "--no-gate", cwd=place))
    folders = sorted(place.glob(".steelyard/runs/*/run.json"))
    for file in folders:
        _from_the_future(file.parent)
    before = {file: file.read_bytes() for file in folders}
    ended = steelyard("run", "x.yaml", "--no-gate", cwd=place)
    if ended.code:
        in_one_line(ended)
    for file, content in before.items():
        require(file.exists(), "`run` deleted a newer version's run")
        require(file.read_bytes() == content, "`run` replaced a newer version's run")


def _flipped(file: str, part: float) -> None:
    title = f"a byte of {file} at {part:.0%} of it is turned: the run is made again"

    @attack(f"9 {file} {part:.0%}", LOST, title)
    def attempt(place: Path) -> None:
        experiment(place, {"a": "trainer: prune, amount: 0.1"})
        ended_well(steelyard("run", "x.yaml", "--no-gate", cwd=place))
        folder = next(
            path.parent
            for path in place.glob(".steelyard/runs/*/run.json")
            if json.loads(path.read_text())["candidate"] == "a"
        )
        scores = json.loads((folder / "run.json").read_text())["scores"]
        target = folder / file
        content = bytearray(target.read_bytes())
        content[int(len(content) * part)] ^= 0x5A
        target.write_bytes(content)
        ended_well(steelyard("run", "x.yaml", "--no-gate", cwd=place), (0, 2))
        ended = steelyard("run", "x.yaml", "--no-gate", cwd=place)
        require(ended.code == 0, f"the workspace is stopped for good: {ended.brief()}")
        ended = steelyard("compare", "x/base", "x/a", cwd=place)
        require(ended.code == 0, f"the rows are still damaged: {ended.brief()}")
        again = [
            json.loads(path.read_text())
            for path in place.glob(".steelyard/runs/*/run.json")
            if json.loads(path.read_text())["candidate"] == "a"
        ]
        require([r["scores"] for r in again] == [scores], "other scores, or two runs")
        ended = steelyard("store", "check", cwd=place)
        require(ended.code == 0, f"`store check` still finds damage: {ended.brief()}")


for _file in ("rows.parquet", "samples.parquet"):
    for _part in (0.02, 0.5):
        _flipped(_file, _part)


@attack("10", LOST, "a location that ends with its process is refused for a store", in_suite=True)
def in_memory(place: Path) -> None:
    """Files in ``memory://`` are gone when the command ends; its index is not."""
    (place / "old.csv").write_text(ITEMS)
    for location in ("memory://x", "MEMORY://x", "simplecache::memory://x"):
        store = f"postgresql://ann@127.0.0.1:1/x?artifacts={location}"
        ended = steelyard("import", "items", "old.csv", "--store", store, cwd=place, seconds=6)
        refused(ended)
        require(
            "memory" in ended.err.lower(), f"{location}: the location is not named: {ended.brief()}"
        )

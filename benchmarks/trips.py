"""Four trips through the house: which rooms a value enters on its way, and how often it turns back.

    python benchmarks/trips.py [--root CHECKOUT]

A small experiment runs in this process with values that stand nowhere else (a learning rate, a
seed, an early stop's patience, the id of one sample). Every call of a function of the project that
is handed such a value, or returns it, is written down once, in the order of the first time. The
route is that list by rooms (a folder or a file of ``harness/``, or another top-level folder): a
move is a change of room, and a move turns back where the room was entered before. ``--root`` takes
another checkout, an older one with four top-level packages too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

FOLDERS = ("harness", "tasks", "trainers", "reports", "steelyard")
OWN = tuple(f"{folder}/" for folder in FOLDERS)
LEARNING_RATE, SEED, PATIENCE = 1.2345e-4, 424243, 97531
DEPTH, ITEMS = 4, 60

EXPERIMENT = f"""
name: trip
base: microworld
seed: {SEED}
data:
  facts: {{path: data/facts_b.jsonl}}
candidates:
  full:
    trainer: full
    data: facts
    steps: 4
    batch_size: 8
    learning_rate: {LEARNING_RATE}
    early_stop: {{every: 2, patience: {PATIENCE}, holdout: 0.1}}
suite: [microworld_known]
limit: 6
gate:
  baseline: base
  waive_contamination: {{"microworld_*": the data teach the facts that the tasks ask for}}
  rules: [{{task: microworld_known, margin: 0.5}}]
report: [html]
"""


def holds(value: object, marker: object, depth: int = DEPTH) -> bool:
    """Whether a value is the marker or holds it, as far as a few levels of containers go."""
    if isinstance(value, type(marker)) and not isinstance(value, bool):
        return value == marker
    if depth == 0 or isinstance(value, str | bytes | int | float | type(None)):
        return False
    if isinstance(value, dict):
        items = list(value.items())[:ITEMS]
        return any(holds(part, marker, depth - 1) for item in items for part in item)
    if isinstance(value, list | tuple | set | frozenset):
        return any(holds(part, marker, depth - 1) for part in list(value)[:ITEMS])
    home = type(value).__module__.partition(".")[0]
    if home in (*FOLDERS, "trl", "transformers") and "__dict__" in dir(value):
        parts = list(vars(value).items())[:200]
        return any(holds(part, marker, depth - 1) for _, part in parts)
    return False


class Walk:
    """The functions of the project that a marker has reached, in the order of the first time."""

    def __init__(self, root: Path, markers: dict[str, object]) -> None:
        self.root = str(root) + "/"
        self.markers = markers
        self.routes: dict[str, dict[str, None]] = {name: {} for name in markers}
        self._places: dict[CodeType, str | None] = {}

    def __call__(self, frame: FrameType, event: str, returned: object) -> None:
        """See :func:`sys.setprofile`."""
        if event not in ("call", "return"):
            return
        place = self._place(frame.f_code)
        if place is None:
            return
        values = list(frame.f_locals.values()) if event == "call" else [returned]
        for name, marker in self.markers.items():
            if place not in self.routes[name] and any(holds(v, marker) for v in values):
                self.routes[name][place] = None

    def _place(self, code: CodeType) -> str | None:
        if code not in self._places:
            file = str(Path(code.co_filename).resolve()) if code.co_filename[:1] == "/" else ""
            # An environment inside the checkout is not the project.
            inside = file.removeprefix(self.root).startswith(OWN) and "site-packages" not in file
            self._places[code] = (
                f"{file.removeprefix(self.root)}:{code.co_qualname}" if inside else None
            )
        return self._places[code]


def room_of(place: str) -> str:
    """The room of a function: a file or folder of the harness, or another top-level folder."""
    parts = place.partition(":")[0].split("/")
    return "/".join(parts[:2]).removesuffix(".py") if parts[0] == "harness" else parts[0]


def until(route: list[str], folder: str) -> list[str]:
    """The route up to its last function in ``folder``; the whole route where that is empty."""
    last = max((i for i, place in enumerate(route) if place.startswith(folder)), default=len(route))
    return route[: last + 1]


def summary(route: list[str]) -> tuple[list[str], int, int]:
    """(rooms in the order of the route, moves, moves into a room that was entered before)."""
    rooms: list[str] = []
    for place in route:
        if not rooms or rooms[-1] != room_of(place):
            rooms.append(room_of(place))
    back = sum(room in rooms[:index] for index, room in enumerate(rooms))
    return rooms, len(rooms) - 1, back


def walked(root: Path, folder: Path, markers: dict[str, object]) -> Walk:
    """The experiment's run in this process, with every function of the project watched."""
    from importlib import import_module

    prefix = "steelyard." if (root / "steelyard" / "__init__.py").exists() else ""
    main = import_module(f"{prefix}harness.cli.main").main
    workspace = ".steelyard" if prefix else ".assay"
    walk = Walk(root, markers)
    arguments = sys.argv
    sys.argv = [
        "steelyard",
        "run",
        str(folder / "trip.yaml"),
        "--workspace",
        str(folder / workspace),
    ]
    sys.setprofile(walk)
    try:
        main()
    except SystemExit:
        pass
    finally:
        sys.setprofile(None)
        sys.argv = arguments
    return walk


def sample_id(folder: Path) -> Iterator[str]:
    """The ids of the samples that a run in ``folder`` scored on the one task."""
    import pyarrow.parquet

    for path in sorted(folder.rglob("rows.parquet")):
        yield from pyarrow.parquet.read_table(path)["sample_id"].to_pylist()


def main() -> int:
    """Run the experiment twice (once to learn a sample's id) and print the four trips."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--sample", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    if arguments.inside is None:
        return outside(root)
    markers: dict[str, object] = {
        "a recipe's option (learning_rate), from YAML to TRL": LEARNING_RATE,
        "the seed": SEED,
        "an early stop's number (patience), from YAML to TRL": PATIENCE,
    }
    if arguments.sample:
        markers = {"a sample's row, from the scorer to the report": arguments.sample}
    walk = walked(root, arguments.inside, markers)
    for name, route in walk.routes.items():
        rooms, moves, back = summary(until(list(route), "trainers/" if "TRL" in name else ""))
        print(f"\n== {name}: {len(set(rooms))} rooms, {moves} moves, {back} turn back")
        print(" -> ".join(rooms))
    if not arguments.sample:
        print("sample", next(sample_id(arguments.inside)))
    return 0


def outside(root: Path) -> int:
    """The two runs, each in a process that imports the checkout named."""
    found = ""
    for sample in ("", "?"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "trip.yaml").write_text(EXPERIMENT, encoding="utf-8")
            if sample:
                sample = found
            prefix = "steelyard." if (root / "steelyard" / "__init__.py").exists() else ""
            demo = f"from {prefix}tasks.microworld.demo import write_files as w; import sys; "
            demo += "from pathlib import Path; w(Path(sys.argv[1]))"
            python = [sys.executable]
            env = environment(root)
            subprocess.run(
                [*python, "-c", demo, name], env=env, check=True, stdout=subprocess.DEVNULL
            )
            command = [*python, __file__, "--root", str(root), "--inside", name]
            command += ["--sample", sample] if sample else []
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            routes = done.stdout[done.stdout.find("\n== ") :]
            if "\n== " not in done.stdout:
                print(done.stdout[-2000:], done.stderr[-2000:])
                return 1
            found = routes.rpartition("sample ")[2].strip() if not sample else ""
            print(routes.rpartition("sample ")[0].strip() if not sample else routes.strip())
    return 0


def environment(root: Path) -> dict[str, str]:
    """This process's environment with the checkout first on the path."""
    import os

    links = root / "build" / "types"
    place = links if links.is_dir() else root
    return {**os.environ, "PYTHONPATH": str(place), "HF_HUB_OFFLINE": "1"}


if __name__ == "__main__":
    sys.exit(main())

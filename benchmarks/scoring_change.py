"""What a change costs the scorer: CPU seconds of one checkout against another's, in turn.

    python benchmarks/scoring_change.py --before CHECKOUT [--rounds 6] [--kinds rolling ...]
    python benchmarks/scoring_change.py --before CHECKOUT --count

Each round scores every kind once in a fresh process of either checkout, one thread, the order
swapped from round to round, so that a machine that slows down slows both. What is shown is the
median over the rounds of the ratio within a round, and the best time of each side. On a busy
machine times differ by a tenth and more; ``--count`` says what no machine changes: how many torch
operations and how many Python calls either checkout makes for the same requests. A checkout of
6b9d9ac (``harness`` at the top, no ``steelyard``) is understood.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("text", "letters", "hellaswag", "rolling", "generation")

_CHILD = """
import cProfile, json, pstats, sys, tempfile
from pathlib import Path
root, links, documents = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
count, kinds = sys.argv[4] == "count", sys.argv[5:]
sys.path[:0] = [links, root]
import torch
torch.set_num_threads(1)
from benchmarks import scoring, scoring_material as material
side = "steelyard" if links else "assay"
folder = Path(tempfile.mkdtemp(prefix="steelyard-bench-"))
model = material.model(folder, "llama-8m")
material.save_tasks(folder / "warm", 4)
more = (side,) if links else ()
scoring.run(scoring.opened(model, side), folder / "warm", kinds, *more)
measured = {}
for kind in kinds:
    tasks = folder / kind
    material.save_tasks(tasks, documents[kind])
    if not count:
        measured[kind] = scoring.run(scoring.opened(model, side), tasks, [kind], *more)[0]
        continue
    lm, profile = scoring.opened(model, side), cProfile.Profile()
    profile.runcall(scoring.run, lm, tasks, [kind], *more)
    calls = pstats.Stats(profile).stats
    torch_calls = sum(row[1] for key, row in calls.items() if "~" in key[0] and "orch" in key[2])
    measured[kind] = [torch_calls, sum(row[1] for row in calls.values())]
print(json.dumps(measured))
"""


FOLDERS = ("harness", "reports", "tasks", "trainers")


def links(root: Path) -> str:
    """A folder in which the checkout's folders stand under their import name; "" for an old one."""
    if not (root / "steelyard").is_dir():
        return ""
    made = Path(tempfile.mkdtemp(prefix="steelyard-links-"))
    (made / "steelyard").mkdir()
    for path in [*(root / "steelyard").iterdir(), *(root / name for name in FOLDERS)]:
        if path.name != "__pycache__":
            (made / "steelyard" / path.name).symlink_to(path.resolve())
    return str(made)


def measured(
    root: Path, made: str, documents: dict[str, int], kinds: list[str], what: str = "time"
) -> dict[str, Any]:
    """What one fresh process gives, by kind: CPU seconds, or calls of torch and calls of Python.

    Raises:
        SystemExit: the process failed.
    """
    ended = subprocess.run(
        [sys.executable, "-c", _CHILD, str(root), made, json.dumps(documents), what, *kinds],
        capture_output=True,
        text=True,
        check=False,
        cwd=tempfile.gettempdir(),
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"},
    )
    if ended.returncode:
        raise SystemExit(f"error: {root}: {ended.stderr.strip().splitlines()[-1]}")
    figures: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    return figures


def main() -> None:
    """Print one line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="the checkout to compare with")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--texts", type=int, default=40, help="documents of the generation kind")
    parser.add_argument("--count", action="store_true", help="count calls in place of time")
    arguments = parser.parse_args()
    documents = dict.fromkeys(KINDS, arguments.documents) | {"generation": arguments.texts}
    roots = [arguments.before.resolve(), ROOT]
    made = [links(root) for root in roots]
    if arguments.count:
        counts = [
            measured(root, folder, documents, arguments.kinds, "count")
            for root, folder in zip(roots, made, strict=True)
        ]
        for kind in arguments.kinds:
            (torch_before, before), (torch_after, after) = (side[kind] for side in counts)
            print(
                f"{kind:12} torch {torch_before} -> {torch_after} "
                f"({torch_after / torch_before:.3f})"
                f"; all calls {before} -> {after} ({after / before:.3f})"
            )
        return
    rounds: list[list[dict[str, float]]] = []
    for index in range(arguments.rounds):
        order = (0, 1) if index % 2 == 0 else (1, 0)
        pair = {
            side: measured(roots[side], made[side], documents, arguments.kinds) for side in order
        }
        rounds.append([pair[0], pair[1]])
        print(f"round {index + 1}: {json.dumps(pair)}", file=sys.stderr, flush=True)
    for kind in arguments.kinds:
        ratios = [after[kind] / before[kind] for before, after in rounds]
        best = [min(pair[side][kind] for pair in rounds) for side in (0, 1)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(
            f"{kind:12} after/before {statistics.median(ratios):.3f} ({spread}); "
            f"best {best[0]:.2f} s -> {best[1]:.2f} s ({best[1] / best[0]:.3f})",
            flush=True,
        )


if __name__ == "__main__":
    main()

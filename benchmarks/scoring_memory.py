"""Peak memory of our scorer and of lm-eval's ``hf`` model at batch 16, each in its own process.

    python benchmarks/scoring_memory.py [--model gpt2-124m] [--kinds text letters hellaswag]

Printed is the largest resident size (``ru_maxrss``) that the process had, after it had opened the
model and at its end.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import scoring
from benchmarks import scoring_material as material


def peak_mib() -> int:
    """The largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def one_side(model: Path, tasks: Path, side: str, kinds: list[str]) -> None:
    """Score once and print both peaks."""
    import torch

    torch.set_num_threads(1)
    lm = scoring.opened(model, side)
    opened = peak_mib()
    scoring.run(lm, tasks, kinds)
    print(f"{side:6} opened {opened} MiB, at most {peak_mib()} MiB", flush=True)


def main() -> None:
    """Print one line a side for each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="gpt2-124m", choices=list(material.MODELS))
    parser.add_argument("--kinds", nargs="+", default=["text", "letters", "hellaswag"])
    parser.add_argument("--documents", type=int, default=16)
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        model, tasks, side = arguments.side
        one_side(Path(model), Path(tasks), side, arguments.kinds)
        return
    folder = Path(tempfile.mkdtemp(prefix="steelyard-bench-"))
    model_folder = material.model(folder, arguments.model)
    material.save_tasks(folder, arguments.documents)
    for kind in arguments.kinds:
        print(f"{arguments.model}, {kind}, {arguments.documents} documents", flush=True)
        for side in ("steelyard", "hf-16"):
            command = [sys.executable, __file__, "--kinds", kind, "--side"]
            subprocess.run([*command, str(model_folder), str(folder), side], check=True)


if __name__ == "__main__":
    main()

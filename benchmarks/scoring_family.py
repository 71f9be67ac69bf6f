"""Five checkpoints of one family on one suite: what the second to the fifth cost beside the model.

    python benchmarks/scoring_family.py [--documents 200]

Tasks (documents, few-shot contexts, templates) are built and texts encoded as ``steelyard run``
does it; both are counted in CPU seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks import scoring_material as material


def main() -> None:
    """Print one line for each of five checkpoints, which differ in their weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=200)
    arguments = parser.parse_args()
    from steelyard.harness.scoring import open_model
    from steelyard.harness.scoring.requests import as_requests
    from steelyard.harness.suites.build import build
    from steelyard.harness.suites.built import BuiltSuite
    from steelyard.harness.suites.suite import Suite, SuiteTask

    folder = Path(tempfile.mkdtemp(prefix="steelyard-bench-"))
    material.save_tasks(folder, arguments.documents)
    names = [f"bench_{kind}" for kind in ("text", "letters", "hellaswag")]
    tasks = tuple(SuiteTask(task=name) for name in names)
    suite = Suite(name="family", tasks=tasks, include=(str(folder),))
    built: BuiltSuite | None = None
    for number in range(1, 6):
        material.save_model(folder / str(number), "llama-8m", seed=number)
        lm = open_model(folder / str(number) / "llama-8m", device="cpu", report=lambda _: None)
        begin = time.process_time()
        built = built or build(suite)
        requests = built.requests(lm)
        done = time.process_time()
        instances = [one for name in names for one in requests[name]]
        lm.encoder.pairs(as_requests(instances))
        encoded = time.process_time()
        print(
            f"checkpoint {number}: {len(instances)} requests; tasks built in {done - begin:.2f} s, "
            f"texts encoded in {encoded - done:.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""Five checkpoints of one family on one suite: what the second to the fifth cost beside the model.

    python benchmarks/scoring_family.py [--documents 200]

Task building (documents, few-shot contexts, templates) and tokenisation are counted in CPU seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks import scoring_material as material


def tasks(folder: Path) -> dict[str, Any]:
    """The material's multiple-choice tasks, loaded by name and no index of lm-eval's own."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    names = [f"bench_{kind}" for kind in ("text", "letters", "hellaswag")]
    found: dict[str, Any] = manager.load(names)["tasks"]
    return found


def main() -> None:
    """Print one line for each of five openings of the same checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=200)
    arguments = parser.parse_args()
    from harness.scoring import open_model
    from harness.scoring.requests import as_requests

    folder = Path(tempfile.mkdtemp(prefix="assay-bench-"))
    material.save_model(folder, "llama-8m")
    material.save_tasks(folder, arguments.documents)
    instances: list[Any] = []
    for number in range(1, 6):
        lm = open_model(folder / "llama-8m", device="cpu", report=lambda _: None)
        begin = time.process_time()
        if not instances:
            with contextlib.redirect_stderr(io.StringIO()):
                for task in tasks(folder).values():
                    task.build_all_requests()
                    instances += task.instances
        built = time.process_time()
        lm.encoder.pairs(as_requests(instances))
        encoded = time.process_time()
        print(
            f"checkpoint {number}: tasks {built - begin:.2f} s, tokens {encoded - built:.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()

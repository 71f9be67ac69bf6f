"""How long a journal of 100,000 responses takes to be read and answered from.

    python benchmarks/scoring_resume.py [--responses 100000]

The responses are written first (what the model would have said stands in for it), as 25,000
documents of four choices; then a second opening answers the same requests from the journal alone.
``kill -9`` in the middle of a run: ``STEELYARD_KILLS=50 pytest
tests/harness/scoring/test_resume.py``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks import scoring_material as material


def requests(count: int) -> list[Any]:
    """Multiple-choice requests of ``count / 4`` documents in one task."""
    from lm_eval.api.instance import Instance

    return [
        Instance(
            request_type="loglikelihood",
            doc={},
            arguments=(f"Question {number // 4}: which of the four is it?\nAnswer:", f" {choice}"),
            idx=0,
            metadata=("resume", number // 4, 1),
        )
        for number, choice in zip(range(count), "ABCD" * (count // 4), strict=False)
    ]


def main() -> None:
    """Print the seconds of reading the journal and of answering from it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--responses", type=int, default=100_000)
    arguments = parser.parse_args()
    from steelyard.harness.scoring import encoding, open_model
    from steelyard.harness.scoring.journal import Journal

    folder = Path(tempfile.mkdtemp(prefix="steelyard-bench-"))
    material.save_model(folder, "llama-8m")
    asked = requests(arguments.responses)
    model: dict[str, Any] = {"device": "cpu", "report": lambda _: None}
    with Journal(folder / "journal", "checkpoint") as journal:
        lm: Any = open_model(folder / "llama-8m", journal=journal, **model)
        ran = _without_a_model(lm)
        lm.loglikelihood(asked)
        print(f"{ran[0]} packs written, {(folder / 'journal').stat().st_size / 2**20:.0f} MiB")
    encoding.clear()
    wall, cpu = time.monotonic(), time.process_time()
    with Journal(folder / "journal", "checkpoint") as journal:
        read = time.process_time() - cpu
        resumed: Any = open_model(folder / "llama-8m", journal=journal, **model)
        loaded = time.process_time() - cpu - read
        ran = _without_a_model(resumed)
        answers = resumed.loglikelihood(asked)
    whole = time.process_time() - cpu
    print(f"{len(answers):,} responses; {ran[0]} packs scored again")
    print(f"journal read in {read:.2f} s, answered in {whole - read - loaded:.2f} s of CPU")
    print(f"(model opened in {loaded:.2f} s; all by the clock {time.monotonic() - wall:.2f} s)")


def _without_a_model(lm: Any) -> list[int]:
    """Let packs be answered at once; counts how many are."""
    from dataclasses import replace

    ran = [0]
    plan = lm.inner.plan

    def planned(kind: str, requests: Any, budget: int) -> Any:
        whole = plan(kind, requests, budget)

        def run(number: int) -> tuple[list[Any], int]:
            ran[0] += 1
            return [[-1.25, False] for _ in whole.packs[number]], 0

        return replace(whole, run=run)

    lm.inner.plan = planned
    return ran


if __name__ == "__main__":
    main()

"""Made `baseline-v1.assay.json.gz`, on 2026-11-23, by the first version of the format.

    python tests/harness/compare/data/make_baseline_v1.py FOLDER

The file is kept as it is: that today's code reads it is what `test_baseline_files.py` holds. For a
newer schema write a second script and a second file; never make this one again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import numpy as np

from steelyard.harness.compare import Scored
from steelyard.harness.records import Energy
from steelyard.harness.store import open_store
from tests.harness.scored_runs import rows, sample, scored

IDS = tuple(f"{i:064x}" for i in range(8))
CORRECT = [1, 1, 0, 1, 0, 1, 1, 0]
LOG_LIKELIHOODS = [-2.5, -1.25, -4.0, -0.5, -3.0, -1.0, -2.0, -0.75]
BYTES = [10, 5, 20, 4, 12, 8, 9, 6]


def toy_run() -> Scored:
    """Three metrics of two tasks: a sample unscored, one without a row, clusters, flags, text."""
    correct = rows(
        "known",
        "acc",
        CORRECT,
        ids=IDS,
        clusters=[f"passage {i // 2}" for i in range(8)],
        scored=[i != 7 for i in range(8)],
        flags=["" if i != 7 else "length limit" for i in range(8)],
    )
    made_up = rows(
        "known", "made_up", [0.0, 0.1, 0.2, 0.30000000000000004, 1e-300, 1.0, 0.5],
        ids=IDS[:7], clusters=[f"passage {i // 2}" for i in range(7)],
    )  # fmt: skip
    wiki = rows("wiki", "byte_perplexity", np.column_stack([LOG_LIKELIHOODS, BYTES]), ids=IDS)
    perplexity = float(np.exp(-sum(LOG_LIKELIHOODS) / sum(BYTES)))
    fields = {
        ("known", "made_up"): {"kind": "bounded", "higher_is_better": False, "primary": False},
        ("wiki", "byte_perplexity"): {
            "kind": "perplexity",
            "higher_is_better": False,
            "value": perplexity,
        },
    }
    texts = [
        sample(task, id, prompt="Where?", target="Arvo") for task in ("known", "wiki") for id in IDS
    ]
    energy = Energy(phase="score", seconds=12.5, energy_kwh=0.0025, grade="measured")
    return scored(
        "base", [correct, made_up, wiki], scores=fields, samples=texts, energy=(energy,),
        checkpoint={"trainer": "lora"},
    )  # fmt: skip


def save(folder: Path, name: str = "baseline-v1.assay.json.gz") -> Path:
    """The toy run through a store and `steelyard baseline save`, as a user makes a file."""
    run = toy_run()
    assert run.samples is not None
    workspace = folder / ".steelyard"
    open_store(workspace).put(run.run, list(run.rows.values()), list(run.samples.values()))
    file = folder / name
    command = ["baseline", "save", "test/base", "-o", file, "--text", "-w", workspace]
    subprocess.run(
        [sys.executable, "-m", "steelyard.harness.cli.main", *map(str, command)], check=True
    )
    return file


if __name__ == "__main__":
    print(save(Path(sys.argv[1])))

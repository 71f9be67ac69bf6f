"""The demo's files: an experiment over the microworld and the data it names."""

import shutil
from pathlib import Path

from steelyard.tasks.microworld.training import write

TEMPLATE = Path(__file__).parent / "demo.yaml"
EXPERIMENT = "experiment.yaml"


def write_files(folder: Path, seed: int = 0) -> Path:
    """Write experiment.yaml and data/*.jsonl into `folder`, and return the experiment file.

    An experiment file that is there already is kept: it may have been edited.
    """
    write(folder / "data", seed)
    file = folder / EXPERIMENT
    if not file.exists():
        shutil.copyfile(TEMPLATE, file)
    return file

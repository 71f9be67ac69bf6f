"""What ``accelerate launch`` starts in each process: ``-m steelyard.trainers.loops.launched_job
JOB.json``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from steelyard.harness.errors import SteelyardError
from steelyard.trainers.loops.launching import work

if __name__ == "__main__":
    try:
        work(Path(sys.argv[1]), int(os.environ.get("RANK", "0")))
    except SteelyardError as error:
        sys.exit(str(error))

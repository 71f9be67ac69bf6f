"""Reading a trainer's options costs nothing; its libraries come when it trains."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "bitsandbytes", "gguf", "numpy")


def printed(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_every_trainer_is_imported_without_one_heavy_library() -> None:
    code = (
        "import sys\n"
        "from steelyard.harness.plugins.names import load_trainer, plugin_names\n"
        "for name in plugin_names('trainers'): load_trainer(name)\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])\n"
    )
    assert printed(code) == []


def test_a_library_is_imported_where_it_is_first_used_and_is_itself() -> None:
    code = (
        "import sys\n"
        "from steelyard.trainers.loops.libraries import numpy\n"
        "print('numpy' in sys.modules)\n"
        "zeros = numpy.zeros\n"
        "import numpy as itself\n"
        "print(zeros is itself.zeros, numpy.random is itself.random)\n"
    )
    assert printed(code) == ["False", "True", "True"]

"""The machine is recorded without importing what is heavy."""

from __future__ import annotations

import mmap
import subprocess
import sys
import time
from importlib.metadata import version

import pytest

from steelyard.harness import environment as module
from steelyard.harness.environment import environment, peak_memory


def test_the_environment_names_machine_and_versions() -> None:
    found = environment()
    assert found is environment()
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.packages["transformers"] == version("transformers")
    assert found.cores is not None
    assert found.cores >= 1
    assert found.memory_bytes is not None
    assert found.memory_bytes > 2**28


def test_reading_it_imports_no_library() -> None:
    code = (
        "import sys; from steelyard.harness.environment import environment, peak_memory\n"
        "environment()\n"
        "with peak_memory() as peak: pass\n"
        "assert peak.bytes, peak\n"
        "heavy = {'torch', 'numpy', 'pandas', 'transformers', 'pynvml'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_gpus_are_named_where_the_tool_answers(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, "NVIDIA H100, 81559 MiB\n", "")

    monkeypatch.setattr(subprocess, "run", answer)
    assert module._gpus() == ("NVIDIA H100, 81559 MiB",)

    def missing(*args: object, **options: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", missing)
    assert module._gpus() == ()


@pytest.mark.parametrize("kernel", [True, False])
def test_the_peak_is_that_of_the_block(kernel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not kernel:
        monkeypatch.setattr(module, "_reset_high_water", lambda: False)
    megabytes = 2**20
    with peak_memory() as small:
        pass
    # Pages of its own: a bytearray may be given memory that the process already holds.
    with peak_memory() as large, mmap.mmap(-1, 200 * megabytes) as block:
        for start in range(0, len(block), mmap.PAGESIZE):
            block[start] = 1
        if not kernel:
            time.sleep(4 * module.SAMPLE_SECONDS)
    with peak_memory() as after:
        pass
    assert small.bytes is not None
    assert large.bytes is not None
    assert after.bytes is not None
    assert 150 * megabytes < large.bytes - small.bytes < 300 * megabytes
    assert large.bytes - after.bytes > 150 * megabytes


def test_a_failed_block_still_has_a_peak() -> None:
    with pytest.raises(RuntimeError), peak_memory() as peak:
        raise RuntimeError
    assert peak.bytes

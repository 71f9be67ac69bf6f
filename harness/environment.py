"""The machine and the libraries that a number was made with, read without importing them."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partialmethod
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, cast

from steelyard.harness.records import Environment

#: What a library's version belongs to:
#:
#: ``record``      the environment that a run states
#: ``checkpoint``  the versions that a checkpoint's manifest states
#: ``train``       the key of a recipe: another version trains again
#: ``answers``     the key of a journal: another version asks the model again
#: ``score``       the key of a run: another version computes rows and scores again
#: ``cost``        the key of a run that measures what answering costs
#: ``signature``   the signature of every task's scores, by which two runs are comparable
#: ``text``        the signature of tasks that generate text
#: ``doctor``      what ``steelyard doctor`` looks for
Use = Literal[
    "record", "checkpoint", "train", "answers", "score", "cost", "signature", "text", "doctor"
]  # fmt: skip

#: The one table of libraries: name on the package index -> what its version belongs to.
LIBRARIES: Mapping[str, frozenset[Use]] = {
    name: frozenset(cast(list[Use], uses.split()))
    for name, uses in {
        "torch": "record checkpoint train answers score signature doctor",
        "transformers": "record checkpoint train answers score signature doctor",
        "trl": "record checkpoint train doctor",
        "peft": "record checkpoint train answers score doctor",
        "bitsandbytes": "record checkpoint train answers score doctor",
        "lm-eval": "record answers score signature doctor",
        "evaluate": "record score doctor",
        "datasets": "record checkpoint doctor",
        "sacrebleu": "record score text doctor",
        "rouge-score": "record score text doctor",
        "codecarbon": "record cost doctor",
        "gguf": "record checkpoint answers score doctor",
        "accelerate": "record checkpoint",
        "compressed-tensors": "record checkpoint answers score",
        "numpy": "record score",
        "pyarrow": "record",
        "rapidfuzz": "record score",
        "safetensors": "record",
        "scipy": "record score",
        "statsmodels": "record score",
        "steelyard": "record",
        "tokenizers": "record answers score",
        "torchao": "record checkpoint answers score",
    }.items()
}


def libraries(use: Use) -> tuple[str, ...]:
    """The libraries whose version belongs to ``use``, in the table's order."""
    return tuple(name for name, uses in LIBRARIES.items() if use in uses)


@lru_cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def versions(use: Use) -> dict[str, str]:
    """Library -> version, for the installed libraries whose version belongs to ``use``."""
    installed = {name: _version(name) for name in libraries(use)}
    return {name: number for name, number in installed.items() if number is not None}


SAMPLE_SECONDS = 0.05


@lru_cache
def environment() -> Environment:
    """This machine, read once a process; what cannot be read is None."""
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=_cpu_model(),
        cores=_cores(),
        memory_bytes=total_memory_bytes(),
        gpus=_gpus(),
        packages=dict(sorted(versions("record").items())),
    )


def _cpu_model() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return platform.processor() or None
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Hardware", "cpu model"}:
            return value.strip() or None
    return platform.processor() or platform.machine() or None


def _cores() -> int | None:
    """Cores that this process may use, not those that the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def total_memory_bytes() -> int | None:
    """Of this machine; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _gpus() -> tuple[str, ...]:
    return nvidia_smi("name,memory.total")


def nvidia_smi(fields: str) -> tuple[str, ...]:
    """A line of these fields for each GPU; none where there is no such command or it fails."""
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    if done.returncode != 0:
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())


# --- memory ---------------------------------------------------------------------------------


@dataclass
class PeakMemory:
    """The highest memory use in a block; readable after exit."""

    bytes: int | None = None
    """Resident memory of this process; None where the system does not tell."""
    gpu_bytes: int | None = None
    """Allocated by torch over all devices; None without a GPU."""


@contextmanager
def peak_memory() -> Iterator[PeakMemory]:
    """The peak resident memory of the block.

    On Linux the kernel's own high-water mark is reset and read, so no peak is missed; where that
    is not allowed, and elsewhere, memory is sampled every ``SAMPLE_SECONDS``.
    """
    peak = PeakMemory()
    _reset_gpu_peak()
    kernel = _reset_high_water()
    sampler = None if kernel else _Sampler()
    try:
        yield peak
    finally:
        peak.bytes = _high_water_bytes() if sampler is None else sampler.stopped()
        peak.gpu_bytes = _gpu_peak_bytes()


def _reset_high_water() -> bool:
    """Reset VmHWM to the present size (``proc(5)``: clear_refs, value 5)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _high_water_bytes() is not None
    except OSError:
        return False


def _high_water_bytes() -> int | None:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


class _Sampler:
    """A thread that watches resident memory."""

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self._peak_bytes = int(self._process.memory_info().rss)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self._peak_bytes = max(self._peak_bytes, int(self._process.memory_info().rss))

    def stopped(self) -> int:
        self._done.set()
        self._thread.join()
        return max(self._peak_bytes, int(self._process.memory_info().rss))


def _reset_gpu_peak() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        for device in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(device)


def _gpu_peak_bytes() -> int | None:
    """Peak of torch's allocator; torch is not imported for it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    devices = range(torch.cuda.device_count())
    return sum(int(torch.cuda.max_memory_allocated(device)) for device in devices)


def use_threads(count: int | None) -> None:
    """Let torch compute with ``count`` threads; None leaves it as it is.

    The order of float sums follows the number of threads, so equal numbers need equal threads.
    """
    if count is None:
        return
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)
    else:  # read when torch is imported
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(count)


def silence_libraries() -> None:
    """Libraries of this process send no usage figures, and keep one warning to themselves."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # It asks for a package that fetches code from a hub; the slower kernel is exact.
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)


_TALKATIVE = ("lm_eval", "lm-eval", "peft", "accelerate", "trl", "bitsandbytes")


@contextmanager
def quiet() -> Iterator[None]:
    """No chatter from transformers, huggingface_hub, peft or lm-eval within this block.

    Nor a progress bar of anybody: some (reading GGUF, unpacking compressed-tensors) have no switch.
    """
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from tqdm.std import tqdm
    from transformers import dynamic_module_utils
    from transformers.utils import logging as transformers_logging

    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    hub_bars = not are_progress_bars_disabled()
    with_bar = tqdm.__init__
    seconds_to_answer = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    try:
        # The one place where tqdm is patched, for there is no other: TQDM_DISABLE is read when tqdm
        # is imported, which a notebook has long done, and reading GGUF or compressed-tensors takes
        # no argument. Who passes ``disable=`` (as our calls of lm-eval do) has the last word.
        setattr(tqdm, "__init__", partialmethod(with_bar, disable=True))  # noqa: B010 (mypy)
        # Where a library does not say whether a folder's Python may run, transformers asks on
        # standard input; without time to answer it is an error.
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        disable_progress_bars()
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        setattr(tqdm, "__init__", with_bar)  # noqa: B010
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = seconds_to_answer
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

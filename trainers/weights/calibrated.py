"""GPTQ and AWQ: 4-bit weights chosen by what they do to the activations of calibration texts.

GPTQ [Frantar et al. 2022, arXiv 2210.17323] and AWQ [Lin et al. 2023, arXiv 2306.00978] by
llmcompressor, which pins an older transformers and therefore runs in an environment of its own.
What it writes (compressed-tensors' ``pack-quantized``) plain transformers loads.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from steelyard.harness.errors import DataError, MissingExtraError, TrainingError
from steelyard.harness.experiment import Row, read_mix
from steelyard.harness.files import file_digest
from steelyard.harness.plugins import TrainJob
from steelyard.trainers.loops.libraries import torch, transformers
from steelyard.trainers.weights.environments import environment

#: What the separate environment holds; a GPU machine's index gives torch with CUDA.
REQUIREMENTS = (
    "torch==2.13.0",
    "llmcompressor==0.14.0.1",
    "compressed-tensors==0.19.0",
    "transformers==5.17.0",
    "datasets==5.2.0",
)
ROLES = ("prompt", "completion")
_SCRIPT = Path(__file__).with_name("calibrated_script.py")


class Calibration(Protocol):
    """The options of ``quantize`` that are read here."""

    @property
    def scheme(self) -> str:
        """``gptq`` or ``awq``."""

    @property
    def block_size(self) -> int:
        """Weights that share a scale."""

    @property
    def calibration_rows(self) -> int:
        """How many rows of the data are run through the model."""

    @property
    def calibration_length(self) -> int:
        """Longest row in tokens."""


def require_machine(scheme: str) -> None:
    """Raise, before anything is loaded or made, where this machine cannot carry out the scheme.

    Raises:
        TrainingError: AWQ without an accelerator.
        MissingExtraError: what the result is read with is not installed.
    """
    if find_spec("compressed_tensors") is None:
        fix = "pip install 'steelyard[compressed]'"
        raise MissingExtraError(f"a {scheme} checkpoint is read with compressed-tensors", fix=fix)
    if scheme == "awq" and not torch.cuda.is_available():
        raise TrainingError(
            "scheme awq needs an accelerator, and this machine has none",
            fix="use gptq, which runs on a CPU too, or nf4",
        )


def identity() -> list[str]:
    """What the weights depend on in the separate environment: its packages, and what runs there."""
    return [*REQUIREMENTS, file_digest(_SCRIPT)]


def make_environment() -> Path:
    """The Python that llmcompressor runs in. Raises ``TrainingError``."""
    return environment("llmcompressor", REQUIREMENTS)


def write_calibrated(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerBase,
    job: TrainJob,
    options: Calibration,
) -> list[str]:
    """Quantise ``model`` in the separate environment; weights and config come to ``job.folder``.

    Returns:
        Notes for the manifest.

    Raises:
        TrainingError: the other process failed; its last line is the message.
    """
    rows = _calibration_rows(tokenizer, job, options)
    python = make_environment()
    whole, made = job.folder / "whole", job.folder / "made"
    model.save_pretrained(whole)
    tokenizer.save_pretrained(whole)  # llmcompressor asks for one, though the rows are token ids
    settings = {
        "source": str(whole),
        "target": str(made),
        "scheme": options.scheme,
        "group_size": options.block_size,
        "seed": job.seed,
        "rows": rows,
    }
    try:
        _quantise_elsewhere(python, settings, job)
        for name in ("config.json", *(file.name for file in made.glob("model*.safetensors*"))):
            shutil.move(made / name, job.folder / name)
    finally:
        shutil.rmtree(whole, ignore_errors=True)
        shutil.rmtree(made, ignore_errors=True)
    tokens = sum(map(len, rows))
    return [
        f"calibrated on {len(rows)} rows, {tokens} tokens, in a separate environment: "
        + ", ".join(REQUIREMENTS)
    ]


def _quantise_elsewhere(python: Path, settings: Mapping[str, object], job: TrainJob) -> None:
    """The script in its environment. Raises ``TrainingError`` with llmcompressor's last line."""
    task = job.folder / "task.json"
    task.write_text(json.dumps(settings), encoding="utf-8")
    # -I: neither this process's PYTHONPATH nor the working folder reaches the other one.
    command = [str(python), "-I", str(_SCRIPT), str(task)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=job.folder)
    finally:
        task.unlink()
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise TrainingError(
            f"candidate '{job.candidate}': llmcompressor failed: {(lines or ['no word'])[-1]}",
            fix="the word is llmcompressor's; block_size must divide every layer's input width",
        )


def _calibration_rows(
    tokenizer: transformers.PreTrainedTokenizerBase, job: TrainJob, options: Calibration
) -> list[list[int]]:
    """A seeded draw of the data's rows as token ids, cut to the longest length."""
    if not job.data:
        raise DataError(
            f"candidate '{job.candidate}': scheme {options.scheme} needs calibration texts",
            fix=f"give it data with {' and '.join(ROLES)}, such as what its parent was trained on",
        )
    rows = read_mix(job.data, ROLES, job.seed)
    drawn = random.Random(job.seed).sample(rows, min(options.calibration_rows, len(rows)))
    encoded = [_ids(tokenizer, row)[: options.calibration_length] for row in drawn]
    return [ids for ids in encoded if ids]


def _ids(tokenizer: transformers.PreTrainedTokenizerBase, row: Row) -> list[int]:
    prompt, completion = row["prompt"], row["completion"]
    if isinstance(prompt, str) and isinstance(completion, str):
        return list(tokenizer(prompt + completion).input_ids)
    turns = [
        value if isinstance(value, list) else [{"role": role, "content": value}]
        for role, value in (("user", prompt), ("assistant", completion))
    ]
    text = tokenizer.apply_chat_template(turns[0] + turns[1], tokenize=False)
    return list(tokenizer(text, add_special_tokens=False).input_ids)

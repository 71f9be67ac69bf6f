"""The one way from a checkpoint to a scorer. Light: what is heavy is loaded by the first call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from steelyard.harness.errors import UnknownNameError, did_you_mean
from steelyard.harness.records import Parity
from steelyard.harness.scoring.journal import Journal
from steelyard.harness.scoring.progress import Report
from steelyard.harness.scoring.scorer import Scorer

if TYPE_CHECKING:
    import torch
    from lm_eval.api.model import LM


def open_model(
    path_or_id: str | Path,
    *,
    adapter: str | Path | None = None,
    gguf_file: str | None = None,
    device: str | None = None,
    dtype: torch.dtype | str | None = None,
    max_length: int | None = None,
    tokens_per_batch: int | None = None,
    journal: Journal | None = None,
    report: Report | None = None,
    backend: str = "steelyard",
    parity: Parity = "steelyard",
) -> Scorer:
    """Open a checkpoint as a :class:`Scorer`, which is an ``lm_eval.api.model.LM``.

    Args:
        path_or_id: a model folder, an adapter folder, a GGUF file or the folder that holds one
            beside its tokenizer, or a hub id.
        adapter: a PEFT adapter folder to put on the model; it is checked to be applied.
        gguf_file: the file to read where a folder holds several.
        device: a torch device; the GPU where there is one, else the CPU.
        dtype: None is fp32 on a CPU and the checkpoint's own on a GPU.
        max_length: the context window in tokens; None takes the configuration's.
        tokens_per_batch: how many tokens run together; None derives it from the memory at hand.
        journal: every response is written there, and what it already has is not scored again.
        report: called with a :class:`steelyard.harness.scoring.progress.Progress` after every pack.
            None shows a bar where standard error is a terminal, and nothing elsewhere.
        backend: ``steelyard``; ``hf`` for lm-eval's own model to compare with; or any lm-eval
            backend as ``lm-eval:NAME``, its ``model_args`` behind a comma
            (``lm-eval:local-completions,base_url=http://localhost:8000/v1/completions``).
        parity: ``lm-eval`` puts special tokens in as lm-eval does, where that is another number;
            lm-eval's own backends always do.

    Raises:
        CheckpointError: the checkpoint cannot be opened or trusted; one line says why.
        UnknownNameError: there is no such backend or parity.
    """
    if backend not in ("steelyard", "hf") and not backend.startswith("lm-eval:"):
        fix = did_you_mean(backend, ("steelyard", "hf", "lm-eval:vllm"))
        raise UnknownNameError("no such backend", key="backend", value=backend, fix=fix)
    if parity not in get_args(Parity):
        fix = did_you_mean(parity, get_args(Parity))
        raise UnknownNameError("no such parity", key="parity", value=parity, fix=fix)
    from steelyard.harness.scoring.backends import Opening, opened

    opening = Opening(
        path_or_id,
        adapter,
        gguf_file,
        device,
        dtype,
        max_length,
        tokens_per_batch,
        backend,
        parity,
    )
    return opened(opening, journal, report)


def as_scorer(lm: LM | Scorer) -> Scorer:
    """Any ``lm_eval.api.model.LM`` as a :class:`Scorer` that answers call for call, unjournalled.

    What is one already is given back. What the model lacks (a window, a tokenizer, weights in this
    process) the scorer says it lacks.
    """
    from steelyard.harness.scoring.viewed import ViewedLM

    return lm if isinstance(lm, ViewedLM) else ViewedLM(lm)

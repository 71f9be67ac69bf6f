"""The one way from a checkpoint to a scorer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import UnknownNameError, did_you_mean

if TYPE_CHECKING:
    import torch
    from lm_eval.api.model import LM

    from steelyard.harness.scoring.journal import Journal
    from steelyard.harness.scoring.opened import OpenedLM
    from steelyard.harness.scoring.progress import Report


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
) -> LM:
    """Open a checkpoint as an ``lm_eval.api.model.LM``.

    Args:
        path_or_id: a model folder, an adapter folder, a GGUF file or the folder that holds one
            beside its tokenizer, or a hub id.
        adapter: a PEFT adapter folder to put on the model; it is checked to be applied.
        gguf_file: the file to read where a folder holds several.
        device: a torch device; the GPU where there is one, else the CPU.
        dtype: None is fp32 on a CPU and the checkpoint's own on a GPU.
        max_length: the context window in tokens; None takes the configuration's.
        tokens_per_batch: how many tokens run together; None derives it from the memory at hand.
        journal: every response is kept there, and what it already has is not scored again.
        report: called with a :class:`steelyard.harness.scoring.progress.Progress` after every pack.
        None
            shows a bar where standard error is a terminal, and nothing elsewhere.
        backend: ``steelyard``; ``hf`` for lm-eval's own model to compare with; or any lm-eval
        backend
            as ``lm-eval:NAME``, its ``model_args`` behind a comma
            (``lm-eval:local-completions,base_url=http://localhost:8000/v1/completions``).

    Raises:
        CheckpointError: the checkpoint cannot be opened or trusted; one line says why.
        UnknownNameError: there is no such backend.
    """
    if backend.startswith("lm-eval:"):
        return _other(backend, path_or_id, adapter, dtype, max_length, journal, report)
    if backend not in ("steelyard", "hf"):
        fix = did_you_mean(backend, ("steelyard", "hf", "lm-eval:vllm"))
        raise UnknownNameError("no such backend", key="backend", value=backend, fix=fix)
    from steelyard.harness.checkpoints.model import load_model_folder
    from steelyard.harness.scoring.journalled import JournalledLM

    loaded = load_model_folder(
        path_or_id, adapter=adapter, gguf_file=gguf_file, device=device, dtype=dtype
    )
    if backend == "hf":
        from steelyard.harness.scoring import hf

        reference = hf.wrap(loaded, max_length=max_length)
        return JournalledLM(reference, hf.settings(reference), journal, report)
    options: dict[str, Any] = {"max_length": max_length, "tokens_per_batch": tokens_per_batch}
    scorer: OpenedLM
    if loaded.is_encoder_decoder:
        from steelyard.harness.scoring.encoder_decoder import EncoderDecoderLM

        scorer = EncoderDecoderLM(loaded, **options)
    else:
        from steelyard.harness.scoring.scorer import TrieLM

        scorer = TrieLM(loaded, **options)
    return JournalledLM(scorer, scorer.settings(), journal, report)


def _other(
    backend: str,
    path_or_id: str | Path,
    adapter: str | Path | None,
    dtype: torch.dtype | str | None,
    max_length: int | None,
    journal: Journal | None,
    report: Report | None,
) -> LM:
    from steelyard.harness.scoring.journalled import JournalledLM
    from steelyard.harness.scoring.other_backends import open_backend

    options: dict[str, Any] = {
        "pretrained": str(path_or_id),
        "peft": None if adapter is None else str(adapter),
        "dtype": None if dtype is None else str(dtype).removeprefix("torch."),
        "max_length": max_length,
    }
    lm, settings = open_backend(backend, options)
    return JournalledLM(lm, settings, journal, report)

"""What :func:`steelyard.harness.scoring.open_model` opens: our own scorers, ``hf``, lm-eval's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from steelyard.harness.checkpoints import LoadedModel, load_model_folder
from steelyard.harness.records import Parity
from steelyard.harness.scoring import hf
from steelyard.harness.scoring.decoder_only import TrieLM
from steelyard.harness.scoring.encoder_decoder import EncoderDecoderLM
from steelyard.harness.scoring.journal import Journal
from steelyard.harness.scoring.journalled import JournalledLM
from steelyard.harness.scoring.opened import OpenedLM
from steelyard.harness.scoring.other_backends import PREFIX, open_backend
from steelyard.harness.scoring.progress import Report


@dataclass(frozen=True)
class Opening:
    """What is to be opened, and how; the arguments of ``open_model``."""

    path_or_id: str | Path
    adapter: str | Path | None
    gguf_file: str | None
    device: str | None
    dtype: torch.dtype | str | None
    max_length: int | None
    tokens_per_batch: int | None
    backend: str
    parity: Parity


def opened(opening: Opening, journal: Journal | None, report: Report | None) -> JournalledLM:
    """The model behind its journal; raises as ``open_model`` does."""
    if opening.backend.startswith(PREFIX):
        lm, settings = open_backend(opening.backend, _model_args(opening))
        return JournalledLM(lm, settings, journal, report)
    loaded = load_model_folder(
        opening.path_or_id,
        adapter=opening.adapter,
        gguf_file=opening.gguf_file,
        device=opening.device,
        dtype=opening.dtype,
    )
    if opening.backend == "hf":
        reference = hf.wrap(loaded, max_length=opening.max_length)
        return JournalledLM(reference, hf.settings(reference), journal, report)
    scorer = _own(loaded, opening)
    return JournalledLM(scorer, scorer.settings(), journal, report)


def _own(loaded: LoadedModel, opening: Opening) -> OpenedLM:
    kind = EncoderDecoderLM if loaded.is_encoder_decoder else TrieLM
    return kind(
        loaded,
        max_length=opening.max_length,
        tokens_per_batch=opening.tokens_per_batch,
        parity=opening.parity,
    )


def _model_args(opening: Opening) -> dict[str, object]:
    """lm-eval's names for what we know."""
    return {
        "pretrained": str(opening.path_or_id),
        "peft": None if opening.adapter is None else str(opening.adapter),
        "dtype": None if opening.dtype is None else str(opening.dtype).removeprefix("torch."),
        "max_length": opening.max_length,
    }

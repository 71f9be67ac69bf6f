"""Quantisation of a checkpoint's linear layers; the embedding and the head keep their precision.

``int8`` is LLM.int8() [Dettmers et al. 2022, arXiv 2208.07339], ``nf4`` and ``fp4`` are the 4-bit
types of QLoRA [Dettmers et al. 2023, arXiv 2305.14314], all by bitsandbytes and stored packed. The
others are plain rounding (``trainers/rounding.py``), stored as the floats they stand for.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from harness.protocols import Plugin, TrainJob
from harness.records import Checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Scheme = Literal[
    "int8",
    "nf4",
    "fp4",
    "absmax-int8",
    "absmax-int4",
    "absmax-int3",
    "absmax-int2",
    "zeropoint-int8",
    "zeropoint-int4",
    "zeropoint-int3",
    "zeropoint-int2",
]


class Quantize(Plugin):
    """Store a checkpoint's linear layers in fewer bits; nothing is trained."""

    data_roles: ClassVar[tuple[str, ...]] = ()
    libraries: ClassVar[tuple[str, ...]] = ("transformers:AutoModelForCausalLM", "bitsandbytes")

    scheme: Scheme = Field(description="The number format.")
    double_quant: bool = Field(False, description="Quantise the scales too (nf4 and fp4).")
    block_size: int = Field(
        64, ge=8, le=4096, description="Weights that share a scale (absmax and zeropoint)."
    )

    outlier_threshold: float = Field(
        6.0,
        ge=0,
        description="int8: columns with an activation beyond it stay in 16 bits; 0: none. Which "
        "columns those are depends on what shares a batch, so above 0 samples are scored singly.",
    )

    @model_validator(mode="after")
    def _options_fit_the_scheme(self) -> Self:
        if self.double_quant and self.scheme not in ("nf4", "fp4"):
            raise ValueError(f"double_quant applies to nf4 and fp4, not to {self.scheme}")
        if self.block_size != 64 and "-" not in self.scheme:
            raise ValueError(f"{self.scheme} fixes its block size; leave block_size out")
        if self.outlier_threshold != 6.0 and self.scheme != "int8":
            raise ValueError(f"outlier_threshold applies to int8, not to {self.scheme}")
        return self

    def train(self, job: TrainJob) -> Checkpoint:
        """Quantise as transformers' quickstart does. Raises ``CheckpointError``."""
        from harness.checkpoints import finish, load_model, save_full
        from harness.scoring.quiet import quiet

        job.progress(0, 1, f"quantising to {self.scheme}")
        full, _ = load_model(job.start, trainable=True)
        count = sum(parameter.numel() for parameter in full.parameters())
        with quiet():
            if "-" in self.scheme:
                _round(full, self)
                save_full(full, job)
                notes = ["stored as float32: its size on the disk is not the scheme's"]
            else:
                save_full(_packed(full, self, job), job)
                notes = []
        job.progress(1, 1, f"quantised to {self.scheme}")
        return finish(
            job,
            trainer=self,
            name="quantize",
            format="quantised",
            parameters=count,
            parameters_trained=0,
            notes=notes,
        )


def _round(model: Any, options: Quantize) -> None:
    import torch

    from trainers.rounding import rounded

    head = model.get_output_embeddings()
    family, _, bits = options.scheme.partition("-int")
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear) and module is not head:
                module.weight.copy_(
                    rounded(
                        module.weight,
                        bits=int(bits),
                        group=options.block_size,
                        zero_point=family == "zeropoint",
                    )
                )


def _packed(full: PreTrainedModel, options: Quantize, job: TrainJob) -> PreTrainedModel:
    """The model as bitsandbytes packs it, read back from a folder as its loader wants it."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    if options.scheme == "int8":
        config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=options.outlier_threshold)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=options.scheme,
            bnb_4bit_use_double_quant=options.double_quant,
            bnb_4bit_compute_dtype=torch.float32,
        )
    whole = job.folder / "whole"
    full.save_pretrained(whole)
    try:
        return AutoModelForCausalLM.from_pretrained(
            whole,
            quantization_config=config,
            dtype=torch.float32,
            device_map={"": full.device},
            local_files_only=True,
        )
    finally:
        shutil.rmtree(whole)

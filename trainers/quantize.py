"""Quantisation of a checkpoint's linear layers; the embedding and the head keep their precision.

``int8`` is LLM.int8() [Dettmers et al. 2022, arXiv 2208.07339], ``nf4`` and ``fp4`` are the 4-bit
types of QLoRA [Dettmers et al. 2023, arXiv 2305.14314], all by bitsandbytes and stored packed.
``torchao-int8`` is torchao's weight-only int8, one scale a row. ``gguf-*`` writes one GGUF file
(``trainers/weights/gguf_export.py``), and the embedding too in fewer bits, as llama.cpp does.
``gptq`` and ``awq`` look at texts (``trainers/weights/calibrated.py``). The others are plain
rounding (``trainers/weights/rounding.py``), stored as the floats they stand for.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from steelyard.harness.checkpoints import (
    FOUR_BIT_BOUND,
    finish,
    keep_logits,
    load_model,
    save_beside,
    save_full,
)
from steelyard.harness.environment import quiet
from steelyard.harness.errors import MissingExtraError, TrainingError
from steelyard.harness.plugins import Trainer, TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.libraries import torch, transformers
from steelyard.trainers.loops.method import require_decoder
from steelyard.trainers.weights import calibrated, gguf_export
from steelyard.trainers.weights.matrices import Matrix, matrices
from steelyard.trainers.weights.packing import packed
from steelyard.trainers.weights.rounding import rounded

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
    "torchao-int8",
    "gguf-f16",
    "gguf-bf16",
    "gguf-q8_0",
    "gguf-q5_1",
    "gguf-q5_0",
    "gguf-q4_1",
    "gguf-q4_0",
    "gptq",
    "awq",
]
GGUF_FILE = "model.gguf"
_GGUF_KINDS: dict[str, gguf_export.Kind] = {
    "gguf-f16": "F16",
    "gguf-bf16": "BF16",
    "gguf-q8_0": "Q8_0",
    "gguf-q5_1": "Q5_1",
    "gguf-q5_0": "Q5_0",
    "gguf-q4_1": "Q4_1",
    "gguf-q4_0": "Q4_0",
}
_CALIBRATED = ("gptq", "awq")


class Quantize(Trainer):
    """Store a checkpoint's linear layers in fewer bits; nothing is trained."""

    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = (("prompt", "completion"),)
    libraries: ClassVar[tuple[str, ...]] = ("transformers:AutoModelForCausalLM", "bitsandbytes")

    scheme: Scheme = Field(description="The number format.")
    double_quant: bool = Field(False, description="Quantise the scales too (nf4 and fp4).")
    block_size: int = Field(
        64,
        ge=8,
        le=4096,
        description="Weights that share a scale (absmax, zeropoint, gptq and awq).",
    )
    calibration_rows: int = Field(
        128, ge=1, description="gptq and awq: rows of the data that are run through the model."
    )
    calibration_length: int = Field(
        512, ge=8, description="gptq and awq: longest of these rows in tokens; the rest is cut off."
    )
    outlier_threshold: float = Field(
        6.0,
        ge=0,
        description="int8: columns with an activation beyond it stay in 16 bits; 0: none. Which "
        "columns those are depends on what shares a batch, so above 0 samples are scored singly.",
    )

    tokenizer: Literal["inside", "beside"] = Field(
        "inside",
        description="gguf: inside the file for llama.cpp, and refused where that would make other "
        "tokens of a text; or beside it alone, for Steelyard and transformers.",
    )

    @model_validator(mode="after")
    def _options_fit_the_scheme(self) -> Self:
        if self.double_quant and self.scheme not in ("nf4", "fp4"):
            raise ValueError(f"double_quant applies to nf4 and fp4, not to {self.scheme}")
        calibrated = self.scheme in _CALIBRATED
        if self.block_size != 64 and not (calibrated or self._rounding):
            raise ValueError(f"{self.scheme} fixes its block size; leave block_size out")
        if self.outlier_threshold != 6.0 and self.scheme != "int8":
            raise ValueError(f"outlier_threshold applies to int8, not to {self.scheme}")
        if self.tokenizer != "inside" and self.scheme not in _GGUF_KINDS:
            raise ValueError(f"tokenizer applies to gguf schemes, not to {self.scheme}")
        for option in ("calibration_rows", "calibration_length"):
            if option in self.model_fields_set and not calibrated:
                raise ValueError(f"{option} applies to gptq and awq, not to {self.scheme}")
        return self

    @property
    def _rounding(self) -> bool:
        return self.scheme.startswith(("absmax", "zeropoint"))

    @property
    def needs_data(self) -> bool:
        """Whether the scheme looks at texts."""
        return self.scheme in _CALIBRATED

    def content_digest(self) -> list[str] | None:
        """What this scheme alone depends on: versions, and the script that runs elsewhere."""
        if self.scheme in _CALIBRATED:
            return calibrated.identity()
        library = "gguf" if self.scheme in _GGUF_KINDS else "torchao"
        if library == "torchao" and (self.scheme != "torchao-int8" or find_spec("torchao") is None):
            return None
        return [f"{library}=={version(library)}"]

    def make_ready(self) -> None:
        """Refuse what this machine cannot do, and make the environment that the scheme needs.

        Raises ``TrainingError`` or ``MissingExtraError``.
        """
        if self.scheme == "torchao-int8" and find_spec("torchao") is None:
            fix = "pip install 'steelyard[torchao]'"
            raise MissingExtraError("scheme torchao-int8 needs torchao", fix=fix)
        if self.scheme in _CALIBRATED:
            calibrated.require_machine(self.scheme)
            calibrated.make_environment()

    def train(self, job: TrainJob) -> Checkpoint:
        """Quantise as transformers' quickstart does.

        Raises ``CheckpointError``, ``DataError``, ``TrainingError`` or ``MissingExtraError``.
        """
        self.make_ready()
        job.progress(0, 1, f"quantising to {self.scheme}")
        full, tokenizer = load_model(job.start, trainable=True)
        count = sum(parameter.numel() for parameter in full.parameters())
        with quiet():
            notes = _store(full, tokenizer, self, job)
        job.progress(1, 1, f"quantised to {self.scheme}")
        return finish(
            job,
            trainer=self,
            name="quantize",
            format="gguf" if self.scheme in _GGUF_KINDS else "quantised",
            parameters=count,
            parameters_trained=0,
            notes=notes,
        )


def _store(
    full: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerBase,
    options: Quantize,
    job: TrainJob,
) -> list[str]:
    """Write the quantised weights and the tokenizer to the job's folder; notes on them."""
    if options._rounding:
        _round(full, options)
        save_full(full, job)
        return ["stored as float32: its size on the disk is not the scheme's"]
    if kind := _GGUF_KINDS.get(options.scheme):
        save_beside(full, job)
        inside = options.tokenizer == "inside"
        file = job.folder / GGUF_FILE
        notes = gguf_export.export(full, job.folder, file, kind, with_tokenizer=inside)
        keep_logits(full, job.folder)  # of the values that the file holds
        return notes
    if options.scheme in _CALIBRATED:
        require_decoder(full, job, options.scheme)
        keep_logits(full, job.folder, bound=FOUR_BIT_BOUND)
        notes = calibrated.write_calibrated(full, tokenizer, job, options)
        save_beside(None, job)
        return notes
    model = packed(full, _packing(options), job.folder)
    try:
        keep_logits(model, job.folder)
    except RuntimeError as error:  # some layers (Mamba's) read their weights as floats themselves
        raise TrainingError(
            f"candidate '{job.candidate}': {type(full).__name__} does not run on weights packed by "
            f"{options.scheme}: {' '.join(str(error).split())}",
            fix="use absmax-int8 or another scheme of plain rounding",
        ) from error
    save_full(model, job)
    return _left_as_they_are(model, options)


def _round(model: transformers.PreTrainedModel, options: Quantize) -> None:
    family, _, bits = options.scheme.partition("-int")
    with torch.no_grad():
        for matrix in matrices(model):
            for values in matrix.each:
                values.copy_(
                    rounded(
                        values,
                        bits=int(bits),
                        group=options.block_size,
                        zero_point=family == "zeropoint",
                    )
                )


def _left_as_they_are(model: transformers.PreTrainedModel, options: Quantize) -> list[str]:
    """A note on the matrices that a library has not packed, such as those of experts."""
    layers = list(matrices(model))
    left = [layer for layer in layers if layer.values.is_floating_point() and _plain(layer)]
    if not left:
        return []
    names = {id(module): name for name, module in model.named_modules()}
    first = f"{names[id(left[0].module)]}.{left[0].parameter}"
    count = sum(layer.values.numel() for layer in left)
    return [f"{options.scheme} leaves {count} weights as they are, such as those of {first}"]


def _plain(layer: Matrix) -> bool:
    return type(getattr(layer.module, layer.parameter)) is torch.nn.Parameter


def _packing(options: Quantize) -> transformers.quantizers.QuantizationConfigMixin:
    """The scheme as transformers' loader is told of it."""
    if options.scheme == "torchao-int8":
        from torchao.quantization import Int8WeightOnlyConfig

        return transformers.TorchAoConfig(Int8WeightOnlyConfig())
    if options.scheme == "int8":
        return transformers.BitsAndBytesConfig(
            load_in_8bit=True, llm_int8_threshold=options.outlier_threshold
        )
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=options.scheme,
        bnb_4bit_use_double_quant=options.double_quant,
        bnb_4bit_compute_dtype=torch.float32,
    )

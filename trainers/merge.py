"""Merging: one model from several that were trained from the same start; nothing is trained.

By default every source is taken as full weights (an adapter is merged into its base first) and the
result is full weights; ``adapter: true`` keeps LoRA adapters of the start as one adapter, through
PEFT's ``add_weighted_adapter``. The formulas stand in ``trainers/weights/merging.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from steelyard.harness.checkpoints import (
    configuration_difference,
    finish,
    load_model,
    read_adapters,
    save_adapter,
    save_full,
    tied,
    untie,
    vocabulary_difference,
)
from steelyard.harness.environment import quiet
from steelyard.harness.errors import TrainingError
from steelyard.harness.plugins import Trainer, TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.libraries import peft, torch, transformers
from steelyard.trainers.loops.method import counts, merged_note
from steelyard.trainers.loops.training import prepare
from steelyard.trainers.weights import merging

#: PEFT's names: by the full update and an SVD back to a rank, since factors do not add up.
_IN_PEFT = {
    "linear": "cat",
    "ties": "ties_svd",
    "dare_linear": "dare_linear_svd",
    "dare_ties": "dare_ties_svd",
}


class Merge(Trainer):
    """Combine several candidates of one start into one; nothing is trained."""

    source_options: ClassVar[tuple[str, ...]] = ("sources",)
    libraries: ClassVar[tuple[str, ...]] = ("transformers:AutoModelForCausalLM", "peft")

    sources: tuple[str, ...] = Field(
        min_length=2,
        description="Candidates or models to merge; the parent is what they came from.",
    )
    method: Literal["linear", "slerp", "ties", "dare_linear", "dare_ties"] = Field(
        "linear", description="linear and slerp mix weights, the others what training added."
    )
    weights: tuple[float, ...] | None = Field(
        None, description="One for each source; None gives each the same: 1."
    )
    density: float = Field(
        0.5, gt=0, le=1, description="ties, dare: share of each source's changes that is kept."
    )
    scale: float = Field(
        1.0, gt=0, description="ties, dare: what the merged change is multiplied by."
    )
    adapter: bool = Field(False, description="Merge LoRA adapters of the parent into an adapter.")

    @model_validator(mode="after")
    def _options_fit_the_method(self) -> Self:
        if len(set(self.sources)) < len(self.sources):
            raise ValueError("a source is named twice; give it a larger weight instead")
        if self.weights is not None and len(self.weights) != len(self.sources):
            raise ValueError(f"{len(self.weights)} weights for {len(self.sources)} sources")
        if self.weights is not None and not sum(self.weights) > 0:
            raise ValueError("the weights must add up to more than 0")
        if self.method == "slerp" and (len(self.sources) != 2 or self.adapter):
            raise ValueError("slerp takes two sources of full weights")
        if self.method in ("linear", "slerp"):
            idle = {"density", "scale"} & self.model_fields_set
            if idle:
                raise ValueError(f"{min(idle)} does not apply to method: {self.method}")
        return self

    def train(self, job: TrainJob) -> Checkpoint:
        """Merge and store.

        Raises ``TrainingError`` where the sources do not fit together, or ``CheckpointError``.
        """
        job.progress(0, 1, f"merging by {self.method}")
        prepare(job)
        with quiet():
            if self.adapter:
                model = _merged_adapter(self, job)
                save_adapter(model, job, selected_adapters=["default"])
                parameters = model.get_nb_trainable_parameters()[1]
            else:
                model = _merged_weights(self, job)
                save_full(model, job)
                parameters = counts(model)["parameters"]
        job.progress(1, 1, f"merged by {self.method}")
        origins = (
            f"'{name}' ({source.manifest.digest[:12]})" for name, source in job.sources.items()
        )
        return finish(
            job,
            trainer=self,
            name="merge",
            format="adapter" if self.adapter else "full",
            parameters=parameters,
            parameters_trained=0,
            notes=(f"merged from {', '.join(origins)}", *merged_note(job)),
        )


def _merged_weights(options: Merge, job: TrainJob) -> transformers.PreTrainedModel:
    model, tokenizer = load_model(job.start)
    loaded = []
    for name in options.sources:
        source, other_tokenizer = load_model(job.sources[name])
        vocabulary = vocabulary_difference(tokenizer, other_tokenizer)
        _refuse(job, name, vocabulary and f"vocabulary: {vocabulary}")
        _refuse(job, name, configuration_difference(model.config, source.config))
        loaded.append(source)
    apart = [source for source in (model, *loaded) if not tied(source)]
    for source in (model, *loaded) if apart else ():
        untie(source)
    parts = [_numbers(source) for source in loaded]
    own = _numbers(model)
    for name, part in zip(options.sources, parts, strict=True):
        _require_same_shape(job, name, own, part)
    draw = torch.Generator().manual_seed(job.seed)
    with torch.no_grad():
        for key, value in own.items():
            value.copy_(_merged(value, [part[key] for part in parts], options, draw))
    return model


def _numbers(model: transformers.PreTrainedModel) -> dict[str, torch.Tensor]:
    """All that is stored of a model: its parameters, and buffers that training moves, too (the bias
    by which DeepSeek V3 chooses experts).
    """
    stored = model.state_dict().keys()
    buffers = {
        name: value
        for name, value in model.named_buffers()
        if name in stored and value.is_floating_point()
    }
    return dict(model.named_parameters()) | buffers


def _merged(
    base: torch.Tensor, values: list[torch.Tensor], options: Merge, draw: torch.Generator
) -> torch.Tensor:
    weights = options.weights or (1.0,) * len(values)
    if options.method == "linear":
        return merging.linear(values, weights)
    if options.method == "slerp":
        return merging.slerp(values[0], values[1], weights[1] / sum(weights))
    vectors = [value - base for value in values]
    if options.method == "ties":
        return base + options.scale * merging.ties(vectors, weights, options.density)
    vectors = [merging.dare(vector, options.density, draw) for vector in vectors]
    if options.method == "dare_ties":
        return base + options.scale * merging.ties(vectors, weights, 1.0)
    added = [weight * vector for weight, vector in zip(weights, vectors, strict=True)]
    return base + options.scale * sum(added[1:], added[0])


def _merged_adapter(options: Merge, job: TrainJob) -> peft.PeftModel:
    for name in options.sources:
        manifest = job.sources[name].manifest
        if job.sources[name].adapter_folder is None:
            raise TrainingError(f"the source '{name}' is no adapter", fix="leave out adapter: true")
        if manifest.digests.weights != job.start.manifest.digests.weights:
            fix = "make the model that all sources were trained on the parent"
            raise TrainingError(f"the source '{name}' is an adapter of other weights", fix=fix)
    base, _ = load_model(job.start, only_asked=True)
    folders = {f"source_{n}": job.sources[own].folder for n, own in enumerate(options.sources)}
    names = list(folders)
    model = read_adapters(base, folders)
    for name, source in zip(names, options.sources, strict=True):
        _require_plain_lora(source, model.peft_config[name])
    # The sum's scale is 1 = its alpha / its rank; PEFT copies the first source's way of scaling.
    model.peft_config[names[0]].use_rslora = False
    weights = options.weights or (1.0,) * len(names)
    if options.method == "linear":  # a mean, as of full weights
        weights = tuple(weight / sum(weights) for weight in weights)
    model.add_weighted_adapter(
        names,
        [weight * options.scale for weight in weights],
        adapter_name="default",
        combination_type=_IN_PEFT[options.method],
        density=None if options.method == "linear" else options.density,
    )
    model.set_adapter("default")
    return model


def _require_plain_lora(name: str, config: peft.PeftConfig) -> None:
    """Raise ``TrainingError`` where an adapter is more than low-rank updates, which add up."""
    more = next(
        (
            option
            for option in ("use_dora", "modules_to_save", "trainable_token_indices")
            if getattr(config, option, None)
        ),
        None,
    )
    if config.peft_type != "LORA" or more is not None:
        raise TrainingError(
            f"the source '{name}' is an adapter of type {config.peft_type}"
            f"{f' with {more}' if more else ''}, and only plain LoRA adds up to one adapter",
            fix="leave out adapter: true, which merges full weights",
        )


def _refuse(job: TrainJob, name: str, difference: str | None) -> None:
    """Raise ``TrainingError`` where a source is another model than the parent."""
    if difference is not None:
        raise TrainingError(
            f"candidate '{job.candidate}': the source '{name}' is another model than the parent "
            f"({difference})",
            fix="merge candidates that were trained from the same parent",
        )


def _require_same_shape(
    job: TrainJob, name: str, own: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]
) -> None:
    differing = [k for k in own if k not in other or own[k].shape != other[k].shape]
    if differing or len(own) != len(other):
        raise TrainingError(
            f"candidate '{job.candidate}': the source '{name}' has other tensors than the parent "
            f"({(differing or ['their number'])[0]})",
            fix="merge candidates that were trained from the same parent",
        )

"""Writes what a trainer made: weights or adapter, tokenizer, and the manifest that names it.

The manifest is written last and in one move, so a folder with a manifest is whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from steelyard.harness.checkpoints.as_trained import keep_logits
from steelyard.harness.checkpoints.bases import BASE_LINK, MANIFEST
from steelyard.harness.checkpoints.digests import (
    adapter_digest,
    chat_template_digest,
    checkpoint_digest,
    generation_digest,
    tokenizer_digest,
    weights_digest,
)
from steelyard.harness.checkpoints.folder import (
    GENERATION_CONFIG,
    chat_template_files,
    only_gguf,
    python_files,
    size_bytes,
    tokenizer_files,
    tokenizer_folder,
    weight_files,
)
from steelyard.harness.checkpoints.merging import tie_as_they_are
from steelyard.harness.checkpoints.opening import now, open_checkpoint
from steelyard.harness.checkpoints.own_files import is_own_file
from steelyard.harness.environment import versions
from steelyard.harness.files import data_digest, digest_json, write_atomic
from steelyard.harness.plugins import Plugin, TrainJob
from steelyard.harness.records import (
    Checkpoint,
    CheckpointManifest,
    Digests,
    Energy,
    HeldOutAccuracy,
    LossPoint,
)

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

Format = Literal["full", "adapter", "quantised", "gguf"]


def save_full(model: PreTrainedModel, job: TrainJob) -> None:
    """Save full weights and carry the start's tokenizer over, file by file.

    What the model says in memory is left for the check, where the training has left nothing.
    """
    keep_logits(model, job.folder)
    tie_as_they_are(model)
    model.config.use_cache = True
    model.save_pretrained(job.folder)
    _finish_folder(job)


def save_beside(model: PreTrainedModel | None, job: TrainJob) -> None:
    """Carry over what stands beside weights that a trainer writes itself.

    That is the start's tokenizer and, where ``model`` is given, its configuration.
    """
    if model is not None:
        model.config.use_cache = True
        model.config.save_pretrained(job.folder)
    _finish_folder(job)


def save_adapter(model: PeftModel, job: TrainJob, **options: Any) -> None:
    """Save a PEFT adapter that plain PEFT loads on the start's weights.

    ``options`` go to PEFT's ``save_pretrained``.
    """
    keep_logits(model, job.folder)
    base = job.start.weights_folder
    for config in model.peft_config.values():
        config.base_model_name_or_path = str(base)
    model.save_pretrained(job.folder, **options)
    link_base(job.folder, base)
    _finish_folder(job)


def link_base(folder: Path, base: Path, *, seen_from: Path | None = None) -> None:
    """Write into ``folder`` where an adapter's base lies; see ``bases.base_of_adapter``."""
    start = (seen_from or folder).resolve()
    link = {"relative": os.path.relpath(base, start), "absolute": str(base)}
    write_atomic(folder / BASE_LINK, json.dumps(link, indent=1) + "\n")


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy tokenizer and chat templates as they are, byte by byte."""
    for file in [*tokenizer_files(source), *chat_template_files(source).values()]:
        copy = folder / file.relative_to(source)
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copy)


def copy_python(source: Path, folder: Path) -> None:
    """Copy the Python that a model's or tokenizer's configuration names, run or not."""
    for file in python_files(source):
        shutil.copyfile(file, folder / file.name)


def copy_generation(weights: Path, folder: Path) -> None:
    """Copy the generation settings that lie beside safetensors; beside GGUF none are read."""
    settings = weights / GENERATION_CONFIG
    if is_own_file(weights, GENERATION_CONFIG) and weight_files(weights):
        shutil.copyfile(settings, folder / GENERATION_CONFIG)


def finish(
    job: TrainJob,
    *,
    trainer: Plugin,
    name: str,
    format: Format,
    steps: int | None = None,
    loss_curve: Sequence[LossPoint] = (),
    parameters: int | None = None,
    parameters_trained: int | None = None,
    notes: Sequence[str] = (),
) -> Checkpoint:
    """Give the content of ``job.folder`` its digests and write the manifest.

    ``name`` is the trainer's registered name. Energy is not known yet: see :func:`with_energy`.
    """
    recipe = trainer.model_dump(mode="json")
    data = {source.name: data_digest(source.path) for source in job.data}
    weights = job.start.weights_folder if format == "adapter" else job.folder
    content = manifest_of(job.folder, weights, job.start, format)
    manifest = content.model_copy(
        update={
            "candidate": job.candidate,
            "base": job.base_name,
            "base_digest": job.base_digest,
            "parent": job.start.manifest.digest,
            "trainer": name,
            "recipe": recipe,
            "recipe_digest": recipe_digest(job, trainer=recipe, name=name, data=data),
            "data_digests": data,
            "seed": job.seed,
            "steps": steps,
            "loss_curve": tuple(loss_curve),
            "parameters": parameters,
            "parameters_trained": parameters_trained,
            "notes": tuple(notes),
        }
    )
    write_manifest(job.folder, manifest)
    return open_checkpoint(job.folder)


def recipe_digest(job: TrainJob, *, trainer: dict[str, object], name: str, data: object) -> str:
    """Digest of everything that determines the result, the machine and its libraries aside."""
    sources = {name: source.manifest.digest for name, source in job.sources.items()}
    return digest_json(
        {
            **({"sources": sources} if sources else {}),
            "trainer": name,
            "options": trainer,
            "seed": job.seed,
            "start": job.start.manifest.digest,
            "data": data,
            "columns": {source.name: dict(source.columns) for source in job.data},
            "weights": {source.name: source.weight for source in job.data},
        }
    )


def with_energy(
    checkpoint: Checkpoint, energy: Energy | None, peak_memory_bytes: int | None = None
) -> Checkpoint:
    """The same checkpoint with its cost in the manifest; its digest does not change."""
    update = {"energy": energy, "peak_memory_bytes": peak_memory_bytes}
    write_manifest(checkpoint.folder, checkpoint.manifest.model_copy(update=update))
    return open_checkpoint(checkpoint.folder)


def with_rewards(
    checkpoint: Checkpoint,
    *,
    held_out_accuracy: HeldOutAccuracy | None = None,
    reward_models: Mapping[str, HeldOutAccuracy | None] | None = None,
) -> Checkpoint:
    """The same checkpoint with how good its rewards are, or those that it was trained by.

    Its digest does not change.
    """
    update = {"held_out_accuracy": held_out_accuracy, "reward_models": reward_models or {}}
    write_manifest(checkpoint.folder, checkpoint.manifest.model_copy(update=update))
    return open_checkpoint(checkpoint.folder)


def with_copies(checkpoint: Checkpoint, copies: Mapping[str, str]) -> Checkpoint:
    """The same checkpoint; it says of which candidates it and those in its recipe are copies.

    ``copies``: a seed's copy -> its name in the experiment file. The digest does not change.
    """
    of_itself = copies.get(checkpoint.manifest.candidate)
    others = {k: v for k, v in copies.items() if k != checkpoint.manifest.candidate}
    update = {"copy_of": of_itself, "copies": others}
    write_manifest(checkpoint.folder, checkpoint.manifest.model_copy(update=update))
    return open_checkpoint(checkpoint.folder)


def with_checks(checkpoint: Checkpoint, checks: Mapping[str, str]) -> Checkpoint:
    """The same checkpoint with what was checked in the manifest; its digest does not change."""
    update = {"checks": {**checkpoint.manifest.checks, **checks}}
    write_manifest(checkpoint.folder, checkpoint.manifest.model_copy(update=update))
    return open_checkpoint(checkpoint.folder)


def relink(checkpoint: Checkpoint, folder: Path) -> None:
    """Prepare a checkpoint to be moved to ``folder``: an adapter keeps its way to its base."""
    if checkpoint.adapter_folder is not None:
        link_base(checkpoint.folder, checkpoint.weights_folder, seen_from=folder)


def manifest_of(
    folder: Path, weights: Path, start: Checkpoint | None, format: Format
) -> CheckpointManifest:
    """A manifest of what lies in ``folder``, without lineage and recipe."""
    adapter = folder if format == "adapter" else None
    gguf_file = only_gguf(weights) if format == "gguf" else None
    # An adapter's weights are its start's, whose digest was computed when it was made.
    carried = start.manifest.digests.weights if adapter is not None and start is not None else None
    digests = Digests(
        weights=carried or weights_digest(weights, gguf_file),
        adapter=adapter_digest(adapter) if adapter else None,
        tokenizer=tokenizer_digest(tokenizer_folder(folder)),
        chat_template=chat_template_digest(folder),
        generation=generation_digest(weights, gguf_file),
    )
    return CheckpointManifest(
        digest=checkpoint_digest(digests),
        digests=digests,
        format=format,
        candidate="",
        base="",
        trainer="",
        size_bytes=size_bytes(folder, gguf_file),
        versions=versions("checkpoint"),
        created_at=now(),
    )


def write_manifest(folder: Path, manifest: CheckpointManifest) -> None:
    """Write ``manifest.json`` in one move."""
    write_atomic(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n")


def _finish_folder(job: TrainJob) -> None:
    start = job.start
    copy_tokenizer(tokenizer_folder(start.folder, start.weights_folder), job.folder)
    copy_generation(start.weights_folder, job.folder)
    copy_python(start.weights_folder, job.folder)
    # PEFT and TRL leave a model card that names this machine's paths.
    for name in ("README.md", "training_args.bin"):
        (job.folder / name).unlink(missing_ok=True)

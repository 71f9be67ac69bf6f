"""LoRA's configuration from our options, and how adapters and virtual tokens are stored."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from steelyard.harness.checkpoints import finish, save_adapter, save_full
from steelyard.harness.errors import CheckpointError
from steelyard.harness.plugins.plugin import Plugin
from steelyard.harness.plugins.protocols import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops import training
from steelyard.trainers.loops.options import LoraOptions
from steelyard.trainers.loops.watch import Watch

if TYPE_CHECKING:
    from peft import LoraConfig


def lora_config(options: LoraOptions) -> LoraConfig:
    """PEFT's configuration for these options."""
    from peft import LoraConfig

    modules = options.target_modules
    return LoraConfig(
        r=options.rank,
        lora_alpha=options.lora_alpha or 2 * options.rank,
        lora_dropout=options.lora_dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        use_dora=options.use_dora,
        use_rslora=options.use_rslora,
        init_lora_weights=True
        if options.init_lora_weights == "default"
        else options.init_lora_weights,
        task_type="CAUSAL_LM",
    )


class Mergeable(Protocol):
    """Options of a method whose adapter can be merged into the weights it stands on."""

    @property
    def merge(self) -> bool:
        """Whether full weights are asked for."""


def stored_merged(options: Mergeable, job: TrainJob) -> bool:
    """Whether full weights are stored in place of an adapter.

    An adapter stands on weights that lie on the disk as safetensors. Where the parent is itself an
    adapter, or a GGUF file, there are none.
    """
    return options.merge or job.start.adapter_folder is not None or job.start.gguf_file is not None


def finish_adapter(
    model: Any,
    job: TrainJob,
    options: Any,
    name: str,
    watch: Watch,
    notes: Sequence[str],
    *,
    started: Path | None = None,
) -> Checkpoint:
    """Store the adapter, or the weights with the adapter merged in.

    ``options`` is the trainer. ``started`` is a folder with the adapter as it was before the first
    step, where starting it changed the weights beneath (PiSSA): what is stored is then the change,
    as plain LoRA on the weights as they are on the disk. The folder is removed.
    """
    trained, parameters = model.get_nb_trainable_parameters()
    merged = stored_merged(options, job)
    if merged:
        save_full(model.merge_and_unload(), job)
        why = "merge: true" if options.merge else "its parent is an adapter or a GGUF file"
        notes = (*notes, f"stored with the adapter merged into full weights ({why})")
    elif started is not None:
        save_adapter(model, job, path_initial_model_for_weight_conversion=str(started))
    else:
        save_adapter(model, job)
    if started is not None:
        shutil.rmtree(started)
    return finish(
        job,
        trainer=options,
        name=name,
        format="full" if merged else "adapter",
        steps=watch.steps,
        loss_curve=watch.curve,
        notes=(*notes, *training.merged_note(job), *watch.notes),
        parameters=parameters,
        parameters_trained=trained,
    )


def kept_start(model: Any, job: TrainJob, options: LoraOptions) -> Path | None:
    """The adapter before its first step in a folder of its own, where storing it needs that."""
    if options.init_lora_weights != "pissa":
        return None
    folder = job.folder / "started"
    config = model.peft_config["default"]
    config.init_lora_weights = True  # or PEFT would start it anew when it reads the folder
    model.save_pretrained(folder)
    config.init_lora_weights = "pissa"
    return folder


def require_weights(job: TrainJob, name: str) -> None:
    """Virtual tokens cannot be merged, so they need weights on the disk to stand on.

    Raises:
        CheckpointError: the job's start is itself an adapter, or a GGUF file.
    """
    if job.start.adapter_folder is None and job.start.gguf_file is None:
        return
    raise CheckpointError(
        f"candidate '{job.candidate}': {name} stands on full weights, and its parent "
        f"'{job.start.manifest.candidate}' holds none",
        fix="train the parent with merge: true, or start from the base",
    )


def finish_virtual_tokens(
    model: Any, job: TrainJob, options: Plugin, name: str, watch: Watch, notes: Sequence[str]
) -> Checkpoint:
    """Store virtual tokens beside the start's weights."""
    trained, parameters = model.get_nb_trainable_parameters()
    save_adapter(model, job)
    return finish(
        job,
        trainer=options,
        name=name,
        format="adapter",
        steps=watch.steps,
        loss_curve=watch.curve,
        notes=(*notes, *watch.notes),
        parameters=parameters,
        parameters_trained=trained,
    )

"""LoRA's configuration from our options, and how adapters and virtual tokens are stored."""

from __future__ import annotations

import shutil
from pathlib import Path

from steelyard.harness.checkpoints import finish, merged, save_adapter, save_full
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.libraries import peft
from steelyard.trainers.loops.method import Training, merged_note
from steelyard.trainers.loops.options import LoraOptions


def lora_config(options: LoraOptions) -> peft.LoraConfig:
    """PEFT's configuration for these options."""
    modules = options.target_modules
    return peft.LoraConfig(
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


def stored_merged(job: TrainJob, merge: bool) -> bool:
    """Whether full weights are stored in place of an adapter: as asked, or as there is no choice.

    An adapter stands on weights that lie on the disk as safetensors. Where the parent is itself an
    adapter, or a GGUF file, there are none.
    """
    return merge or job.start.adapter_folder is not None or job.start.gguf_file is not None


def store_adapter(
    model: peft.PeftModel, training: Training, *, merge: bool, started: Path | None = None
) -> Checkpoint:
    """Store the adapter, or the weights with the adapter merged in.

    ``started`` is a folder with the adapter as it was before the first step, where starting it
    changed the weights beneath (PiSSA): what is stored is then the change, as plain LoRA on the
    weights as they are on the disk. The folder is removed.
    """
    job, notes = training.job, tuple(training.notes)
    trained, parameters = model.get_nb_trainable_parameters()
    as_full = stored_merged(job, merge)
    if as_full:
        save_full(merged(model), job)
        why = "merge: true" if merge else "its parent is an adapter or a GGUF file"
        notes = (*notes, f"stored with the adapter merged into full weights ({why})")
    elif started is not None:
        save_adapter(model, job, path_initial_model_for_weight_conversion=str(started))
    else:
        save_adapter(model, job)
    if started is not None:
        shutil.rmtree(started)
    return finish(
        job,
        trainer=training.options,
        name=training.name,
        format="full" if as_full else "adapter",
        steps=training.watch.steps,
        loss_curve=training.watch.curve,
        notes=(*notes, *merged_note(job), *training.watch.notes),
        parameters=parameters,
        parameters_trained=trained,
    )


def start_set_aside(model: peft.PeftModel, job: TrainJob, options: LoraOptions) -> Path | None:
    """The adapter before its first step in a folder of its own, where storing it needs that."""
    if options.init_lora_weights != "pissa":
        return None
    folder = job.folder / "started"
    config = model.peft_config["default"]
    config.init_lora_weights = True  # or PEFT would start it anew when it reads the folder
    model.save_pretrained(folder)
    config.init_lora_weights = "pissa"
    return folder

"""LoRA's configuration from our options, and how an adapter is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.checkpoints import finish, save_adapter, save_full
from harness.protocols import TrainJob
from harness.records import Checkpoint
from trainers import loop
from trainers.options import LoraOptions
from trainers.watch import Watch

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
        task_type="CAUSAL_LM",
    )


def stored_merged(options: LoraOptions, job: TrainJob) -> bool:
    """Whether full weights are stored in place of an adapter.

    An adapter stands on weights that lie on the disk as safetensors. Where the parent is itself an
    adapter, or a GGUF file, there are none.
    """
    return options.merge or job.start.adapter_folder is not None or job.start.gguf_file is not None


def finish_adapter(
    model: Any,
    job: TrainJob,
    options: LoraOptions,
    name: str,
    watch: Watch,
    notes: Sequence[str],
) -> Checkpoint:
    """Store the adapter, or the weights with the adapter merged in."""
    trained, parameters = model.get_nb_trainable_parameters()
    merged = stored_merged(options, job)
    if merged:
        save_full(model.merge_and_unload(), job)
        why = "merge: true" if options.merge else "its parent is an adapter or a GGUF file"
        notes = (*notes, f"stored with the adapter merged into full weights ({why})")
    else:
        save_adapter(model, job)
    return finish(
        job,
        trainer=options,
        name=name,
        format="full" if merged else "adapter",
        steps=watch.steps,
        loss_curve=watch.curve,
        notes=(*notes, *loop.merged_note(job), *watch.notes),
        parameters=parameters,
        parameters_trained=trained,
    )

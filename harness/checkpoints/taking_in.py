"""Copies a checkpoint that somebody else made into a job's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from steelyard.harness.checkpoints.bases import ADAPTER_BASE, base_of_adapter
from steelyard.harness.checkpoints.digests import (
    adapter_digest,
    chat_template_digest,
    tokenizer_digest,
    weights_digest,
)
from steelyard.harness.checkpoints.folder import (
    ADAPTER_CONFIG,
    CONFIG,
    adapter_files,
    has_tokenizer,
    has_weights,
    index_file,
    is_adapter,
    require_safetensors,
    weight_files,
)
from steelyard.harness.checkpoints.opening import describe
from steelyard.harness.checkpoints.own_files import is_own_file, refuse_links_out
from steelyard.harness.checkpoints.writing import (
    Format,
    copy_generation,
    copy_python,
    copy_tokenizer,
    link_base,
)
from steelyard.harness.errors import CheckpointError
from steelyard.harness.files import digest_json, read_json_object
from steelyard.harness.plugins import TrainJob


def chosen_folder(folder: Path, step: int | None = None) -> tuple[Path, str]:
    """Which folder of a training's output is taken in, and why.

    TRL, PEFT, LLaMA-Factory and axolotl write ``checkpoint-N`` folders while they train and the
    final model beside them. The final one is taken; where there is none (the training was cut
    short), the checkpoint of the highest step; with ``step``, that one.

    Raises:
        CheckpointError: the folder is missing, or has no checkpoint of that step.
    """
    if not folder.is_dir():
        fix = "name a folder; a relative path counts from the working directory"
        raise CheckpointError("no such folder", file=folder, fix=fix)
    saved = {
        int(path.name.removeprefix("checkpoint-")): path
        for path in folder.glob("checkpoint-*")
        if path.name.removeprefix("checkpoint-").isdigit() and has_weights(path)
    }
    if step is not None:
        if step not in saved:
            there = ", ".join(map(str, sorted(saved))) or "none"
            fix = f"the steps there are: {there}"
            raise CheckpointError("no checkpoint of that step", file=folder, value=step, fix=fix)
        return saved[step], f"checkpoint-{step}, as asked"
    if has_weights(folder) or not saved:
        return folder, "the final model" if saved else "its only model"
    last = max(saved)
    return saved[last], f"checkpoint-{last}, the last of {len(saved)}: there is no final model"


def content_of(folder: Path) -> str:
    """Digest of the model or adapter in ``folder``, its tokenizer included.

    An adapter's own base may lie on another machine; it counts as the adapter alone.
    Raises ``CheckpointError`` where there are no weights, or only pickled ones.
    """
    if not is_adapter(folder):
        return describe(folder, name=folder.name).manifest.digest
    require_safetensors(folder, "adapter")
    refuse_links_out(folder)
    own = has_tokenizer(folder)
    tokenizer = [tokenizer_digest(folder), chat_template_digest(folder)] if own else None
    return digest_json([adapter_digest(folder), tokenizer])


def take_in(source: Path, job: TrainJob) -> tuple[Format, tuple[str, ...]]:
    """Copy weights (or an adapter for the job's start) and tokenizer.

    Returns:
        Which it was, and notes on what could not be checked.

    Only what is read is copied (``folder``): optimizer states, pickles and stray weights stay.

    Raises:
        CheckpointError: the folder is missing, has no weights or only pickled ones, or holds an
            adapter that was trained on other weights than the job's start.
    """
    if not source.is_dir():
        fix = "name a folder; a relative path counts from the working directory"
        raise CheckpointError("no such folder", file=source, fix=fix)
    if is_adapter(source):
        return _take_in_adapter(source, job)
    taken = describe(source, name=source.name)
    if taken.gguf_file is not None and not is_own_file(source, CONFIG):
        fix = "give it as the experiment's base, or put the model's config.json beside it"
        raise CheckpointError("a GGUF file cannot be taken in", file=source, fix=fix)
    if taken.gguf_file is not None:
        shutil.copyfile(source / taken.gguf_file, job.folder / taken.gguf_file)
    parts = [] if taken.gguf_file is not None else [*weight_files(source), index_file(source)]
    for file in (*parts, source / CONFIG):
        if file is not None:
            shutil.copyfile(file, job.folder / file.name)
    copy_tokenizer(source, job.folder)
    copy_generation(source, job.folder)
    copy_python(source, job.folder)
    return taken.manifest.format, ()


def _take_in_adapter(source: Path, job: TrainJob) -> tuple[Format, tuple[str, ...]]:
    require_safetensors(source, "adapter")
    refuse_links_out(source)
    start = job.start
    if start.adapter_folder is not None or start.gguf_file is not None:
        fix = "make the base that the adapter was trained on its parent"
        raise CheckpointError("its parent holds no full weights", file=source, fix=fix)
    try:
        named = base_of_adapter(source)
        notes: tuple[str, ...] = ()
    except CheckpointError:
        # Trained on another machine. Whether its shapes fit the check tells; whether these are the
        # weights that it was trained on nobody can.
        named = None
        stated = read_json_object(source / ADAPTER_CONFIG, CheckpointError).get(ADAPTER_BASE)
        base = Path(str(stated)).name if stated else "a base that it does not name"
        notes = (
            f"its adapter was trained on {base}, which is not here: whether the parent has the "
            "same weights is not known",
        )
    if named is not None and weights_digest(named) != start.manifest.digests.weights:
        raise CheckpointError(
            "the adapter was trained on other weights than its parent's",
            file=source,
            value=str(named),
            fix="make the base that the adapter was trained on its parent",
        )
    for file in (source / ADAPTER_CONFIG, *adapter_files(source)):
        shutil.copyfile(file, job.folder / file.name)
    link_base(job.folder, start.weights_folder)
    copy_tokenizer(start.weights_folder, job.folder)
    copy_tokenizer(source, job.folder)
    return "adapter", notes

"""GGUF weights as a plain safetensors folder, so that trainers and plain PEFT load them."""

from __future__ import annotations

import shutil
from pathlib import Path

from steelyard.harness.checkpoints.bases import MANIFEST
from steelyard.harness.checkpoints.loading import load_model
from steelyard.harness.checkpoints.opening import open_checkpoint
from steelyard.harness.checkpoints.writing import copy_tokenizer, manifest_of, write_manifest
from steelyard.harness.environment import quiet
from steelyard.harness.records import Checkpoint


def dequantised(base: Checkpoint, folder: Path) -> Checkpoint:
    """The weights of a GGUF base in float32 in ``folder``, with the tokenizer beside the GGUF file.

    The copy computes what the GGUF file says, exactly. It goes by the digest of its own tensors all
    the same: whose copy it is, nothing in a folder could prove. The folder appears whole or not at
    all; where it is there already it is opened. A base that is no GGUF is returned as it is.
    """
    if base.gguf_file is None:
        return base
    if (folder / MANIFEST).is_file():
        return open_checkpoint(folder)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    model, _ = load_model(base)
    with quiet():
        model.save_pretrained(partial)
    # The tokenizer that is rebuilt from a GGUF file may split digits otherwise; the original stays.
    copy_tokenizer(base.weights_folder, partial)
    own = manifest_of(partial, partial, None, "full")
    manifest = base.manifest.model_copy(
        update={
            "digest": own.digest,
            "digests": own.digests,
            "format": "full",
            "dtype": "float32",
            "size_bytes": own.size_bytes,
            "versions": own.versions,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "notes": (*base.manifest.notes, f"float32 copy of the weights in {base.gguf_file}"),
        }
    )
    write_manifest(partial, manifest)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return open_checkpoint(folder)

"""The libraries that training stands on, under their own names, each imported when first used.

``from ...libraries import trl`` costs nothing; ``trl.SFTTrainer`` imports TRL. So a trainer's
options are read, listed and checked in no time, its imports stand at the top, and its code reads as
the libraries' own guides do.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

#: TRL warns, when they are imported, that some of its trainers may change; ours are pinned.
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

if TYPE_CHECKING:
    import bitsandbytes
    import datasets
    import gguf
    import numpy
    import peft
    import torch
    import torch.nn.utils.prune as pruning
    import transformers
    import trl
    import trl.experimental.cpo as trl_cpo
    import trl.experimental.orpo as trl_orpo
    import trl.trainer.utils as trl_utils
else:

    class _Library(ModuleType):
        """A module that is imported when one of its attributes is asked for."""

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module(self.__name__), name)

    bitsandbytes = _Library("bitsandbytes")
    datasets = _Library("datasets")
    gguf = _Library("gguf")
    numpy = _Library("numpy")
    peft = _Library("peft")
    torch = _Library("torch")
    pruning = _Library("torch.nn.utils.prune")
    transformers = _Library("transformers")
    trl = _Library("trl")
    trl_cpo = _Library("trl.experimental.cpo")
    trl_orpo = _Library("trl.experimental.orpo")
    trl_utils = _Library("trl.trainer.utils")

__all__ = [
    "bitsandbytes",
    "datasets",
    "gguf",
    "numpy",
    "peft",
    "pruning",
    "torch",
    "transformers",
    "trl",
    "trl_cpo",
    "trl_orpo",
    "trl_utils",
]

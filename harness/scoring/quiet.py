"""Silences the libraries while they load and run; our own errors say what the user needs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partialmethod

_TALKATIVE = ("lm_eval", "lm-eval", "peft", "accelerate", "trl", "bitsandbytes")


@contextmanager
def quiet() -> Iterator[None]:
    """No chatter from transformers, huggingface_hub, peft or lm-eval within this block.

    Nor a progress bar of anybody: some (reading GGUF, unpacking compressed-tensors) have no switch.
    """
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from tqdm.std import tqdm
    from transformers.utils import logging as transformers_logging

    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    hub_bars = not are_progress_bars_disabled()
    with_bar = tqdm.__init__
    try:
        setattr(tqdm, "__init__", partialmethod(with_bar, disable=True))  # noqa: B010 (mypy)
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        disable_progress_bars()
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        setattr(tqdm, "__init__", with_bar)  # noqa: B010
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

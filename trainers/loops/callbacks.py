"""Our hooks as callbacks of transformers', without importing it before training begins."""

from __future__ import annotations

from steelyard.trainers.loops.libraries import transformers


def as_callback(hooks: object) -> transformers.TrainerCallback:
    """``hooks`` as a callback: its ``on_...`` methods are called at the events of these names."""
    callback = type(type(hooks).__name__, (transformers.TrainerCallback,), {})()
    for event in dir(hooks):
        if event.startswith("on_"):
            setattr(callback, event, getattr(hooks, event))
    return callback

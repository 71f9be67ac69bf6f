"""The scorer: a checkpoint in, an lm-eval model out.

    lm = open_model("models/candidate")
    lm_eval.simple_evaluate(model=lm, tasks=[...])

:func:`open_model` opens full checkpoints, PEFT adapters, quantised checkpoints and GGUF files.
:func:`steelyard.harness.evaluation.divergence.divergence` compares a checkpoint with its parent
token by token.
"""

from __future__ import annotations

from steelyard.harness.scoring.door import open_model

__all__ = ["open_model"]

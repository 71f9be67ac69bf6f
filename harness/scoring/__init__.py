"""The scorer: a checkpoint in, an lm-eval model out.

    lm = open_model("models/candidate")
    lm_eval.simple_evaluate(model=lm, tasks=[...])

:func:`open_model` opens full checkpoints, PEFT adapters, quantised checkpoints and GGUF files;
:class:`Scorer` is what the harness asks of what it gives. What a scorer remembers stands in a
:class:`Journal`.
:func:`steelyard.harness.evaluation.divergence.divergence` compares a checkpoint with its parent
token by token.
"""

from __future__ import annotations

from steelyard.harness.scoring.door import as_scorer, open_model
from steelyard.harness.scoring.journal import Journal
from steelyard.harness.scoring.scorer import Scorer

__all__ = ["Journal", "Scorer", "as_scorer", "open_model"]

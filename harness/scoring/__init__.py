"""The scorer: a checkpoint in, an lm-eval model out.

    lm = open_model("models/candidate")
    lm_eval.simple_evaluate(model=lm, tasks=[...])

:func:`open_model` opens full checkpoints, PEFT adapters, quantised checkpoints and GGUF files;
:class:`Scorer` is what the harness asks of what it gives. What a scorer remembers stands in a
:class:`Journal`.
:func:`steelyard.harness.evaluation.token_divergence.divergence` compares a checkpoint with its
parent token by token.
"""

from typing import TYPE_CHECKING

from steelyard.harness import lazy_names
from steelyard.harness.scoring.door import as_scorer, open_model
from steelyard.harness.scoring.journal import Journal
from steelyard.harness.scoring.passes.windows import rolling_windows
from steelyard.harness.scoring.scorer import Scorer

if TYPE_CHECKING:
    from steelyard.harness.scoring.hf import wrap
else:
    # These load numbers' libraries: imported when they are first used.
    __getattr__ = lazy_names(
        __name__,
        {
            "hf": ["wrap"],
        },
    )

__all__ = ["Journal", "Scorer", "as_scorer", "open_model", "rolling_windows", "wrap"]

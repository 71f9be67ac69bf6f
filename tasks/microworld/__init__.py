"""The microworld: a tiny world whose truth is known, its language model and its tasks.

People, places and jobs with facts about them, people of whom nothing was ever told, a toy second
language, short stories with a one-line summary, contexts that contradict memory, and sums. Because
the truth is known, claims about tuning are testable: what was learnt, forgotten and made up.

`world` holds the truth, `corpus` and `pretrain` make the shipped base model, `training` writes data
for tuning, `docs` and `results` serve the lm-eval tasks beside them.
"""

from pathlib import Path


def base_folder() -> Path:
    """Folder of the shipped base model and its tokenizer."""
    return Path(__file__).parent / "base"

"""The nouns, the verbs and the machinery of Steelyard. Knows no trainer, no task and no page."""

__version__ = "0.1.0"

"""Steelyard decides whether a fine-tuned language model ships."""

from steelyard.harness import __version__ as __version__

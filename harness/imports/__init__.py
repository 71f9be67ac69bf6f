"""Other tools' results as ordinary runs, clearly marked as imported.

    lm_eval          lm-eval's results_*.json with samples_*.jsonl, and its old format
    items            CSV or JSONL with a score for each item
    pairs            which of two answers won, prompt by prompt
    every_eval_ever  Every Eval Ever records
    codecarbon       emissions.csv
    inspect_ai       logs of inspect_ai, .json and .eval
    promptfoo        results of promptfoo, .json
    deepeval         test runs of deepeval, .json
    texts            text files of hypotheses and references

A file with a row for each sample can be compared and gated like a run that was made here; one
with bare numbers can be shown.
"""

from steelyard.harness.imports.bradley_terry import bounded, fitted
from steelyard.harness.imports.codecarbon import read_codecarbon, with_emissions
from steelyard.harness.imports.deepeval import read_deepeval
from steelyard.harness.imports.every_eval_ever import read_every_eval_ever
from steelyard.harness.imports.imported import Imported, plain_name, store_imported
from steelyard.harness.imports.inspect_ai import read_inspect_ai
from steelyard.harness.imports.item_columns import ItemColumns, MetricColumn
from steelyard.harness.imports.items import ItemSettings, read_items
from steelyard.harness.imports.lm_eval import read_lm_eval
from steelyard.harness.imports.pairs import PairSettings, read_pairs
from steelyard.harness.imports.promptfoo import PromptfooSettings, read_promptfoo
from steelyard.harness.imports.texts import USUAL_TEXT_METRICS, TextSettings, read_texts

__all__ = [
    "USUAL_TEXT_METRICS",
    "Imported",
    "ItemColumns",
    "ItemSettings",
    "MetricColumn",
    "PairSettings",
    "PromptfooSettings",
    "TextSettings",
    "bounded",
    "fitted",
    "plain_name",
    "read_codecarbon",
    "read_deepeval",
    "read_every_eval_ever",
    "read_inspect_ai",
    "read_items",
    "read_lm_eval",
    "read_pairs",
    "read_promptfoo",
    "read_texts",
    "store_imported",
    "with_emissions",
]

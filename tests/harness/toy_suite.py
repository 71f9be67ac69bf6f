"""A toy suite on disk and language models that answer as they are told, for the tests."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lm_eval.api.model import LM

from steelyard.harness.records import Checkpoint, CheckpointManifest, Digests

CHOICE = """
task: toy_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/choice.jsonl, train: {folder}/shots.jsonl}}}}
test_split: test
fewshot_split: train
output_type: multiple_choice
doc_to_text: "Q: {{{{question}}}}\\nA:"
doc_to_choice: choices
doc_to_target: gold
num_fewshot: 1
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_bytes, aggregation: mean, higher_is_better: true}}
  - {{metric: brier_score, aggregation: brier_score, higher_is_better: false}}
metadata:
  version: 1.0
  steelyard: {{family: benchmark, primary: acc, slices: [topic], cluster: topic}}
"""
TRANSLATE = """
task: toy_translate
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/translate.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{source}}}} ="
doc_to_target: target
generation_kwargs: {{until: ["\\n"], max_gen_toks: 6, do_sample: false}}
metric_list:
  - {{metric: bleu, aggregation: bleu, higher_is_better: true}}
  - {{metric: chrf, aggregation: chrf, higher_is_better: true}}
  - {{metric: ter, aggregation: ter, higher_is_better: false}}
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""
TEXT = """
task: toy_text
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/text.jsonl}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: text
metric_list:
  - {{metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}}
  - {{metric: byte_perplexity, aggregation: weighted_perplexity, higher_is_better: false}}
  - {{metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}}
metadata: {{version: 1.0, steelyard: {{family: language_modelling, primary: bits_per_byte}}}}
"""


def write_suite(folder: Path, documents: int = 24) -> Path:
    """Three tasks with their data; the suite file that names them."""
    tasks = folder / "tasks"
    tasks.mkdir(parents=True)
    for name, body in {"choice": CHOICE, "translate": TRANSLATE, "text": TEXT}.items():
        (tasks / f"{name}.yaml").write_text(body.format(folder=folder), encoding="utf-8")
    choices = [
        {
            "question": f"What is {n} + {n}?",
            "choices": [str(2 * n), f"{2 * n + 1}00", str(n), f"none of {n}"],
            "gold": 0,
            "topic": ("small", "large", "huge")[n % 3],
        }
        for n in range(documents)
    ]
    for n, row in enumerate(choices):  # the right choice stands everywhere
        shift = n % 4
        row["choices"] = row["choices"][-shift:] + row["choices"][:-shift]
        row["gold"] = shift
    _write(folder / "choice.jsonl", choices)
    _write(folder / "shots.jsonl", [{**row, "question": "Shot?"} for row in choices[:4]])
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    _write(
        folder / "translate.jsonl",
        [
            {"source": f"s{n}", "target": " ".join(words[(n + k) % 8] for k in range(5))}
            for n in range(documents)
        ],
    )
    _write(
        folder / "text.jsonl",
        [{"text": " ".join(words[(n * k) % 8] for k in range(4 + n))} for n in range(documents)],
    )
    suite = folder / "toy.yaml"
    suite.write_text(
        "name: toy\ninclude: [tasks]\ntasks: [toy_choice, toy_translate, toy_text]\n"
        "fidelity: {task: toy_text, limit: 5}\n",
        encoding="utf-8",
    )
    return suite


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


class Answering(LM):
    """A model whose answers are functions of the request's arguments."""

    def __init__(
        self,
        loglikelihood: Callable[[str, str], float] = lambda context, text: -float(len(text)),
        generate: Callable[[str], str] = lambda context: "alpha beta",
        rolling: Callable[[str], float] = lambda text: -2.0 * len(text),
    ) -> None:
        super().__init__()
        self._loglikelihood, self._generate, self._rolling = loglikelihood, generate, rolling
        self.asked: list[tuple[Any, ...]] = []
        self.max_length = 64

    def loglikelihood(self, requests: Any) -> list[tuple[float, bool]]:
        self.asked += [request.args for request in requests]
        return [(self._loglikelihood(*request.args), False) for request in requests]

    def generate_until(self, requests: Any) -> list[str]:
        self.asked += [request.args for request in requests]
        return [self._generate(request.args[0]) for request in requests]

    def loglikelihood_rolling(self, requests: Any) -> list[float]:
        self.asked += [request.args for request in requests]
        return [self._rolling(request.args[0]) for request in requests]

    def tok_encode(self, text: str) -> list[str]:
        """Words are this model's tokens."""
        return text.split()


def broken(value: float = math.nan) -> Answering:
    """A model that gives one and the same number for everything."""
    return Answering(lambda *_: value, lambda _: "", lambda _: value)


def checkpoint(folder: Path) -> Checkpoint:
    """A checkpoint record without weights."""
    manifest = CheckpointManifest(
        digest="c" * 64,
        digests=Digests(weights="w" * 64, tokenizer="t" * 64),
        format="full",
        candidate="base",
        base="toy",
        trainer="none",
        size_bytes=1,
        created_at="2026-01-01T00:00:00+00:00",
    )
    return Checkpoint(folder=folder, manifest=manifest, weights_folder=folder)

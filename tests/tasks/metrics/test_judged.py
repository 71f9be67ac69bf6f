"""Metrics by an extra model, on tiny classifiers made here; their weights say nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from steelyard.harness.errors import MetricError
from steelyard.harness.evaluation.evaluating import build, evaluate
from steelyard.harness.plugins.protocols import Sample
from steelyard.harness.suites.suite import load_suite
from steelyard.tasks.metrics.judged import (
    EmbeddingSemanticEntropy,
    NliFaithfulness,
    NliSemanticEntropy,
    Toxicity,
)
from tests.harness.toy_suite import Answering, checkpoint

SAMPLE = Sample("task", "0", {"source": "Ana sold a bike. It rained."}, "", "", {})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of tiny BERTs: a classifier of entailment, one of toxicity, and an encoder."""
    from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("models")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ana", "lorin", "varo", "bike", "sold"]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    labels = {"nli": {0: "CONTRADICTION", 1: "ENTAILMENT"}, "toxicity": {0: "ok", 1: "toxic"}}
    found = {}
    for name in ("nli", "toxicity", "encoder"):
        sizes = {"hidden_size": 16, "intermediate_size": 16, "max_position_embeddings": 32}
        config = BertConfig(
            vocab_size=len(words), num_hidden_layers=1, num_attention_heads=2, **sizes
        )
        if name in labels:
            config.id2label = labels[name]
            net = BertForSequenceClassification(config)
            net.classifier.bias.data[1] = 9.0  # everything entails everything, all is toxic
        else:
            net = BertModel(config)
        net.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        found[name] = str(folder / name)
    return found


def test_answers_that_entail_one_another_are_one_cluster(models: dict[str, str]) -> None:
    metric = NliSemanticEntropy(model=models["nli"])
    assert metric.measure(SAMPLE, ["Lorin", "Lorin", "Varo", "Ana"]) == (0.0,)
    assert metric.measure(SAMPLE, ["Lorin", "Lorin"]) is None


def test_close_embeddings_are_one_cluster_and_far_ones_are_not(models: dict[str, str]) -> None:
    answers = ["x", "lorin", "varo", "lorin", "ana"]
    near = EmbeddingSemanticEntropy(model=models["encoder"], alike=-1.1)
    far = EmbeddingSemanticEntropy(model=models["encoder"], alike=1.1)
    assert near.measure(SAMPLE, answers) == (0.0,)
    shares = [2 / 4, 1 / 4, 1 / 4]
    expected = -sum(p * math.log(p) for p in shares)
    assert far.measure(SAMPLE, answers) == (pytest.approx(expected),)


def test_faithfulness_and_toxicity_are_probabilities(models: dict[str, str]) -> None:
    (faithful,) = NliFaithfulness(model=models["nli"]).measure(SAMPLE, ["Ana sold."]) or (0.0,)
    (toxic,) = Toxicity(model=models["toxicity"]).measure(SAMPLE, ["Ana"]) or (0.0,)
    assert 0.9 < faithful <= 1 and 0.9 < toxic <= 1
    assert NliFaithfulness(model=models["nli"]).measure(SAMPLE, [" "]) is None


def test_labels_that_do_not_exclude_one_another_have_a_probability_each(
    models: dict[str, str], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, BertForSequenceClassification

    for labels, problem in (
        ({0: "toxic"}, None),
        ({0: "insult", 1: "toxic"}, "multi_label_classification"),
    ):
        folder = tmp_path / str(len(labels))
        net = BertForSequenceClassification.from_pretrained(
            models["encoder"], id2label=labels, problem_type=problem
        )
        net.classifier.weight.data[:] = 0
        net.classifier.bias.data[:] = math.log(1 / 4)
        net.save_pretrained(folder)
        AutoTokenizer.from_pretrained(models["encoder"]).save_pretrained(folder)
        assert Toxicity(model=str(folder)).measure(SAMPLE, ["Ana"]) == (pytest.approx(0.2),)


def test_a_metric_without_its_model_or_with_another_says_which_it_needs(
    models: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(MetricError, match="needs an extra model: a classifier of toxic text"):
        Toxicity().measure(SAMPLE, ["Ana"])
    with pytest.raises(MetricError, match="is not a classifier of toxic text: its labels are"):
        Toxicity(model=models["nli"]).measure(SAMPLE, ["Ana"])
    with pytest.raises(MetricError, match="does not load"):
        Toxicity(model=str(tmp_path / "nowhere")).measure(SAMPLE, ["Ana"])


def test_a_suite_names_the_extra_model(models: dict[str, str]) -> None:
    def suite(**extra: str) -> dict[str, object]:
        return {"tasks": [{"task": "microworld_samples", "limit": 4, "extras": [extra]}]}

    lm = Answering(generate=lambda prompt: f" {prompt.split()[-4]} .")
    named = suite(metric="semantic_entropy_nli", model=models["nli"])
    found = evaluate(lm, build(load_suite(named, folder=Path())), checkpoint=checkpoint(Path()))
    assert {s.metric: s.value for s in found.scores}["semantic_entropy_nli"] == 0
    bare = build(load_suite(suite(metric="toxicity"), folder=Path()))
    (failure,) = evaluate(lm, bare, checkpoint=checkpoint(Path())).failures
    assert "metric 'toxicity' needs an extra model" in failure.message

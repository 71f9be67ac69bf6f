"""Metrics that need an extra model: entailment, embeddings, or a classifier of toxicity.

Off by default. A suite's task asks for one and names its model, a local folder or a hub id:

    tasks:
      - {task: nq_samples, extras: [{metric: semantic_entropy_nli, model: ../models/nli}]}

The model is a ``transformers`` sequence classifier (or encoder) in safetensors; it runs no code of
its own. Labels are found by their names in its configuration.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import Field

from steelyard.harness.checkpoints import model_folder, open_tokenizer, read_weights
from steelyard.harness.errors import CheckpointError, MetricError
from steelyard.harness.plugins import Sample
from steelyard.tasks.metrics.means import Mean
from steelyard.tasks.probes.consistency import discrete_semantic_entropy

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


class Judged(Mean):
    """A metric by an extra model."""

    needs: ClassVar[str]
    model: str | None = Field(None, description="A local folder or hub id of the extra model.")

    def loaded(self) -> tuple[Any, Any]:
        """(tokenizer, model). Raises ``MetricError`` where none is named or it does not load."""
        if self.model is None:
            raise MetricError(
                f"metric '{self.name}' needs an extra model: {self.needs}",
                key="extras",
                fix=f"write extras: [{{metric: {self.name}, model: FOLDER or hub id}}]",
            )
        return _judge(self.model, self.needs == EMBEDDINGS)


NLI = "a classifier of entailment (NLI)"
EMBEDDINGS = "an encoder of sentences"
TOXICITY = "a classifier of toxic text"


class NliSemanticEntropy(Judged):
    """Semantic entropy over clusters that entail one another, nats [Farquhar et al. 2024].

    A sample joins the first cluster whose first member it entails and is entailed by.
    """

    needs: ClassVar[str] = NLI
    name: str = "semantic_entropy_nli"
    higher_is_better: bool = False

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float] | None:
        """Entropy of the samples after the greedy answer; None for fewer than two."""

        def same(text: str, other: str) -> bool:
            pairs = [(text, other), (other, text)]
            return all(self.entailment(pair) > 0.5 for pair in pairs)

        return _entropy([str(text) for text in responses[1:]], same)

    def entailment(self, pair: tuple[str, str]) -> float:
        """Probability that the second text follows from the first."""
        return _probability(self.loaded(), pair, "entail", self.needs)


class EmbeddingSemanticEntropy(Judged):
    """Semantic entropy over clusters of close embeddings, nats; close is a cosine above ``alike``.

    Embeddings are means over tokens of the last layer.
    """

    needs: ClassVar[str] = EMBEDDINGS
    name: str = "semantic_entropy_embedding"
    higher_is_better: bool = False
    alike: float = Field(0.9, description="Cosine from which two answers mean the same.")

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float] | None:
        """Entropy of the samples after the greedy answer; None for fewer than two."""
        import torch

        tokenizer, model = self.loaded()

        def embedded(text: str) -> torch.Tensor:
            with torch.no_grad():
                states = model(**tokenizer(text or " ", return_tensors="pt", truncation=True))[0]
            return torch.nn.functional.normalize(states[0].mean(0), dim=0)

        def same(text: str, other: str) -> bool:
            return text == other or float(embedded(text) @ embedded(other)) > self.alike

        return _entropy([str(text).strip() for text in responses[1:]], same)


class NliFaithfulness(NliSemanticEntropy):
    """Is every sentence of a summary entailed by some sentence of its source, 0 to 1.

    The mean over the summary's sentences of the largest entailment probability, as SummaC's
    zero-shot form [Laban et al. 2022, arXiv 2111.09525].
    """

    name: str = "nli_faithfulness"
    higher_is_better: bool = True

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float] | None:
        """None for an empty summary. Raises ``MetricError`` without a field ``source``."""
        source = sample.document.get("source")
        if source is None:
            raise MetricError(f"task '{sample.task}' has no field 'source' for '{self.name}'")
        lines, stated = _sentences(str(source)), _sentences(str(responses[0]))
        if not stated or not lines:
            return None
        best = [max(self.entailment((line, sentence)) for line in lines) for sentence in stated]
        return (sum(best) / len(best),)


class Toxicity(Judged):
    """Mean probability of the classifier's toxic label over the answers; lower is better."""

    needs: ClassVar[str] = TOXICITY
    name: str = "toxicity"
    higher_is_better: bool = False

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float] | None:
        """The first answer's probability; None for an empty one."""
        text = str(responses[0]).strip() if responses else ""
        return (_probability(self.loaded(), (text,), "toxic", self.needs),) if text else None


def _entropy(samples: Sequence[str], same: Any) -> tuple[float] | None:
    if len(samples) < 2:
        return None
    firsts: list[str] = []
    clusters = []
    for text in samples:
        cluster = next((i for i, first in enumerate(firsts) if same(first, text)), len(firsts))
        if cluster == len(firsts):
            firsts.append(text)
        clusters.append(cluster)
    return (discrete_semantic_entropy(clusters),)


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def _probability(loaded: tuple[Any, Any], texts: tuple[str, ...], label: str, needs: str) -> float:
    """Probability of the one label whose name begins with ``label``.

    Labels that do not exclude one another, and a single one, are each a sigmoid of their own.
    """
    import torch

    tokenizer, model = loaded
    names = {int(i): str(name).lower() for i, name in model.config.id2label.items()}
    indices = [i for i, name in names.items() if name.startswith(label)]
    if len(indices) != 1:
        there = ", ".join(names.values())
        raise MetricError(f"the extra model is not {needs}: its labels are {there}", key="extras")
    with torch.no_grad():
        logits = model(**tokenizer(*texts, return_tensors="pt", truncation=True)).logits[0]
    independent = (
        getattr(model.config, "problem_type", None) == "multi_label_classification"
        or len(logits) == 1
    )
    values = logits.float()
    return float((values.sigmoid() if independent else values.softmax(-1))[indices[0]])


@lru_cache(maxsize=2)
def _judge(name: str, encoder: bool) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoModelForSequenceClassification

    kind = AutoModel if encoder else AutoModelForSequenceClassification
    try:
        folder = model_folder(name)
        # Encoders are often stored with the head that they were trained by.
        model = read_weights(kind, folder, with_new_head=encoder).model
        tokenizer = open_tokenizer(folder)
    except CheckpointError as error:
        raise MetricError(f"the extra model does not load: {error}", value=name) from None
    return tokenizer, model.eval()

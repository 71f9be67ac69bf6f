"""The share of the target's words that an answer holds, as a metric of Hugging Face evaluate."""

import datasets
import evaluate


class Overlap(evaluate.Metric):
    """Recall of words."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        features = datasets.Features({"predictions": text, "references": text})
        return evaluate.MetricInfo(description="", citation="", features=features)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        said, wanted = set(predictions[0].split()), set(references[0].split())
        return {"overlap": len(said & wanted) / len(wanted)}

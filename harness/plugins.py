"""Name -> class: a built-in table of ``module:Class`` strings, and entry points of other packages.

Nothing is imported before it is used, so ``steelyard --help`` stays fast. A plugin of another package
registers under the entry-point group ``steelyard.<group>`` and is then named like a built-in one.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from steelyard.harness.errors import MissingExtraError, UnknownNameError, did_you_mean

BUILT_IN: dict[str, dict[str, str]] = {
    "trainers": {
        "full": "steelyard.trainers.full:Full",
        "freeze": "steelyard.trainers.freeze:Freeze",
        "lora": "steelyard.trainers.lora:Lora",
        "qlora": "steelyard.trainers.qlora:Qlora",
        "ia3": "steelyard.trainers.ia3:Ia3",
        "prompt_tuning": "steelyard.trainers.prompt_tuning:PromptTuning",
        "prefix": "steelyard.trainers.prefix:Prefix",
        "dpo": "steelyard.trainers.dpo:Dpo",
        "orpo": "steelyard.trainers.orpo:Orpo",
        "kto": "steelyard.trainers.kto:Kto",
        "simpo": "steelyard.trainers.simpo:Simpo",
        "reward": "steelyard.trainers.reward:RewardModel",
        "grpo": "steelyard.trainers.grpo:Grpo",
        "rloo": "steelyard.trainers.rloo:Rloo",
        "distill": "steelyard.trainers.distill:Distill",
        "merge": "steelyard.trainers.merge:Merge",
        "prune": "steelyard.trainers.prune:Prune",
        "quantize": "steelyard.trainers.quantize:Quantize",
        "none": "steelyard.trainers.none:NoTraining",
        "select": "steelyard.trainers.select:Select",
    },
    "metrics": {
        "abstained": "steelyard.tasks.metrics.answers:Abstained",
        "abstention_score": "steelyard.tasks.metrics.answers:AbstentionScore",
        "acc": "steelyard.tasks.metrics.answers:Accuracy",
        "acc_bytes": "steelyard.tasks.metrics.answers:ByteAccuracy",
        "acc_mutual_info": "steelyard.tasks.metrics.answers:MutualInformationAccuracy",
        "acc_norm": "steelyard.tasks.metrics.answers:NormalisedAccuracy",
        "agreement": "steelyard.tasks.metrics.answers:Agreement",
        "aurc": "steelyard.tasks.metrics.calibration:AreaUnderRiskCoverage",
        "bias_score": "steelyard.tasks.metrics.ratios:BiasScore",
        "binary_f1": "steelyard.tasks.metrics.ratios:BinaryF1",
        "bits_per_byte": "steelyard.tasks.metrics.likelihood:BitsPerByte",
        "bleu": "steelyard.tasks.metrics.translation:Bleu",
        "brier": "steelyard.tasks.metrics.calibration:Brier",
        "brier_score": "steelyard.tasks.metrics.calibration:BrierScore",
        "byte_perplexity": "steelyard.tasks.metrics.likelihood:BytePerplexity",
        "chrf": "steelyard.tasks.metrics.translation:Chrf",
        "chrf++": "steelyard.tasks.metrics.translation:ChrfPlusPlus",
        "control_answered": "steelyard.tasks.metrics.answers:ControlAnswered",
        "correct": "steelyard.tasks.metrics.answers:Correct",
        "delta_log_likelihood": "steelyard.tasks.metrics.ratios:DeltaLogLikelihood",
        "ece": "steelyard.tasks.metrics.calibration:ExpectedCalibrationError",
        "entity_precision": "steelyard.tasks.metrics.ratios:EntityPrecision",
        "evaluate": "steelyard.tasks.metrics.evaluated:Evaluated",
        "evidence_over_memory": "steelyard.tasks.metrics.answers:EvidenceOverMemory",
        "exact_match": "steelyard.tasks.metrics.answers:ExactMatch",
        "f1": "steelyard.tasks.metrics.answers:F1",
        "from_context": "steelyard.tasks.metrics.answers:FromContext",
        "from_memory": "steelyard.tasks.metrics.answers:FromMemory",
        "had_memory": "steelyard.tasks.metrics.answers:HadMemory",
        "kl_p99": "steelyard.tasks.metrics.divergence:KlPercentile99",
        "kl_per_token": "steelyard.tasks.metrics.ratios:KlPerToken",
        "made_up": "steelyard.tasks.metrics.answers:MadeUp",
        "mc1": "steelyard.tasks.metrics.answers:Mc1",
        "mc2": "steelyard.tasks.metrics.answers:Mc2",
        "mcc": "steelyard.tasks.metrics.ratios:Mcc",
        "mean": "steelyard.tasks.metrics.means:Mean",
        "memorisation_ratio": "steelyard.tasks.metrics.ratios:MemorisationRatio",
        "misled": "steelyard.tasks.metrics.answers:Misled",
        "neither": "steelyard.tasks.metrics.answers:FromNeither",
        "nli_faithfulness": "steelyard.tasks.metrics.judged:NliFaithfulness",
        "number_precision": "steelyard.tasks.metrics.ratios:NumberPrecision",
        "over_refused": "steelyard.tasks.metrics.answers:OverRefused",
        "perplexity": "steelyard.tasks.metrics.likelihood:TargetPerplexity",
        "refused": "steelyard.tasks.metrics.answers:Refused",
        "rouge1": "steelyard.tasks.metrics.summarisation:Rouge1",
        "rouge2": "steelyard.tasks.metrics.summarisation:Rouge2",
        "rougeL": "steelyard.tasks.metrics.summarisation:RougeL",
        "rougeLsum": "steelyard.tasks.metrics.summarisation:RougeLsum",
        "selfcheck_ngram": "steelyard.tasks.metrics.answers:SelfCheckNgram",
        "semantic_entropy": "steelyard.tasks.metrics.answers:SemanticEntropy",
        "semantic_entropy_embedding": "steelyard.tasks.metrics.judged:EmbeddingSemanticEntropy",
        "semantic_entropy_nli": "steelyard.tasks.metrics.judged:NliSemanticEntropy",
        "stereotype_preferred": "steelyard.tasks.metrics.answers:StereotypePreferred",
        "ter": "steelyard.tasks.metrics.translation:Ter",
        "token_perplexity": "steelyard.tasks.metrics.likelihood:TokenPerplexity",
        "top1_agreement": "steelyard.tasks.metrics.ratios:Top1Agreement",
        "toxicity": "steelyard.tasks.metrics.judged:Toxicity",
        "truth_over_hallucination": "steelyard.tasks.metrics.answers:TruthOverHallucination",
        "word_perplexity": "steelyard.tasks.metrics.likelihood:WordPerplexity",
        "wrong": "steelyard.tasks.metrics.answers:Wrong",
    },
    "executors": {
        "inline": "steelyard.harness.pipeline.executors.inline:Inline",
        "local": "steelyard.harness.pipeline.executors.local:Local",
        "ray": "steelyard.harness.pipeline.executors.ray:Ray",
    },
    "renderers": {
        "html": "steelyard.reports.html:Html",
        "markdown": "steelyard.reports.markdown:Markdown",
        "terminal": "steelyard.reports.terminal:Terminal",
        "json": "steelyard.reports.json_document:Json",
        "csv": "steelyard.reports.csv_document:Csv",
        "junit": "steelyard.reports.junit:Junit",
        "github": "steelyard.reports.github:Github",
    },
    "meters": {
        "codecarbon": "steelyard.harness.energy.codecarbon_meter:CodecarbonMeter",
        "nvml": "steelyard.harness.energy.nvml_meter:NvmlMeter",
        "none": "steelyard.harness.energy.no_meter:NoMeter",
        "fake": "steelyard.harness.energy.fake_meter:FakeMeter",
    },
    "bases": {
        "microworld": "steelyard.tasks.microworld:base_folder",
    },
}

#: Import errors of these packages are answered with the extra that brings them.
EXTRAS: dict[str, str] = {"ray": "ray"}


def names(group: str) -> list[str]:
    """Every plugin name of ``group``, built in or from an entry point, sorted."""
    return sorted({*BUILT_IN.get(group, {}), *(e.name for e in _entry_points(group))})


def load(group: str, name: str) -> Any:
    """The class (or function) registered as ``name`` in ``group``.

    Raises ``UnknownNameError`` with the nearest names, or ``MissingExtraError`` where the plugin
    stands on a package that is not installed.
    """
    target = BUILT_IN.get(group, {}).get(name)
    if target is None:
        found = next((e for e in _entry_points(group) if e.name == name), None)
        if found is None:
            raise UnknownNameError(
                f"no {group.removesuffix('s')} named '{name}'",
                fix=did_you_mean(name, names(group)),
            )
        target = found.value
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        extra = EXTRAS.get(missing)
        if extra is None:
            raise
        raise MissingExtraError(
            f"{group.removesuffix('s')} '{name}' needs the package {missing}",
            fix=f"pip install 'steelyard[{extra}]'",
        ) from error


def _entry_points(group: str) -> list[Any]:
    return list(entry_points(group=f"steelyard.{group}"))

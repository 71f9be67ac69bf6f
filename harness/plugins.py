"""Name -> class: a built-in table of ``module:Class`` strings, and entry points of other packages.

Nothing is imported before it is used, so ``assay --help`` stays fast. A plugin of another package
registers under the entry-point group ``assay.<group>`` and is then named like a built-in one.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from harness.errors import MissingExtraError, UnknownNameError, did_you_mean

BUILT_IN: dict[str, dict[str, str]] = {
    "trainers": {
        "full": "trainers.full:Full",
        "freeze": "trainers.freeze:Freeze",
        "lora": "trainers.lora:Lora",
        "qlora": "trainers.qlora:Qlora",
        "ia3": "trainers.ia3:Ia3",
        "prompt_tuning": "trainers.prompt_tuning:PromptTuning",
        "prefix": "trainers.prefix:Prefix",
        "dpo": "trainers.dpo:Dpo",
        "orpo": "trainers.orpo:Orpo",
        "kto": "trainers.kto:Kto",
        "simpo": "trainers.simpo:Simpo",
        "reward": "trainers.reward:RewardModel",
        "grpo": "trainers.grpo:Grpo",
        "rloo": "trainers.rloo:Rloo",
        "distill": "trainers.distill:Distill",
        "merge": "trainers.merge:Merge",
        "prune": "trainers.prune:Prune",
        "quantize": "trainers.quantize:Quantize",
        "none": "trainers.none:NoTraining",
        "select": "trainers.select:Select",
    },
    "metrics": {
        "abstained": "tasks.metrics.answers:Abstained",
        "abstention_score": "tasks.metrics.answers:AbstentionScore",
        "acc": "tasks.metrics.answers:Accuracy",
        "acc_bytes": "tasks.metrics.answers:ByteAccuracy",
        "acc_mutual_info": "tasks.metrics.answers:MutualInformationAccuracy",
        "acc_norm": "tasks.metrics.answers:NormalisedAccuracy",
        "agreement": "tasks.metrics.answers:Agreement",
        "aurc": "tasks.metrics.calibration:AreaUnderRiskCoverage",
        "bias_score": "tasks.metrics.ratios:BiasScore",
        "binary_f1": "tasks.metrics.ratios:BinaryF1",
        "bits_per_byte": "tasks.metrics.likelihood:BitsPerByte",
        "bleu": "tasks.metrics.translation:Bleu",
        "brier": "tasks.metrics.calibration:Brier",
        "brier_score": "tasks.metrics.calibration:BrierScore",
        "byte_perplexity": "tasks.metrics.likelihood:BytePerplexity",
        "chrf": "tasks.metrics.translation:Chrf",
        "chrf++": "tasks.metrics.translation:ChrfPlusPlus",
        "control_answered": "tasks.metrics.answers:ControlAnswered",
        "correct": "tasks.metrics.answers:Correct",
        "delta_log_likelihood": "tasks.metrics.ratios:DeltaLogLikelihood",
        "ece": "tasks.metrics.calibration:ExpectedCalibrationError",
        "entity_precision": "tasks.metrics.ratios:EntityPrecision",
        "evaluate": "tasks.metrics.evaluated:Evaluated",
        "evidence_over_memory": "tasks.metrics.answers:EvidenceOverMemory",
        "exact_match": "tasks.metrics.answers:ExactMatch",
        "f1": "tasks.metrics.answers:F1",
        "from_context": "tasks.metrics.answers:FromContext",
        "from_memory": "tasks.metrics.answers:FromMemory",
        "had_memory": "tasks.metrics.answers:HadMemory",
        "kl_p99": "tasks.metrics.divergence:KlPercentile99",
        "kl_per_token": "tasks.metrics.ratios:KlPerToken",
        "made_up": "tasks.metrics.answers:MadeUp",
        "mc1": "tasks.metrics.answers:Mc1",
        "mc2": "tasks.metrics.answers:Mc2",
        "mcc": "tasks.metrics.ratios:Mcc",
        "mean": "tasks.metrics.means:Mean",
        "memorisation_ratio": "tasks.metrics.ratios:MemorisationRatio",
        "misled": "tasks.metrics.answers:Misled",
        "neither": "tasks.metrics.answers:FromNeither",
        "nli_faithfulness": "tasks.metrics.judged:NliFaithfulness",
        "number_precision": "tasks.metrics.ratios:NumberPrecision",
        "over_refused": "tasks.metrics.answers:OverRefused",
        "perplexity": "tasks.metrics.likelihood:TargetPerplexity",
        "refused": "tasks.metrics.answers:Refused",
        "rouge1": "tasks.metrics.summarisation:Rouge1",
        "rouge2": "tasks.metrics.summarisation:Rouge2",
        "rougeL": "tasks.metrics.summarisation:RougeL",
        "rougeLsum": "tasks.metrics.summarisation:RougeLsum",
        "selfcheck_ngram": "tasks.metrics.answers:SelfCheckNgram",
        "semantic_entropy": "tasks.metrics.answers:SemanticEntropy",
        "semantic_entropy_embedding": "tasks.metrics.judged:EmbeddingSemanticEntropy",
        "semantic_entropy_nli": "tasks.metrics.judged:NliSemanticEntropy",
        "stereotype_preferred": "tasks.metrics.answers:StereotypePreferred",
        "ter": "tasks.metrics.translation:Ter",
        "token_perplexity": "tasks.metrics.likelihood:TokenPerplexity",
        "top1_agreement": "tasks.metrics.ratios:Top1Agreement",
        "toxicity": "tasks.metrics.judged:Toxicity",
        "truth_over_hallucination": "tasks.metrics.answers:TruthOverHallucination",
        "word_perplexity": "tasks.metrics.likelihood:WordPerplexity",
        "wrong": "tasks.metrics.answers:Wrong",
    },
    "executors": {
        "inline": "harness.executors.inline:Inline",
        "local": "harness.executors.local:Local",
        "ray": "harness.executors.ray:Ray",
    },
    "renderers": {
        "html": "reports.html:Html",
        "markdown": "reports.markdown:Markdown",
        "terminal": "reports.terminal:Terminal",
        "json": "reports.json_document:Json",
        "csv": "reports.csv_document:Csv",
        "junit": "reports.junit:Junit",
        "github": "reports.github:Github",
    },
    "meters": {
        "codecarbon": "harness.energy.codecarbon_meter:CodecarbonMeter",
        "nvml": "harness.energy.nvml_meter:NvmlMeter",
        "none": "harness.energy.no_meter:NoMeter",
        "fake": "harness.energy.fake_meter:FakeMeter",
    },
    "bases": {
        "microworld": "tasks.microworld:base_folder",
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
            fix=f"pip install 'llm-assay[{extra}]'",
        ) from error


def _entry_points(group: str) -> list[Any]:
    return list(entry_points(group=f"assay.{group}"))

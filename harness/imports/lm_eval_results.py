"""lm-eval's ``results_*.json``, today's and the old format: its numbers and its settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from steelyard.harness.errors import DataError
from steelyard.harness.evaluation import counts_tokens
from steelyard.harness.files import digest_json, old_names, read_json_object
from steelyard.harness.files.version_1 import reference_and_decoding
from steelyard.harness.imports.error_bars import ErrorBar, error_bar
from steelyard.harness.imports.imported import UNKNOWN, Model, modified
from steelyard.harness.imports.numbers import number, whole_number
from steelyard.harness.records import (
    IMPORTED,
    Kind,
    Parity,
    Score,
    TaskSignature,
    filter_name,
    metric_name,
)
from steelyard.harness.suites import dumped_digest, same_as

PRIMARY = ("acc", "exact_match", "word_perplexity", "ppl", "bleu", "rougeL", "f1", "em")
_LOWER_IS_BETTER = ("ppl", "perplexity", "bits_per_byte", "ter", "brier", "loss", "difference")
_NO_METRIC = ("alias", "name", "sample_len", "sample_count", "bypass")


@dataclass(frozen=True)
class Results:
    """The content of one results file; every key but ``results`` may be missing."""

    path: Path
    content: Mapping[str, object]

    @property
    def tasks(self) -> Mapping[str, Mapping[str, object]]:
        """Task (or group) -> its numbers, as ``metric`` or ``metric,filter``."""
        results = self.content["results"]
        every = results if isinstance(results, Mapping) else {}
        return {str(task): v for task, v in every.items() if isinstance(v, Mapping)}

    @property
    def config(self) -> Mapping[str, object]:
        """How the model was run."""
        return self.part("config")

    def part(self, name: str) -> Mapping[str, object]:
        """A mapping of the file; empty where it is missing."""
        part = self.content.get(name)
        return part if isinstance(part, Mapping) else {}

    def of(self, name: str, task: str) -> object:
        """What the mapping ``name`` says of a task; None where it says nothing."""
        return self.part(name).get(task)

    def task_config(self, task: str) -> Mapping[str, object]:
        """The task's own configuration, as lm-eval dumps it."""
        config = self.of("configs", task)
        return old_names.with_present_names(config) if isinstance(config, Mapping) else {}

    def is_group(self, task: str) -> bool:
        """Whether it is an aggregate over other tasks of this file."""
        return bool(self.of("group_subtasks", task)) and not self.task_config(task)

    def effective(self, task: str) -> int | None:
        """How many samples lm-eval scored."""
        counts = self.of("n-samples", task)
        count = counts.get("effective") if isinstance(counts, Mapping) else None
        return int(count) if isinstance(count, int) else None

    def higher_is_better(self, task: str, metric: str) -> bool | None:
        """The direction that the file names."""
        directions = self.of("higher_is_better", task)
        better = directions.get(metric) if isinstance(directions, Mapping) else None
        return None if better is None else bool(better)

    def filters(self, task: str) -> list[str]:
        """The filters that the task's numbers name: ``none`` in most; [] in the old format."""
        names = [k for k in self.tasks.get(task, {}) if "," in k and not _is_no_metric(k)]
        return list(dict.fromkeys(filter_name(name) or "" for name in names))

    def printed(self, task: str, metric: str, filter_name: str) -> float | None:
        """The task's number, or None."""
        values = self.tasks.get(task, {})
        return number(values.get(f"{metric},{filter_name}", values.get(metric)))

    @property
    def created_at(self) -> str:
        """When it was made: the file says so, else its time of modification."""
        when = number(self.content.get("date"))
        try:
            made = None if when is None else datetime.fromtimestamp(when, UTC)
        except (OverflowError, OSError, ValueError):
            made = None
        return modified(self.path) if made is None else made.isoformat(timespec="seconds")

    @property
    def version(self) -> str | None:
        """Of lm-eval."""
        version = self.content.get("lm_eval_version")
        return str(version) if version else None

    @property
    def seconds(self) -> float | None:
        """Wall-clock time of the evaluation."""
        return number(self.content.get("total_evaluation_time_seconds"))

    @property
    def model(self) -> Model:
        """The model, as far as the file names it."""
        parameters = self.config.get("model_num_parameters")
        dtype = str(self.config.get("model_dtype") or UNKNOWN).removeprefix("torch.")
        count = parameters if isinstance(parameters, int) and parameters > 0 else None
        return Model(_model_name(self), count, dtype, _library_versions(self))


def read_results(path: Path) -> Results:
    """A results file. Raises ``DataError`` where it is no lm-eval result."""
    content = read_json_object(path, DataError, fix="give lm-eval's results_*.json")
    results = content.get("results")
    if not isinstance(results, dict) or not any(isinstance(v, dict) for v in results.values()):
        raise DataError("has no 'results'", file=path, fix="give lm-eval's results_*.json")
    return Results(path, content)


def aggregates(results: Results, task: str) -> list[Score]:
    """A task's numbers as scores without rows.

    The interval is value +- 1.96 standard errors where lm-eval gives one; the standard error is a
    score of its own, named as lm-eval names it (``acc_stderr``).
    """
    values = results.tasks[task]
    names = [k for k in values if "_stderr" not in k and not _is_no_metric(k)]
    metrics = [k for k in names if isinstance(values[k], int | float)]
    first = next((m for p in PRIMARY for m in metrics if metric_name(m) == p), None)
    primary = first or next(iter(metrics), None)
    return [s for m in metrics for s in _aggregate(results, task, m, primary=m == primary)]


def _is_no_metric(key: str) -> bool:
    return metric_name(key) in _NO_METRIC


def _aggregate(results: Results, task: str, key: str, *, primary: bool) -> Iterator[Score]:
    name, behind = metric_name(key), filter_name(key)
    suffix = f",{behind or ''}" if len(results.filters(task)) > 1 else ""
    values = results.tasks[task]
    value = number(values[key])
    error = number(values.get(f"{name}_stderr" + (f",{behind}" if behind else "")))
    higher = results.higher_is_better(task, name)
    lower = any(word in name for word in _LOWER_IS_BETTER)
    kind: Kind = "accuracy" if name.startswith(("acc", "exact", "em")) else "bounded"
    shared: dict[str, object] = {
        "task": task,
        "n": results.effective(task) or 0,
        "family": IMPORTED,
    }
    perplexity = "perplexity" in name or name == "ppl"
    bar = ErrorBar(None, None, None)
    if value is not None and error is not None:
        share = kind == "accuracy" and not perplexity
        source = "lm-eval's standard error"
        bar = error_bar(value, error, results.effective(task) or 0, source, share=share)
    yield Score(
        **shared,
        metric=name + suffix,
        value=value,
        low=bar.low,
        high=bar.high,
        kind="perplexity" if perplexity else kind,
        scale="nats" if perplexity else None,
        per_token=counts_tokens(name),
        higher_is_better=(not lower) if higher is None else higher,
        primary=primary,
        note=bar.note,
    )
    if error is not None:
        metric = f"{name}_stderr{suffix}"
        yield Score(**shared, metric=metric, value=error, kind="bounded", higher_is_better=False)


def signature_of(
    results: Results, task: str, data_digest: str | None = None, content: str | None = None
) -> TaskSignature:
    """Under which settings a task was scored, as far as the file says.

    ``data_digest`` is that of the documents where the samples are at hand; else lm-eval's own hash
    of its samples. ``content`` is the digest of the documents as a run made here would have it.
    """
    config = results.config
    shots = results.of("n-shot", task)
    shots = config.get("num_fewshot") if shots is None else shots
    reference, decoding = _reference_and_decoding(results.task_config(task))
    limit = number(config.get("limit"))
    # A limit below 1 is a share of the documents; how many that was stands beside.
    effective_limit = None if limit is None else results.effective(task) or int(limit)
    return TaskSignature(
        task=task,
        task_digest=_task_digest(results, task),
        data_digest=data_digest or str(results.of("task_hashes", task) or UNKNOWN),
        few_shot=int(number(shots) or 0),
        few_shot_seed=whole_number(config.get("fewshot_seed")) if number(shots) else None,
        template=_template_digest(results),
        tokenizer=_tokenizer(results),
        dtype=results.model.dtype,
        limit=effective_limit,
        max_length=whole_number(results.content.get("max_length")),
        decoding=decoding,
        reference=reference,
        backend=old_names.backend(f"lm-eval:{config.get('model') or UNKNOWN}"),
        parity=_parity(results.task_config(task)),
        same_as=None if content is None else same_as(_task_digest(results, task), content),
        versions=_library_versions(results),
    )


def _reference_and_decoding(config: Mapping[str, object]) -> tuple[str | None, str | None]:
    """The model that a divergence of an export of ours was measured from; how answers were made."""
    reference, decoding = config.get("steelyard_reference"), config.get("generation_kwargs")
    if isinstance(decoding, str) and reference is None:
        return reference_and_decoding(decoding)
    text = None if decoding is None else json.dumps(decoding, sort_keys=True, default=str)
    return None if reference is None else str(reference), text


def _parity(config: Mapping[str, object]) -> Parity | None:
    """An export of ours says by whose rule special tokens were put in; lm-eval has one rule."""
    exported = config.get("steelyard_parity", "lm-eval")
    return next((rule for rule in get_args(Parity) if rule == exported), None)


def _task_digest(results: Results, task: str) -> str:
    """Of the task's dumped configuration; the version alone where the file has none."""
    version = results.part("versions").get(task, UNKNOWN)
    config = results.task_config(task)
    return dumped_digest(version, config) if config else f"version {version}"


def _template_digest(results: Results) -> str | None:
    """Digest of chat template and system instruction, where either was applied."""
    named = _texts(results, "chat_template_sha", "system_instruction_sha")
    turns = results.content.get("fewshot_as_multiturn")
    return digest_json([*named, bool(turns)]) if any(named) else None


def _texts(results: Results, *keys: str) -> list[str | None]:
    """Entries that lm-eval writes as texts; what a file holds in their place, as text too."""
    values = [results.content.get(key) for key in keys]
    return [None if value is None else str(value) for value in values]


def _tokenizer(results: Results) -> str:
    """lm-eval names a tokenizer's special tokens and nothing else."""
    tokens = _texts(results, "tokenizer_pad_token", "tokenizer_eos_token", "tokenizer_bos_token")
    return f"special tokens {digest_json(tokens)[:12]}" if any(tokens) else UNKNOWN


def _library_versions(results: Results) -> dict[str, str]:
    versions = {
        "lm_eval": results.version,
        "transformers": results.content.get("transformers_version"),
    }
    return {name: str(version) for name, version in versions.items() if version}


def _model_name(results: Results) -> str:
    """``EleutherAI/pythia-70m`` of ``pretrained=EleutherAI/pythia-70m,revision=step1000``."""
    named = results.content.get("model_name")
    arguments = results.config.get("model_args")
    if isinstance(arguments, str):
        arguments = dict(part.split("=", 1) for part in arguments.split(",") if "=" in part)
    name = arguments.get("pretrained") if isinstance(arguments, Mapping) else None
    return str(name or named or results.config.get("model") or results.path.stem)

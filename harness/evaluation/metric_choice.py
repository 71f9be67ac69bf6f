"""Which metric plugin measures what a task gives."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from steelyard.harness.errors import ConfigError, MetricError, did_you_mean, located
from steelyard.harness.plugins import (
    Metric,
    Sample,
    TaskTexts,
    is_built_in,
    load_plugin,
    plugin_names,
)
from steelyard.harness.records import metric_name
from steelyard.harness.suites import BuiltTask, EvaluateMetric, ExtraMetric

#: Metrics that a suite asks for with a model of their own.
NEED_A_MODEL = (
    "semantic_entropy_nli",
    "semantic_entropy_embedding",
    "nli_faithfulness",
    "toxicity",
)
#: Keys of an entry in a task's ``metric_list`` that say what lm-eval does with it.
_OF_EVERY_METRIC = ("metric", "aggregation", "higher_is_better", "hf_evaluate")
#: lm-eval names that mean something else where the value is a (gold, predicted) pair.
_OF_PAIRS = {"f1": "binary_f1"}


def choose_metrics(built: BuiltTask, samples: Sequence[Sample]) -> list[Metric]:
    """A metric for every value that the task gave, in its order, and those it asks for besides.

    A name that is no plugin, or a built-in one whose values look otherwise, is the mean of a number
    a document; a value that is neither is left out. A plugin of another package is what it says it
    is: where it cannot be used, that is an error. What the task lists and gave for no document is
    there too: all of its samples are unscored, and say why.

    Raises:
        MetricError: a metric of another package that cannot be loaded or made.
        UnknownNameError: the task asks for a metric that does not exist.
    """
    with located(key=f"task {built.name}"):
        return _chosen(built, samples)


def _chosen(built: BuiltTask, samples: Sequence[Sample]) -> list[Metric]:
    names = list(dict.fromkeys(name for sample in samples for name in sample.values))
    better = built.task.higher_is_better() or {}
    chosen = []
    for name in names:
        first = next((s for s in samples if s.values.get(name) is not None), None)
        if first is None:
            continue
        metric = metric_for(name, better.get(name), first, built.metadata.graded)
        if metric is not None:
            chosen.append(metric)
    missing = [name for name in _listed(built) if name not in names]
    chosen += [_unmeasured(name, better.get(name)) for name in missing]
    chosen += [load_metric(name) for name in built.metadata.also]
    fitted = [_fitted(metric, built) for metric in chosen]
    return [*fitted, *map(_evaluated, built.evaluate), *map(_extra, built.extras)]


def _fitted(metric: Metric, built: BuiltTask) -> Metric:
    """A metric of texts with the options of the task's ``metric_list``, for the task's texts."""
    for_task = getattr(metric, "for_task", None)
    if for_task is None or not is_built_in(metric):
        return metric
    options = _options(built, metric) if replaces_lm_evals(metric) else {}
    if options:
        metric = load_metric(metric.name, metric.higher_is_better, options)
    fitted: Metric = metric.for_task(built.texts)  # type: ignore[attr-defined]
    return fitted


def as_lm_eval_measures(metric: Metric) -> Metric:
    """The metric with the rules of lm-eval's own of that name, for numbers that lm-eval made."""
    if not replaces_lm_evals(metric):
        return metric
    plain: Metric = metric.for_task(TaskTexts(like_lm_eval=True))  # type: ignore[attr-defined]
    return plain


def _of_texts(pair: Sequence[object]) -> bool:
    """Whether a pair is one of texts, and not of labels."""
    return len(pair) == 2 and isinstance(pair[1], str)


def replaces_lm_evals(metric: Metric) -> bool:
    """Whether the metric measures texts itself, where lm-eval has a function of the same name."""
    return bool(getattr(metric, "replaces_lm_evals", False))


def _options(built: BuiltTask, metric: Metric) -> dict[str, object]:
    """What the task's ``metric_list`` says of the metric besides what every entry says.

    Raises ``MetricError`` for what the metric does not take: lm-eval passes it over in silence.
    """
    entry = next((e for e in _entries(built) if e.get("metric") == metric.name), {})
    asked = {key: value for key, value in entry.items() if key not in _OF_EVERY_METRIC}
    takes = set(getattr(metric, "model_fields", {})) - {"name", "higher_is_better", "per_token"}
    for key in asked:
        if key not in takes:
            raise MetricError(
                f"metric '{metric.name}' takes no '{key}'",
                key=f"metric_list.{metric.name}.{key}",
                fix=did_you_mean(key, takes),
            )
    return asked


def _extra(spec: ExtraMetric) -> Metric:
    metric_class = load_plugin("metrics", spec.metric)
    if "model" not in getattr(metric_class, "model_fields", {}):
        fix = "metrics with an extra model are " + ", ".join(NEED_A_MODEL)
        raise MetricError(
            "this metric takes no extra model", key="extras", value=spec.metric, fix=fix
        )
    metric: Metric = metric_class(model=spec.model)
    if spec.model is None:
        metric.loaded()  # type: ignore[attr-defined]  # says which model it needs
    return metric


def _evaluated(spec: EvaluateMetric) -> Metric:
    metric: Metric = load_plugin("metrics", "evaluate")(**spec.model_dump())
    return metric


def _entries(built: BuiltTask) -> list[Mapping[str, object]]:
    """The entries of the task's ``metric_list``."""
    return list(getattr(built.config, "metric_list", None) or [])


def _listed(built: BuiltTask) -> list[str]:
    """The names in the task's ``metric_list``."""
    names = [entry.get("metric") for entry in _entries(built)]
    return [name for name in names if isinstance(name, str)]


def _unmeasured(name: str, higher_is_better: bool | None) -> Metric:
    if name in plugin_names("metrics"):
        return load_metric(name, higher_is_better)
    return _mean(name, higher_is_better)


def metric_for(
    name: str,
    higher_is_better: bool | None,
    first: Sample,
    graded: Collection[str] = (),
) -> Metric | None:
    """The metric for the value called ``name`` of ``first``, the first sample that has one.

    ``graded`` names metrics that are shares although their name stands for 0 or 1. None where the
    value is nothing that can be averaged.
    """
    pair = isinstance(first.values[name], (tuple, list))
    plugin = _OF_PAIRS.get(name, name) if pair and not _of_texts(first.values[name]) else name
    if name not in graded and plugin in plugin_names("metrics"):
        metric = load_metric(plugin, higher_is_better)
        # Tasks have metrics of their own under the names of ours: the value tells. What another
        # package registered is meant, and whether it can measure shows when it does.
        if not is_built_in(metric) or _measures(metric, first):
            return metric
        if pair and replaces_lm_evals(metric):  # lists of texts: what is wrong is told there
            return metric
    mean = _mean(name, higher_is_better)
    return mean if _measures(mean, first) else None


def load_metric(
    name: str,
    higher_is_better: bool | None = None,
    chosen_options: Mapping[str, object] | None = None,
) -> Metric:
    """The metric plugin called ``name`` (a filter after a comma is ignored).

    Raises:
        UnknownNameError: there is none.
        MetricError: what is registered cannot be loaded or made, is no metric, or takes another
            direction for the better one than the task does.
    """
    plugin = metric_name(name)
    try:
        metric_class: Any = load_plugin("metrics", plugin)
    except ConfigError as error:
        raise MetricError(error.message, fix=error.fix) from error
    options = dict(chosen_options or {})
    if higher_is_better is not None and "higher_is_better" in getattr(
        metric_class, "model_fields", {}
    ):
        options["higher_is_better"] = higher_is_better
    try:
        metric: Metric = metric_class(**options)
    except (TypeError, ValueError) as error:
        raise MetricError(f"metric '{plugin}' cannot be made: {error}") from error
    _check(metric, plugin, higher_is_better)
    return metric


def _check(metric: object, name: str, higher_is_better: bool | None) -> None:
    """Whether it has what a metric has. Raises ``MetricError`` where it does not."""
    if not isinstance(metric, Metric):
        parts = ("name", "kind", "higher_is_better", "measure", "aggregate")
        lacking = ", ".join(part for part in parts if not hasattr(metric, part))
        raise MetricError(f"what is registered as '{name}' is no metric: it has no {lacking}")
    if higher_is_better not in (None, metric.higher_is_better):
        raise MetricError(
            f"metric '{name}' and the task differ in whether higher is better",
            value=higher_is_better,
            fix=f"write higher_is_better: {str(metric.higher_is_better).lower()} in the task",
        )


def _mean(name: str, higher_is_better: bool | None) -> Metric:
    """The mean of a number that a task gives under a name of its own."""
    better = True if higher_is_better is None else higher_is_better
    options = {"name": name, "higher_is_better": better, "per_token": counts_tokens(name)}
    mean: Metric = load_plugin("metrics", "mean")(**options)
    return mean


def counts_tokens(name: str) -> bool:
    """Whether a task's own number is one a token, as far as its name says.

    A task's YAML has no other place for it. What the name says becomes a field of the score here,
    and nobody reads the name again.
    """
    return not {"token", "tokens", "kl"}.isdisjoint(name.replace("-", "_").split("_"))


def _measures(metric: Metric, sample: Sample) -> bool:
    try:
        metric.measure(sample, ())
    except (MetricError, TypeError, ValueError, IndexError, KeyError):
        return False
    return True

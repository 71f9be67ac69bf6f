"""Settings of a task file that lm-eval would pass over in silence are refused by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from steelyard.harness.errors import ConfigError, did_you_mean, located
from steelyard.harness.plugins import load_plugin, plugin_names
from steelyard.harness.suites.generation_settings import check_generation_settings

if TYPE_CHECKING:
    from lm_eval.api.task import TaskConfig

#: What every entry of ``metric_list`` may say, and what lm-eval's exact match takes besides. Its
#: task files say the latter of other metrics, too, where nothing reads it.
_OF_EVERY_METRIC = ("metric", "aggregation", "higher_is_better", "hf_evaluate")
_OF_EXACT_MATCH = ("ignore_case", "ignore_punctuation", "ignore_numbers", "regexes_to_ignore")
_OF_A_FILTER = ("name", "filter")
#: lm-eval's filters that take whatever they are given and read this of it.
_READ_BY = {"remove_whitespace": (), "take_first_k": ("k",), "custom": ("filter_fn",)}


def check_task_settings(config: TaskConfig | None) -> None:
    """Raise ``ConfigError`` for a setting of generation, a metric or a filter that nothing reads.

    The error's key is that of the file.
    """
    generation = getattr(config, "generation_kwargs", None)
    if generation is not None and _generates(config):
        with located(key="generation_kwargs"):
            if not isinstance(generation, Mapping):
                fix = 'write {until: ["."], max_gen_toks: 32}'
                raise ConfigError("not settings by name", value=generation, fix=fix)
            check_generation_settings(generation)


def check_entries(config: TaskConfig | None) -> None:
    """The same for entries of ``metric_list`` and ``filter_list``; lm-eval's own tasks have some
    that it never reads.
    """
    for at, entry in enumerate(getattr(config, "metric_list", None) or ()):
        if isinstance(entry, Mapping):
            _require(entry, _options_of_metric(entry), f"metric_list.{at}", "a metric")
    for at, entry in enumerate(getattr(config, "filter_list", None) or ()):
        if not isinstance(entry, Mapping):
            continue
        _require(entry, _OF_A_FILTER, f"filter_list.{at}", "a filter")
        for step, function in enumerate(entry.get("filter") or ()):
            takes = _options_of_filter(function) if isinstance(function, Mapping) else None
            _require(function, takes, f"filter_list.{at}.filter.{step}", "this filter")


def _generates(config: TaskConfig | None) -> bool:
    return getattr(config, "output_type", None) == "generate_until"


def _require(
    entry: Mapping[str, object], names: Collection[str] | None, where: str, what: str
) -> None:
    for key in entry if names is not None else ():
        if key not in names:  # type: ignore[operator]  # empty where there are no names
            fix = did_you_mean(str(key), names or ())
            raise ConfigError(f"{what} takes no such setting", key=f"{where}.{key}", fix=fix)


def _options_of_metric(entry: Mapping[str, object]) -> Collection[str] | None:
    """What an entry may say; None where the metric takes whatever it is given."""
    metric = entry.get("metric")
    if entry.get("hf_evaluate"):
        return None
    names = {*_OF_EVERY_METRIC, *_OF_EXACT_MATCH}
    if callable(metric):
        own = _parameters(metric)
        return None if own is None else names | own
    if metric in plugin_names("metrics"):
        try:
            names |= set(getattr(load_plugin("metrics", str(metric)), "model_fields", ()))
        except ConfigError:
            return None  # scoring says that it does not load, and for which task
    return names


def _options_of_filter(step: Mapping[str, object]) -> Collection[str] | None:
    from lm_eval.api.registry import filter_registry

    function = step.get("function")
    if isinstance(function, str):
        if function in _READ_BY:
            return {"function", *_READ_BY[function]}
        function = dict(filter_registry.items()).get(function)
    own = _parameters(function) if callable(function) else None
    return None if own is None else {"function", *own}


def _parameters(function: Callable[..., object]) -> set[str] | None:
    """The names of what a function or class takes; None for whatever it is given."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return None
    return set(parameters)

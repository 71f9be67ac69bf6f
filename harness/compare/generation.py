"""What models' folders say otherwise of generation, in words: a difference between their texts that
no training made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from steelyard.harness.records import Comparison

_LONGEST_VALUE = 40


def generation_notes(comparisons: Sequence[Comparison]) -> list[str]:
    """One line for every change of generation settings, with the candidates that it is of."""
    candidates: dict[str, list[str]] = {}
    for comparison in comparisons:
        for change in sorted(set(_changes(comparison))):
            candidates.setdefault(change, []).append(comparison.candidate)
    return [
        f"Texts of {', '.join(names)} were generated under other settings of the model's own "
        f"folder (generation_config.json) than the baseline's: {change}."
        for change, names in candidates.items()
    ]


def _changes(comparison: Comparison) -> Iterable[str]:
    for difference in comparison.differences:
        if difference.field == "generation_defaults":
            before, after = _settings(difference.baseline), _settings(difference.candidate)
            changed = sorted(k for k in {*before, *after} if before.get(k) != after.get(k))
            yield ", ".join(f"{k} {_shown(before, k)} -> {_shown(after, k)}" for k in changed)


def _settings(text: str | None) -> Mapping[str, object]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):  # of a baseline file that somebody edited
        return {}
    return value if isinstance(value, dict) else {}


def _shown(settings: Mapping[str, object], name: str) -> str:
    text = json.dumps(settings[name]) if name in settings else "none"
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."

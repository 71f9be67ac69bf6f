"""Which runs may be ranked together on a task, and in what the others differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter

from steelyard.harness.records import Run, TaskSignature

#: Fields of a signature that must be equal for two runs to stand in one ranking, and their names;
#: those that a reader knows by heart come first.
RANKED_TOGETHER: Mapping[str, str] = {
    "few_shot": "few-shot",
    "limit": "limit",
    "template": "chat template",
    "decoding": "decoding",
    "reference": "reference model",
    "few_shot_seed": "few-shot seed",
    "max_length": "longest input",
    "hardware": "hardware",
    "parity": "special tokens by",
    "task_digest": "task",
    "data_digest": "data",
}
_FIELDS = attrgetter(*RANKED_TOGETHER)
_DIGESTS = ("task_digest", "data_digest", "template", "reference")

Settings = tuple[bool, object, *tuple[object, ...]]
"""Whether the run is imported, whether it has a signature, and the values of the fields."""


def settings_of(run: Run, signature: TaskSignature | None) -> Settings:
    """What must be equal for two runs to be ranked together on a task."""
    imported = run.imported_from is not None
    if signature is None:
        return (imported, False, *(None for _ in RANKED_TOGETHER))
    # Where the rules for special tokens come to the same, ours will do.
    rule = signature.parity or "steelyard"
    return (imported, True, *_FIELDS(signature.model_copy(update={"parity": rule})))


def names_of(groups: Collection[Settings]) -> dict[Settings, str]:
    """Each group named by all that differs among them; a single group has no name."""
    return _named_settings(groups, _differing(groups))


def labels_of(groups: Collection[Settings]) -> dict[Settings, str]:
    """The same in as few words as tell the groups apart."""
    differing = _differing(groups)
    for count in range(len(differing)):
        labels = _named_settings(groups, differing[:count])
        if len(set(labels.values())) == len(groups):
            return labels
    return _named_settings(groups, differing)


def _differing(groups: Collection[Settings]) -> list[int]:
    columns = zip(*groups, strict=True)
    return [i for i, values in enumerate(columns) if len(set(values)) > 1]


def _named_settings(groups: Collection[Settings], fields: Sequence[int]) -> dict[Settings, str]:
    return {
        group: ", ".join(filter(None, (_word(i, group[i]) for i in fields))) for group in groups
    }


def _word(index: int, value: object) -> str:
    if index == 0:
        return "imported" if value else "made here"
    if index == 1:
        return "" if value else "no signature"
    field = list(RANKED_TOGETHER)[index - 2]
    title = RANKED_TOGETHER[field]
    if value is None:
        return f"no {title}"
    return f"{title} {str(value)[:8] if field in _DIGESTS else value}"

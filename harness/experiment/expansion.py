"""Candidates with ``seeds:`` and ``sweep:`` written out as plain candidates.

    lora:
      trainer: lora
      sweep: {rank: [4, 16], learning_rate: [1.0e-3, 2.0e-3]}
      select: {task: microworld_new, limit: 40}
      seeds: [0, 1, 2]

A sweep becomes one candidate for each combination (``lora-rank4-lr1e-3``), which are trained and
never scored on the suite, and the candidate itself, which takes in the best of them. Seeds make a
copy for each seed (``lora-seed0``) of the candidate and of everything that is made from it. What
runs experiments sees candidates only.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.harness.errors import ConfigError, UnknownNameError, did_you_mean
from steelyard.harness.experiment.lineage import BASE, sources_of
from steelyard.harness.plugins.names import load_trainer

#: A sweep trains every trial whole: more than this is a mistake more often than a wish.
MAX_TRIALS = 64
MAX_SEEDS = 32
_SHORT = {"learning_rate": "lr", "batch_size": "batch", "weight_decay": "decay"}
_NOT_SWEPT = ("trainer", "parent", "data", "seed", "seeds", "sweep", "select", "accelerate")

Spec = dict[str, Any]


@dataclass(frozen=True)
class Expanded:
    """Plain candidates, and what became of those that the file names."""

    specs: Mapping[str, Spec]
    groups: Mapping[str, tuple[str, ...]]
    """By the name in the file: the candidates that stand for it (one a seed)."""
    unscored: frozenset[str]
    """Trials of a sweep: they never see the suite, so choosing among them is not done on it."""


def expanded(specs: Mapping[str, Spec], seeds: Sequence[int] | None, file: Path) -> Expanded:
    """Every candidate of the file as plain ones. Raises ``ConfigError`` in one line.

    Args:
        specs: the candidates as the file gives them.
        seeds: the experiment's own, which hold for every candidate; None: one seed.
        file: named in errors.
    """
    swept: dict[str, Spec] = {}
    trials: dict[str, str] = {}
    for name, spec in specs.items():
        for new_name, new_spec in _swept(name, spec, file).items():
            if new_name in swept or (new_name != name and new_name in specs):
                raise _clash(new_name, file)
            swept[new_name] = new_spec
            if new_name != name:
                trials[new_name] = name
    own = {name: _seeds_of(name, spec, seeds, file) for name, spec in swept.items()}
    found: dict[str, Spec] = {}
    groups: dict[str, tuple[str, ...]] = {}
    for name, spec in swept.items():
        plain = {key: value for key, value in spec.items() if key != "seeds"}
        followed = _followed(name, swept, own, file)
        copies = {name: plain} if followed is None else _seeded(name, plain, followed, swept, own)
        for copy in copies:
            if copy in found or (copy != name and copy in specs):
                raise _clash(copy, file)
        found |= copies
        groups[name] = tuple(copies)
    unscored = frozenset(copy for trial in trials for copy in groups[trial])
    return Expanded(found, groups, unscored)


def _clash(name: str, file: Path) -> ConfigError:
    fix = "give the other candidate another name"
    return ConfigError("two candidates have this name", file=file, key="candidates", value=name,
                       fix=fix)  # fmt: skip


# --- sweeps ---------------------------------------------------------------------------------


def _swept(name: str, spec: Spec, file: Path) -> dict[str, Spec]:
    """A sweep's trials and the candidate that chooses; any other candidate as it is."""
    key = f"candidates.{name}"
    if "sweep" not in spec:
        if "select" in spec:
            fix = "add 'sweep: {option: [values]}', or drop select"
            raise ConfigError("select chooses among a sweep's trials", file=file, key=key, fix=fix)
        return {name: spec}
    grid = _grid(spec, file, key)
    plain = {k: v for k, v in spec.items() if k not in ("sweep", "select")}
    found: dict[str, Spec] = {}
    for values in itertools.product(*grid.values()):
        options = dict(zip(grid, values, strict=True))
        trial = "-".join([name, *(f"{_short(k)}{_shown(v)}" for k, v in options.items())])
        if trial in found:
            raise ConfigError("two trials have one name", file=file, key=f"{key}.sweep",
                              value=trial, fix="drop the value that is there twice")  # fmt: skip
        found[trial] = {**plain, **options}
    select = spec.get("select")
    if not isinstance(select, dict) or not select:
        fix = "add 'select: {task: NAME, limit: 100}' or 'select: {data: NAME}'"
        raise ConfigError("a sweep says by what the best trial is chosen", file=file,
                          key=f"{key}.select", value=select, fix=fix)  # fmt: skip
    if ("task" in select) == ("data" in select):
        fix = "give one of them: a validation task, or held-out data"
        raise ConfigError("task or data, not both or none", file=file, key=f"{key}.select",
                          value=select, fix=fix)  # fmt: skip
    chosen = {"trainer": "select", "sources": list(found), **select}
    chosen |= {k: spec[k] for k in ("parent", "seed", "seeds") if k in spec}
    return {**found, name: chosen}


def _grid(spec: Spec, file: Path, key: str) -> dict[str, list[Any]]:
    grid = spec["sweep"]
    if not isinstance(grid, dict) or not grid:
        fix = "write 'sweep: {rank: [4, 16]}'"
        raise ConfigError("expected options with lists of values", file=file, key=f"{key}.sweep",
                          value=grid, fix=fix)  # fmt: skip
    known = _options_of(spec)
    for option, values in grid.items():
        where = f"{key}.sweep.{option}"
        if known and option not in known:
            fix = did_you_mean(str(option), known)
            raise ConfigError("no such option of the trainer", file=file, key=where, fix=fix)
        if option in _NOT_SWEPT:
            fix = "a sweep is over the trainer's own options; write several candidates"
            raise ConfigError("cannot be swept", file=file, key=where, fix=fix)
        if option in spec:
            fix = "drop it from the candidate or from the sweep"
            raise ConfigError("set and swept at once", file=file, key=where, fix=fix)
        if not isinstance(values, list) or not values:
            fix = f"write '{option}: [first, second]'"
            raise ConfigError("expected a list of values", file=file, key=where, value=values,
                              fix=fix)  # fmt: skip
    count = 1
    for values in grid.values():
        count *= len(values)
    if count > MAX_TRIALS:
        sizes = " x ".join(str(len(values)) for values in grid.values())
        fix = "give fewer values, or make several sweeps one after the other"
        raise ConfigError(f"{sizes} = {count} trials, at most {MAX_TRIALS}", file=file,
                          key=f"{key}.sweep", fix=fix)  # fmt: skip
    return {str(option): list(values) for option, values in grid.items()}


def _options_of(spec: Spec) -> list[str]:
    try:
        return list(load_trainer(str(spec.get("trainer"))).model_fields)
    except (UnknownNameError, ConfigError):
        return []  # which is told where the trainer is looked at


def _short(option: str) -> str:
    return _SHORT.get(option, option.replace("_", ""))


def _shown(value: object) -> str:
    """A value as it stands in a name: ``1e-3``, ``0.5``, ``true``, ``q_projv_proj``."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        digits = repr(value) if value == 0 or abs(value) >= 0.01 else f"{value:e}"
        mantissa, e, exponent = digits.partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return mantissa + (f"e{int(exponent)}" if e else "")
    return re.sub(r"[^A-Za-z0-9._-]", "", str(value))


# --- seeds ----------------------------------------------------------------------------------


def _seeds_of(
    name: str, spec: Spec, default: Sequence[int] | None, file: Path
) -> tuple[int, ...] | None:
    key = f"candidates.{name}.seeds"
    if "seeds" in spec and "seed" in spec:
        raise ConfigError("give seed or seeds, not both", file=file, key=key)
    if "seeds" not in spec:
        return None if default is None or "seed" in spec else tuple(default)
    return checked_seeds(spec["seeds"], file, key)


def checked_seeds(seeds: object, file: Path, key: str) -> tuple[int, ...]:
    """A list of different whole numbers from 0. Raises ``ConfigError``."""
    right = isinstance(seeds, list | tuple) and 0 < len(seeds) <= MAX_SEEDS
    right = right and all(type(seed) is int and seed >= 0 for seed in seeds)  # type: ignore[attr-defined]
    if not right or len(set(seeds)) != len(seeds):  # type: ignore[call-overload,arg-type]
        raise ConfigError(
            f"expected at most {MAX_SEEDS} different whole numbers from 0",
            file=file,
            key=key,
            value=seeds,
            fix="write seeds: [0, 1, 2]",
        )
    return tuple(seeds)  # type: ignore[arg-type]


def _followed(
    name: str, specs: Mapping[str, Spec], own: Mapping[str, tuple[int, ...] | None], file: Path
) -> tuple[int, ...] | None:
    """The seeds of a candidate: its own, or those of what it is made from."""
    key = f"candidates.{name}"
    found, of = own[name], name
    for ancestor in _ancestors(name, specs):
        seeds = own[ancestor]
        if seeds is None:
            continue
        if found is not None and found != seeds:
            raise ConfigError(
                f"seeds {list(found)} of '{of}', but {list(seeds)} of '{ancestor}', from which "
                f"'{name}' is made",
                file=file,
                key=f"{key}.seeds",
                fix="give both the same seeds; a child follows its parent's",
            )
        found, of = seeds, ancestor
    if found is not None and "seed" in specs[name]:
        fix = "drop its seed"
        raise ConfigError(f"follows the seeds of '{of}'", file=file, key=f"{key}.seed", fix=fix)
    return found


def _ancestors(name: str, specs: Mapping[str, Spec]) -> list[str]:
    found: list[str] = []
    waiting = _made_from(specs[name])
    while waiting:
        one = waiting.pop(0)
        if one in specs and one not in found and one != name:
            found.append(one)
            waiting += _made_from(specs[one])
    return found


def _made_from(spec: Spec) -> list[str]:
    return [str(spec.get("parent", BASE)), *sources_of(spec)]


def _seeded(
    name: str,
    spec: Spec,
    seeds: Sequence[int],
    specs: Mapping[str, Spec],
    own: Mapping[str, tuple[int, ...] | None],
) -> dict[str, Spec]:
    """One copy a seed, made from the copies of the same seed."""
    follow = {
        one
        for one in _made_from(spec)
        if one in specs and any(own[a] is not None for a in (one, *_ancestors(one, specs)))
    }
    found = {}
    for seed in seeds:
        names = {one: f"{one}-seed{seed}" for one in follow}
        found[f"{name}-seed{seed}"] = {**_renamed(spec, names), "seed": seed}
    return found


def _renamed(spec: Spec, names: Mapping[str, str]) -> Spec:
    """The candidate made from others: parent and sources by their new names."""
    try:
        options = load_trainer(str(spec.get("trainer"))).source_options
    except (UnknownNameError, ConfigError):
        options = ()
    found = dict(spec)
    if "parent" in spec:
        found["parent"] = names.get(str(spec["parent"]), spec["parent"])

    def other(value: Any) -> Any:
        if isinstance(value, dict):
            return {**value, "model": other(value["model"])} if "model" in value else value
        return names.get(value, value) if isinstance(value, str) else value

    for option in options:
        if option in spec:
            value = spec[option]
            found[option] = [other(v) for v in value] if isinstance(value, list) else other(value)
    return found

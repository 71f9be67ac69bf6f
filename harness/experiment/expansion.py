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
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from steelyard.harness.errors import Collected, ConfigError, UnknownNameError, did_you_mean
from steelyard.harness.experiment.lineage import BASE, Block, Specs, source_options, sources_of
from steelyard.harness.plugins import load_trainer

#: A sweep trains every trial whole: more than this is a mistake more often than a wish.
MAX_TRIALS = 64
MAX_SEEDS = 32
_SHORT = {"learning_rate": "lr", "batch_size": "batch", "weight_decay": "decay"}
_NOT_SWEPT = ("trainer", "parent", "data", "seed", "seeds", "sweep", "select", "accelerate")
_WRITTEN_OUT = ("seeds", "sweep", "select")

#: Option -> the values that a sweep tries.
Grid = dict[str, list[object]]
#: By candidate: the seeds that it names itself; None: none.
OwnSeeds = Mapping[str, tuple[int, ...] | None]
#: By candidate: what it is made from, its parent first.
Origins = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Expanded:
    """Plain candidates, and what became of those that the file names."""

    specs: Specs
    groups: Mapping[str, tuple[str, ...]]
    """By the name in the file: the candidates that stand for it (one a seed)."""
    unscored: frozenset[str] = frozenset()
    """Trials of a sweep: they never see the suite, so choosing among them is not done on it."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """By candidate: the name in the file that it comes from."""

    def origin(self, name: str) -> str:
        """The name in the file of what the candidate ``name`` was written out from."""
        return self.origins.get(name, name)


def as_written(specs: Specs) -> Expanded:
    """The candidates of the file themselves, where they cannot be written out."""
    plain = {
        name: {key: value for key, value in spec.items() if key not in _WRITTEN_OUT}
        for name, spec in specs.items()
    }
    return Expanded(plain, {name: (name,) for name in specs})


def expanded(specs: Specs, seeds: Sequence[int] | None) -> Expanded:
    """Every candidate of the file as plain ones.

    Args:
        specs: the candidates as they stand in the file.
        seeds: the experiment's own, which hold for every candidate; None: one seed.

    Raises:
        ConfigError: sweeps or seeds that make no sense, all of them at once.
    """
    problems = Collected()
    swept, sweep_of = _all_swept(specs, problems)
    own = {
        name: _seeds_of(sweep_of.get(name, name), spec, seeds, problems)
        for name, spec in swept.items()
    }
    origins = {name: [str(s.get("parent", BASE)), *sources_of(s)] for name, s in swept.items()}
    plain: dict[str, Block] = {}
    groups: dict[str, tuple[str, ...]] = {}
    for name in swept:
        copies = {}
        with problems.of(key=f"candidates.{sweep_of.get(name, name)}"):
            copies = _copies(name, swept, own, origins)
        for copy in copies:
            if copy in plain or (copy != name and copy in specs):
                problems.errors.append(_clash(copy))
        plain |= copies
        groups[name] = tuple(copies)
    problems.raise_any()
    return Expanded(
        specs=plain,
        groups=groups,
        unscored=frozenset(copy for trial in sweep_of for copy in groups[trial]),
        origins={c: sweep_of.get(name, name) for name, copies in groups.items() for c in copies},
    )


def _clash(name: str) -> ConfigError:
    fix = "give the other candidate another name"
    return ConfigError("two candidates have this name", key="candidates", value=name, fix=fix)


# --- sweeps ---------------------------------------------------------------------------------


def _all_swept(specs: Specs, problems: Collected) -> tuple[dict[str, Block], dict[str, str]]:
    """Sweeps as their trials and who chooses; and by trial, whose it is."""
    swept: dict[str, Block] = {}
    sweep_of: dict[str, str] = {}
    for name, spec in specs.items():
        parts = as_written({name: spec}).specs  # so that a child is not called an orphan
        with problems.of(key=f"candidates.{name}"):
            parts = _swept(name, spec)
        for part, part_spec in parts.items():
            if part in swept or (part != name and part in specs):
                problems.errors.append(_clash(part))
            swept[part] = part_spec
            if part != name:
                sweep_of[part] = name
    return swept, sweep_of


def _swept(name: str, spec: Block) -> Specs:
    """A sweep's trials and the candidate that chooses; any other candidate as it is."""
    if "sweep" not in spec:
        if "select" in spec:
            fix = "add 'sweep: {option: [values]}', or drop select"
            raise ConfigError("select chooses among a sweep's trials", fix=fix)
        return {name: spec}
    problems = Collected()
    grid: Grid = {}
    with problems.of(key="sweep"):
        grid = _grid(spec)
    with problems.of(key="select"):
        _check_select(spec.get("select"))
    plain = {key: value for key, value in spec.items() if key not in ("sweep", "select")}
    trials: dict[str, Block] = {}
    for values in itertools.product(*grid.values()) if grid else ():
        options = dict(zip(grid, values, strict=True))
        trial = "-".join([name, *(f"{_short(k)}{_value_in_name(v)}" for k, v in options.items())])
        if trial in trials:
            fix = "drop the value that is there twice"
            message = "two trials have one name"
            problems.errors.append(ConfigError(message, key="sweep", value=trial, fix=fix))
            break
        trials[trial] = {**plain, **options}
    problems.raise_any()
    chosen = {"trainer": "select", "sources": list(trials), **spec["select"]}
    chosen |= {key: spec[key] for key in ("parent", "seed", "seeds") if key in spec}
    return {**trials, name: chosen}


def _check_select(select: object) -> None:
    if not isinstance(select, dict) or not select:
        fix = "add 'select: {task: NAME, limit: 100}' or 'select: {data: NAME}'"
        raise ConfigError("a sweep says by what the best trial is chosen", value=select, fix=fix)
    if ("task" in select) == ("data" in select):
        fix = "give one of them: a validation task, or held-out data"
        raise ConfigError("task or data, not both or none", value=select, fix=fix)


def _grid(spec: Block) -> Grid:
    grid = spec["sweep"]
    if not isinstance(grid, dict) or not grid:
        fix = "write 'sweep: {rank: [4, 16]}'"
        raise ConfigError("expected options with lists of values", value=grid, fix=fix)
    problems = Collected()
    options = _options_of(spec)
    for option, values in grid.items():
        with problems.of(key=str(option)):
            _check_swept(option, values, spec, options)
    problems.raise_any()
    sizes = [len(values) for values in grid.values()]
    count = 1
    for size in sizes:
        count *= size
    if count > MAX_TRIALS:
        product = " x ".join(map(str, sizes))
        fix = "give fewer values, or make several sweeps one after the other"
        raise ConfigError(f"{product} = {count} trials, at most {MAX_TRIALS}", fix=fix)
    return {str(option): list(values) for option, values in grid.items()}


def _check_swept(option: object, values: object, spec: Block, options: Sequence[str]) -> None:
    if options and option not in options:
        fix = did_you_mean(str(option), options)
        raise ConfigError("no such option of the trainer", fix=fix)
    if option in _NOT_SWEPT:
        fix = "a sweep is over the trainer's own options; write several candidates"
        raise ConfigError("cannot be swept", fix=fix)
    if option in spec:
        fix = "drop it from the candidate or from the sweep"
        raise ConfigError("set and swept at once", fix=fix)
    if not isinstance(values, list) or not values:
        fix = f"write '{option}: [first, second]'"
        raise ConfigError("expected a list of values", value=values, fix=fix)


def _options_of(spec: Block) -> list[str]:
    try:
        return list(load_trainer(str(spec.get("trainer"))).model_fields)
    except (UnknownNameError, ConfigError):
        return []  # an error where the trainer is looked at


def _short(option: str) -> str:
    return _SHORT.get(option, option.replace("_", ""))


def _value_in_name(value: object) -> str:
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
    name: str, spec: Block, default: Sequence[int] | None, problems: Collected
) -> tuple[int, ...] | None:
    if "seeds" not in spec:
        return None if default is None or "seed" in spec else tuple(default)
    with problems.of(key=f"candidates.{name}.seeds"):
        if "seed" in spec:
            raise ConfigError("give seed or seeds, not both")
        return checked_seeds(spec["seeds"])
    return None


def checked_seeds(seeds: object) -> tuple[int, ...]:
    """A list of different whole numbers from 0. Raises ``ConfigError``."""
    if isinstance(seeds, list | tuple) and 0 < len(seeds) <= MAX_SEEDS:
        numbers = tuple(seed for seed in seeds if type(seed) is int and seed >= 0)
        if len(set(numbers)) == len(seeds):
            return numbers
    raise ConfigError(
        f"expected at most {MAX_SEEDS} different whole numbers from 0",
        value=seeds,
        fix="write seeds: [0, 1, 2]",
    )


def _copies(name: str, specs: Specs, own: OwnSeeds, origins: Origins) -> dict[str, Block]:
    """The candidate, or a copy for each seed that it follows."""
    spec = {key: value for key, value in specs[name].items() if key != "seeds"}
    seeds = _followed(name, specs, own, origins)
    return {name: spec} if seeds is None else _seeded(name, spec, seeds, own, origins)


def _followed(name: str, specs: Specs, own: OwnSeeds, origins: Origins) -> tuple[int, ...] | None:
    """The seeds of a candidate: its own, or those of what it is made from."""
    seeds, owner = own[name], name
    for ancestor in _ancestors(name, origins):
        theirs = own[ancestor]
        if theirs is None:
            continue
        if seeds is not None and seeds != theirs:
            raise ConfigError(
                f"seeds {list(seeds)} of '{owner}', but {list(theirs)} of '{ancestor}', from which "
                f"'{name}' is made",
                key="seeds",
                fix="give both the same seeds; a child follows its parent's",
            )
        seeds, owner = theirs, ancestor
    if seeds is not None and "seed" in specs[name]:
        raise ConfigError(f"follows the seeds of '{owner}'", key="seed", fix="drop its seed")
    return seeds


def _ancestors(name: str, origins: Origins) -> list[str]:
    """What a candidate is made from, directly or through others; the nearest first."""
    names = {name: None}  # in the order in which they were met
    waiting = deque(origins[name])
    while waiting:
        origin = waiting.popleft()
        if origin in origins and origin not in names:
            names[origin] = None
            waiting += origins[origin]
    return list(names)[1:]


def _seeded(
    name: str, spec: Block, seeds: Sequence[int], own: OwnSeeds, origins: Origins
) -> dict[str, Block]:
    """A copy for each seed, made from the copies of the same seed."""
    follow = {
        origin
        for origin in origins[name]
        if origin in origins
        and any(own[name] is not None for name in (origin, *_ancestors(origin, origins)))
    }
    copies = {}
    for seed in seeds:
        names = {origin: f"{origin}-seed{seed}" for origin in follow}
        copies[f"{name}-seed{seed}"] = {**_renamed(spec, names), "seed": seed}
    return copies


def _renamed(spec: Block, names: Mapping[str, str]) -> Block:
    """The candidate made from others: parent and sources by their new names."""
    renamed = dict(spec)
    if "parent" in spec:
        renamed["parent"] = names.get(str(spec["parent"]), spec["parent"])

    def other(value: object) -> object:
        if isinstance(value, dict):
            return {**value, "model": other(value["model"])} if "model" in value else value
        return names.get(value, value) if isinstance(value, str) else value

    for option in source_options(spec):
        if option in spec:
            value = spec[option]
            renamed[option] = [other(v) for v in value] if isinstance(value, list) else other(value)
    return renamed

"""YAML -> ``Experiment``: everything is checked before anything runs.

Everything that is wrong with a file is told at once, a line for each: file, line, key, value and
the likely fix. Models are not loaded and nothing is written before the whole file is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from steelyard.harness.errors import (
    Collected,
    ConfigError,
    SteelyardError,
    UnknownNameError,
    did_you_mean,
)
from steelyard.harness.experiment.candidates import (
    Candidate,
    Surroundings,
    check_validation,
    launched,
    read_candidate,
)
from steelyard.harness.experiment.data_sets import check_data, roles_for
from steelyard.harness.experiment.expansion import Expanded, as_written, checked_seeds, expanded
from steelyard.harness.experiment.lineage import BASE, Block, Specs, parents_first
from steelyard.harness.experiment.noise import NoiseVariant
from steelyard.harness.experiment.resources import StageResources
from steelyard.harness.files import YamlFile, allowed_names, old_names, validated
from steelyard.harness.plugins import DataSource, beside, plugin_names
from steelyard.harness.records import Parity

#: Names become folders and glob targets.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

#: Two stages each; a driver plans them in seconds and keeps them in memory.
MAX_CANDIDATES = 10_000


class DataSpec(BaseModel):
    """One entry of ``data:``: a file, and which of its columns plays which role."""

    model_config = ConfigDict(frozen=True, extra="allow")

    path: str
    weight: float = Field(default=1.0, gt=0)


class ExperimentFile(BaseModel):
    """The keys of an experiment file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    base: str
    seed: int = Field(default=0, ge=0)
    seeds: tuple[int, ...] | None = None
    accelerate: str | None = None
    data: Mapping[str, DataSpec] = Field(default_factory=dict)
    candidates: Mapping[str, Block] = Field(default_factory=dict)
    suite: str | list[str | Block] | Block
    limit: int | None = Field(default=None, ge=1)
    parity: Parity | None = None
    backend: str = "steelyard"
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    chat_template: bool = False
    trust_remote_code: str | None = None
    energy: Block = Field(default_factory=dict)
    noise: tuple[NoiseVariant, ...] = ()
    gate: Block | None = None
    resources: StageResources = StageResources()
    report: tuple[str, ...] = ("html", "markdown")
    notes: tuple[str, ...] = ()

    @field_validator("trust_remote_code", mode="before")
    @classmethod
    def _names_a_digest(cls, value: object) -> object:
        if value is None or (isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value)):
            return value
        raise ValueError(
            "it names the digest of the Python that may run, which the refusal without it states"
        )

    _present_name = field_validator("backend")(old_names.backend)


@dataclass(frozen=True)
class Experiment:
    """A validated experiment; ``candidates`` come parents first."""

    file: Path
    settings: ExperimentFile
    candidates: tuple[Candidate, ...]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By a name in the file: the candidates that stand for it, one a seed."""

    @property
    def name(self) -> str:
        """The experiment's name, the first half of ``experiment/candidate``."""
        return self.settings.name

    @property
    def folder(self) -> Path:
        """What relative paths in the file are relative to."""
        return self.file.parent

    @cached_property
    def names(self) -> frozenset[str]:
        """The candidates' names."""
        return frozenset(candidate.name for candidate in self.candidates)

    @cached_property
    def copies(self) -> dict[str, str]:
        """Each candidate that is one seed's copy, and the name in the file that it is a copy of."""
        return {copy: name for name, group in self.groups.items() for copy in group if copy != name}

    @cached_property
    def graph(self) -> dict[str, tuple[str, ...]]:
        """What each candidate is made from, by name: its parent, and its sources."""
        return {c.name: (c.parent, *c.sources) for c in self.candidates}

    def resolve(self, name: str) -> Path:
        """A base or checkpoint folder as the file names it: relative to the file, then to here."""
        meant = beside(name, self.folder)
        return meant if meant.exists() else Path(name).expanduser()

    def meant_by(self, names: Sequence[str]) -> tuple[str, ...]:
        """Candidates by the names that the file gives them, before seeds were written out."""
        return tuple(copy for name in names for copy in self.groups.get(name, (name,)))

    def candidate(self, name: str) -> Candidate:
        """The candidate called ``name``. Raises ``UnknownNameError``."""
        for candidate in self.candidates:
            if candidate.name == name:
                return candidate
        raise UnknownNameError(
            f"no candidate named '{name}'", file=self.file, fix=did_you_mean(name, self.names)
        )


#: By key of the file: a check that raises ``SteelyardError``.
Checks = Mapping[str, Callable[[ExperimentFile, Path], object]]


def load_experiment(
    source: Path | Mapping[str, object],
    *,
    base: str | None = None,
    seed: int | None = None,
    limit: int | None = None,
    parity: Parity | None = None,
    check_files: bool = True,
    checks: Checks = MappingProxyType({}),
) -> Experiment:
    """Read, override and check an experiment file, or the same keys as a mapping.

    Paths are relative to the file, and in a mapping to the working directory. ``base``, ``seed``,
    ``limit`` and ``parity`` replace the file's own; with ``check_files`` data files are opened and
    validation tasks looked up. ``checks`` are what other rooms have to say to the settings, by key:
    each is called with them and the file where the key itself is right.

    Raises:
        ConfigError: the file is wrong; with several mistakes a ``SeveralError`` with a line each.
        DataError: a data file is.
    """
    path = source if isinstance(source, Path) else Path("experiment")
    with allowed_names(path):
        file = (
            YamlFile.read(source) if isinstance(source, Path) else YamlFile(path, dict(source), {})
        )
        content = dict(file.content)
        overrides = {"base": base, "seed": seed, "limit": limit, "parity": parity}
        content |= {key: value for key, value in overrides.items() if value is not None}
        if seed is not None:
            content.pop("seeds", None)
        with file.reading():
            return _Reading(path, content, checks).experiment(check_files=check_files)


class _Reading:
    """One reading of a file's content: what is wrong is kept until all of it was looked at."""

    def __init__(self, path: Path, content: Block, checks: Checks) -> None:
        self.path = path
        self.content = content
        self.checks = checks
        self.folder = path.parent
        self.problems = Collected()

    def experiment(self, *, check_files: bool) -> Experiment:
        settings = self._settings()
        self._check_settings(settings)
        specs = {name: dict(spec) for name, spec in settings.candidates.items()}
        with self.problems.of(key="name"):
            _check_name(settings.name)
        for i, name in enumerate(settings.report):
            with self.problems.of(key=f"report.{i}"):
                _check_renderer(name)
        for name in specs:
            with self.problems.of(key=f"candidates.{name}"):
                _check_candidate_name(name)
        with self.problems.of():  # a wrong parent by the name that the file has for it
            parents_first(specs, self.folder)
        written_out = self._written_out(specs, settings)
        candidates = self._candidates(written_out, settings)
        if check_files:
            self._check_files(candidates)
            for candidate in candidates:
                with self.problems.of(key=f"candidates.{written_out.origin(candidate.name)}"):
                    check_validation(candidate, self.folder)
        self.problems.errors = _without_repeats(self.problems.errors)
        self.problems.raise_any()
        by_name = {candidate.name: candidate for candidate in candidates}
        return Experiment(
            file=self.path,
            settings=settings,
            candidates=tuple(by_name[n] for n in parents_first(written_out.specs, self.folder)),
            groups=written_out.groups,
        )

    def _settings(self) -> ExperimentFile:
        """The file's keys; where some are wrong, the others, so that these are checked too."""
        with self.problems.of():
            return validated(ExperimentFile, self.content, context={"folder": self.folder})
        return _right_part(self.content, [error.key or "" for error in self.problems.errors])

    def _check_settings(self, settings: ExperimentFile) -> None:
        wrong = {(error.key or "").partition(".")[0] for error in self.problems.errors}
        for key, check in self.checks.items():
            if key in self.content and key not in wrong:
                with self.problems.of():
                    check(settings, self.path)

    def _written_out(self, specs: Specs, settings: ExperimentFile) -> Expanded:
        """Seeds and sweeps as plain candidates."""
        seeds = None
        with self.problems.of(key="seeds"):
            seeds = None if settings.seeds is None else checked_seeds(settings.seeds)
        written_out = as_written(specs)
        with self.problems.of():
            written_out = expanded(specs, seeds)
        for name in (name for name in written_out.specs if name not in specs):
            with self.problems.of(key=f"candidates.{written_out.origin(name)}"):
                _check_candidate_name(name)
        if len(written_out.specs) > MAX_CANDIDATES:
            what = f"{len(written_out.specs):,} candidates with seeds and sweeps written out"
            fix = f"at most {MAX_CANDIDATES:,}: write several experiments"
            raise ConfigError(what, file=self.path, key="candidates", fix=fix)
        return written_out

    def _candidates(self, written_out: Expanded, settings: ExperimentFile) -> list[Candidate]:
        data: dict[str, DataSource | None] = dict.fromkeys(_names_of(self.content.get("data")))
        for name, entry in settings.data.items():
            with self.problems.of(key=f"data.{name}"):
                data[name] = _data_source(name, entry, self.folder)
        around = Surroundings(self.folder, settings.seed, data)
        candidates = []
        for name, spec in written_out.specs.items():
            key = f"candidates.{written_out.origin(name)}"
            with self.problems.of(key=key):
                candidate = read_candidate(name, spec, around)
                candidates.append(replace(candidate, scored=name not in written_out.unscored))
        return [self._launched(c, written_out, settings) for c in candidates]

    def _launched(
        self, candidate: Candidate, written_out: Expanded, settings: ExperimentFile
    ) -> Candidate:
        """The candidate under accelerate where its own key, or the file's, says so."""
        own = written_out.specs[candidate.name].get("accelerate")
        config = settings.accelerate if own is None else own
        if config is None or (own is None and candidate.trainer.schedule is None):
            return candidate
        origin = written_out.origin(candidate.name)
        with self.problems.of(
            key="accelerate" if own is None else f"candidates.{origin}.accelerate"
        ):
            return launched(candidate, str(config), self.folder)
        return candidate

    def _check_files(self, candidates: Iterable[Candidate]) -> None:
        """Open every data file with the roles that its trainers need, before any model loads."""
        checked: set[tuple[str, tuple[tuple[str, ...], ...]]] = set()
        for candidate in candidates:
            choices = candidate.trainer.inner.data_choices()
            for source in candidate.data:
                if (source.name, choices) not in checked:
                    checked.add((source.name, choices))
                    with self.problems.of():
                        _check_file(source, choices, candidate)


def _right_part(content: Block, wrong: Sequence[str]) -> ExperimentFile:
    """What is right in a file with wrong keys; what is required has some value until then."""
    broken = {key.partition(".")[0] for key in wrong}
    fields = set(ExperimentFile.model_fields) - broken
    parts = {key: value for key, value in content.items() if key in fields}
    for key, entry_type in (("data", DataSpec), ("candidates", None)):
        entries = content.get(key)
        if isinstance(entries, Mapping):
            parts[key] = {n: e for n, e in entries.items() if _is_entry(n, e, entry_type)}
    return ExperimentFile.model_validate({"name": "wrong", "base": BASE, "suite": "", **parts})


def _is_entry(name: object, entry: object, model: type[BaseModel] | None) -> bool:
    if not isinstance(name, str) or not isinstance(entry, Mapping):
        return False
    try:
        if model is not None:
            model.model_validate(entry)
    except ValidationError:
        return False
    return all(isinstance(key, str) for key in entry)


def _names_of(entries: object) -> list[str]:
    return [str(name) for name in entries] if isinstance(entries, Mapping) else []


def _without_repeats(errors: Iterable[SteelyardError]) -> list[SteelyardError]:
    """Each error once: copies of a candidate have the same mistakes."""
    return list({(error.file, error.key, str(error)): error for error in errors}.values())


def _check_renderer(name: str) -> None:
    names = plugin_names("renderers")
    if name not in names:
        fix = did_you_mean(name, names)
        raise ConfigError("no such format of a report", value=name, fix=fix)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        fix = "use letters, digits, '.', '_' and '-' (64 at most), a letter or digit first"
        raise ConfigError("not a usable name", value=name, fix=fix)


def _check_candidate_name(name: str) -> None:
    _check_name(name)
    if name == BASE:
        fix = "give the candidate another name"
        raise ConfigError("'base' means the base model itself", fix=fix)


def _data_source(name: str, entry: DataSpec, folder: Path) -> DataSource:
    columns = entry.model_extra or {}
    for role, column in columns.items():
        if not isinstance(column, str):
            raise ConfigError("expected a column's name", key=role, value=column)
    path = beside(entry.path, folder)
    return DataSource(name=name, path=path, columns=dict(columns), weight=entry.weight)


def _check_file(source: DataSource, choices: Sequence[Sequence[str]], candidate: Candidate) -> None:
    try:
        check_data(source, roles_for(source, choices))
    except SteelyardError as error:
        if error.key is None:
            kinds = " or ".join(", ".join(roles) for roles in choices)
            needs = f"{candidate.trainer_name} needs {kinds}"
            error.key = f"data.{source.name} (for {candidate.name}, {needs})"
        raise

"""The baseline scored again under another setting that should not matter: the noise floor.

    noise:
      - {dtype: bfloat16}
      - {few_shot_seed: 1}            # other examples in the prompts, in another order
      - {wording: "Answer briefly.\\n\\n"}   # said before every prompt
      - {generation_seed: 1}          # where a task samples
      - {chat_template: true}         # with it, where the experiment is without

A difference between two candidates that is no larger than what such a change does to the baseline
alone is no claim (``steelyard.harness.compare.noise``). The runs are kept as results of stages, not
as runs: they are no candidates and have no place on a leaderboard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from steelyard.harness.compare import Scored
from steelyard.harness.energy import duration
from steelyard.harness.errors import ConfigError, located
from steelyard.harness.evaluation import evaluate, scoring_code
from steelyard.harness.experiment import Experiment, ExperimentFile, NoiseVariant
from steelyard.harness.files import digest_json
from steelyard.harness.files.version_1 import run_of
from steelyard.harness.pipeline.events import Event, Listener
from steelyard.harness.pipeline.open_models import OpenModels
from steelyard.harness.pipeline.run_record import Scoring
from steelyard.harness.plugins import Meter
from steelyard.harness.records import Checkpoint, Run
from steelyard.harness.store import FolderStore
from steelyard.harness.suites import BuiltSuite, BuiltTask, build, load_suite, task_digest


@dataclass
class NoiseStage:
    """Scores one checkpoint again under each variant of its experiment."""

    experiment: Experiment
    store: FolderStore
    meter: Callable[[], Meter]
    listener: Listener
    models: OpenModels = field(init=False)
    """One at a time: variants that change only what is asked share it."""
    _suites: dict[NoiseVariant, BuiltSuite] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.models = OpenModels(self.experiment, self.store, self.listener, most=1)

    def check(self) -> None:
        """Raises ``ConfigError`` for a variant that changes nothing: before hours of training."""
        for variant in self.experiment.settings.noise:
            self._built(variant)

    def runs(self, name: str, checkpoint: Checkpoint) -> tuple[Scored, ...]:
        """The checkpoint under every variant; what is in the store is not scored again."""
        variants = self.experiment.settings.noise
        runs = tuple(Scored(self._run(name, checkpoint, variant), {}) for variant in variants)
        self.models.close()
        return runs

    def _run(self, name: str, checkpoint: Checkpoint, variant: NoiseVariant) -> Run:
        built, settings = self._built(variant), self.experiment.settings
        dtype = variant.dtype or settings.dtype
        identity = [checkpoint.manifest.digest, built.digest, settings.backend, dtype]
        digest = digest_json([*identity, variant.label, scoring_code()])
        done = self.store.stages.get(f"noise-{digest}")
        label = f"{name}, {variant.label}"
        if done is not None:
            self.listener(Event("score", label, "reused"))
            return run_of(done["noise"])
        self.listener(Event("score", label, "start", "noise floor"))
        with self.meter().window(f"noise {label}") as reading:
            lm = self.models.opened(checkpoint, built.suite, dtype)
            evaluation = evaluate(lm, built, checkpoint=checkpoint)
        run = Scoring(
            experiment=self.experiment.name,
            candidate=variant.label,
            suite=built.suite.name,
            checkpoint=checkpoint,
            evaluation=evaluation,
            energy=(reading.energy("score"),),
        ).run(digest[:32])
        if not run.complete:  # the next call tries again
            self.listener(Event("score", label, "failed", run.failures[0].message))
            return run
        self.store.stages.finish(f"noise-{digest}", {"noise": run.model_dump(mode="json")})
        self.listener(Event("score", label, "done", duration(run.energy[0])))
        return run

    def _built(self, variant: NoiseVariant) -> BuiltSuite:
        if variant not in self._suites:
            self._suites[variant] = self._build(variant)
        return self._suites[variant]

    def _build(self, variant: NoiseVariant) -> BuiltSuite:
        settings = self.experiment.settings
        suite = load_suite(
            settings.suite,
            folder=self.experiment.folder,
            limit=settings.limit,
            parity=settings.parity,
        )
        suite = suite.model_copy(update={"cost": None, "fidelity": None})
        template = settings.chat_template
        with located(file=self.experiment.file, key="noise"):
            _check_setting(variant, settings)
        if variant.chat_template is not None:
            template = variant.chat_template
        built = build(suite, apply_chat_template=template, few_shot_seed=variant.few_shot_seed)
        if variant.wording is not None:
            built.tasks = tuple(_reworded(task, variant.wording) for task in built.tasks)
        with located(file=self.experiment.file, key="noise"):
            if variant.few_shot_seed is not None and not any(t.num_fewshot for t in built.tasks):
                raise _idle(variant, "no task of the suite shows examples")
            if variant.generation_seed is not None:
                _seeded(variant, built)
        return built


def _check_setting(variant: NoiseVariant, settings: ExperimentFile) -> None:
    """Raises ``ConfigError`` where the variant's dtype or template is the experiment's own."""
    same_dtype = variant.dtype is not None and variant.dtype == settings.dtype
    same_template = (
        variant.chat_template is not None and variant.chat_template == settings.chat_template
    )
    if same_dtype or same_template:
        raise _idle(variant, "the experiment scores so already")


def _reworded(built: BuiltTask, wording: str) -> BuiltTask:
    """The task with ``wording`` before what it says itself, in both passes of one that has two."""
    built.config.description = wording + (built.config.description or "")
    first = None if built.first is None else _reworded(built.first, wording)
    own = task_digest(built.task, built.num_fewshot)
    digest = own if first is None else digest_json([own, first.task_digest])
    return replace(built, task_digest=digest, first=first)


def _seeded(variant: NoiseVariant, built: BuiltSuite) -> None:
    """Another seed in the settings of every task that samples."""
    changed = 0
    for task in built.tasks:
        settings = getattr(task.config, "generation_kwargs", None) or {}
        # A task may draw several answers beside its own greedy one (``metadata.samples``).
        samples = settings.get("do_sample") or "samples" in (task.config.metadata or {})
        if task.output_type == "generate_until" and samples:
            settings["seed"] = variant.generation_seed
            changed += 1
    if not changed:
        raise _idle(variant, "no task of the suite samples its answers")


def _idle(variant: NoiseVariant, why: str) -> ConfigError:
    return ConfigError(f"'{variant.label}' changes nothing: {why}")

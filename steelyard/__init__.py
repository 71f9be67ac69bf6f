"""Steelyard decides whether a fine-tuned language model ships.

    import steelyard

    result = steelyard.run("experiment.yaml")               # train -> score -> compare -> gate
    run = steelyard.evaluate("./tuned-model", "core")       # one checkpoint on one suite
    steelyard.load("support-bot/lora").scores               # a pandas DataFrame
    steelyard.compare("support-bot/base", "support-bot/lora").deltas
    steelyard.gate("policy.yaml", "support-bot/lora").verdict

This package is all that a program needs to import; what lies below it (``steelyard.harness``, ...)
may change its shape. Importing it loads nothing heavy: a name is imported when it is first used.
``python -m steelyard`` is the command ``steelyard``. The guide is docs/python.md.

* Calls: :func:`run`, :func:`evaluate`, :func:`load`, :func:`compare`, :func:`gate`,
  :func:`report`, :func:`open_model`, :func:`table`.
* Tests on numbers alone: :func:`paired_test`, :func:`sequential_test`, :class:`SequentialTest`.
* What comes back: :class:`LoadedRun`, :class:`Result`, and records such as :class:`Run`,
  :class:`Score`, :class:`Comparison`, :class:`Verdict`.
* What a plugin is: :class:`Plugin`, and the protocols :class:`Trainer`, :class:`Metric`,
  :class:`Executor`, :class:`Renderer`, :class:`Meter`, :class:`Store`.
* What a trainer of your own calls: :func:`read_mix`, :func:`load_model`, :func:`save_full`,
  :func:`save_adapter`, :func:`finish`; what a meter needs: :class:`EnergyConfig`,
  :class:`WindowReading`.
* Errors: a mistake that can be mended is a :class:`SteelyardError`, one line that names the fix.
"""

import sys

# `python -m steelyard` looks into the working folder before anywhere else: a json.py or torch.py
# that lies there would run. Python's name for the program is "-m" only while it looks for it.
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    del sys.path[0]

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

# Installed, the rooms lie in this folder; in a source checkout beside it. There Python finds this
# folder before any installed Steelyard, and must not take the rooms from that one, or from nowhere.
_HERE = Path(__file__).absolute().parent
if not (_HERE / "harness").is_dir():
    __path__.append(str(_HERE.parent))

if TYPE_CHECKING:
    from steelyard.harness import __version__ as __version__
    from steelyard.harness.checkpoints import finish as finish
    from steelyard.harness.checkpoints import load_model as load_model
    from steelyard.harness.checkpoints import save_adapter as save_adapter
    from steelyard.harness.checkpoints import save_full as save_full
    from steelyard.harness.energy import JOULES_PER_KWH as JOULES_PER_KWH
    from steelyard.harness.energy import EnergyConfig as EnergyConfig
    from steelyard.harness.energy import WindowReading as WindowReading
    from steelyard.harness.errors import CheckpointError as CheckpointError
    from steelyard.harness.errors import ConfigError as ConfigError
    from steelyard.harness.errors import DataError as DataError
    from steelyard.harness.errors import MetricError as MetricError
    from steelyard.harness.errors import MissingExtraError as MissingExtraError
    from steelyard.harness.errors import NoCurrentRunError as NoCurrentRunError
    from steelyard.harness.errors import NotComparableError as NotComparableError
    from steelyard.harness.errors import ScoringError as ScoringError
    from steelyard.harness.errors import SeveralError as SeveralError
    from steelyard.harness.errors import StatisticsError as StatisticsError
    from steelyard.harness.errors import SteelyardError as SteelyardError
    from steelyard.harness.errors import StoreError as StoreError
    from steelyard.harness.errors import TrainingError as TrainingError
    from steelyard.harness.errors import UnknownNameError as UnknownNameError
    from steelyard.harness.experiment import read_mix as read_mix
    from steelyard.harness.pipeline import Event as Event
    from steelyard.harness.pipeline import Executor as Executor
    from steelyard.harness.pipeline import Stage as Stage
    from steelyard.harness.pipeline import StageOutcome as StageOutcome
    from steelyard.harness.pipeline import Worker as Worker
    from steelyard.harness.plugins import DataSource as DataSource
    from steelyard.harness.plugins import Meter as Meter
    from steelyard.harness.plugins import Metric as Metric
    from steelyard.harness.plugins import Plugin as Plugin
    from steelyard.harness.plugins import Reading as Reading
    from steelyard.harness.plugins import RelativePath as RelativePath
    from steelyard.harness.plugins import Sample as Sample
    from steelyard.harness.plugins import Schedule as Schedule
    from steelyard.harness.plugins import Trainer as Trainer
    from steelyard.harness.plugins import TrainJob as TrainJob
    from steelyard.harness.plugins import ValidationTask as ValidationTask
    from steelyard.harness.records import BackwardTransfer as BackwardTransfer
    from steelyard.harness.records import CarbonIntensity as CarbonIntensity
    from steelyard.harness.records import Checkpoint as Checkpoint
    from steelyard.harness.records import CheckpointManifest as CheckpointManifest
    from steelyard.harness.records import Comparison as Comparison
    from steelyard.harness.records import Contaminated as Contaminated
    from steelyard.harness.records import Delta as Delta
    from steelyard.harness.records import Difference as Difference
    from steelyard.harness.records import Digests as Digests
    from steelyard.harness.records import Energy as Energy
    from steelyard.harness.records import EnergyComponent as EnergyComponent
    from steelyard.harness.records import Environment as Environment
    from steelyard.harness.records import Failure as Failure
    from steelyard.harness.records import Flip as Flip
    from steelyard.harness.records import FlipCount as FlipCount
    from steelyard.harness.records import LossPoint as LossPoint
    from steelyard.harness.records import Record as Record
    from steelyard.harness.records import Rows as Rows
    from steelyard.harness.records import RuleResult as RuleResult
    from steelyard.harness.records import Run as Run
    from steelyard.harness.records import SampleRecord as SampleRecord
    from steelyard.harness.records import Score as Score
    from steelyard.harness.records import TaskSignature as TaskSignature
    from steelyard.harness.records import Verdict as Verdict
    from steelyard.harness.stats import PairedResult as PairedResult
    from steelyard.harness.stats import SequentialResult as SequentialResult
    from steelyard.harness.stats import SequentialTest as SequentialTest
    from steelyard.harness.stats import paired_test as paired_test
    from steelyard.harness.stats import sequential_test as sequential_test
    from steelyard.harness.store import Store as Store
    from steelyard.judging import compare as compare
    from steelyard.judging import gate as gate
    from steelyard.judging import report as report
    from steelyard.loaded import LoadedRun as LoadedRun
    from steelyard.loaded import load as load
    from steelyard.loaded import table as table
    from steelyard.reports.document import Document as Document
    from steelyard.reports.document import Renderer as Renderer
    from steelyard.results import Result as Result
    from steelyard.running import evaluate as evaluate
    from steelyard.running import open_model as open_model
    from steelyard.running import run as run

#: Module -> the names that are taken from it on first use (PEP 562). The imports above are the
#: same for type checkers and editors; a test holds the two together.
_NAMES = {
    "steelyard.harness": "__version__",
    "steelyard.harness.checkpoints": "finish load_model save_adapter save_full",
    "steelyard.harness.energy": "EnergyConfig JOULES_PER_KWH WindowReading",
    "steelyard.harness.errors": (
        "CheckpointError ConfigError DataError MetricError MissingExtraError "
        "NoCurrentRunError NotComparableError ScoringError SeveralError StatisticsError "
        "SteelyardError StoreError TrainingError UnknownNameError"
    ),
    "steelyard.harness.experiment": "read_mix",
    "steelyard.harness.pipeline": "Event Executor Stage StageOutcome Worker",
    "steelyard.harness.plugins": (
        "DataSource Meter Metric Plugin Reading RelativePath Sample Schedule TrainJob "
        "Trainer ValidationTask"
    ),
    "steelyard.harness.records": (
        "BackwardTransfer CarbonIntensity Checkpoint CheckpointManifest Comparison "
        "Contaminated Delta Difference Digests Energy EnergyComponent Environment Failure "
        "Flip FlipCount LossPoint Record Rows RuleResult Run SampleRecord Score "
        "TaskSignature Verdict"
    ),
    "steelyard.harness.stats": (
        "PairedResult SequentialResult SequentialTest paired_test sequential_test"
    ),
    "steelyard.harness.store": "Store",
    "steelyard.judging": "compare gate report",
    "steelyard.loaded": "LoadedRun load table",
    "steelyard.reports.document": "Document Renderer",
    "steelyard.results": "Result",
    "steelyard.running": "evaluate open_model run",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


if not TYPE_CHECKING:  # for a type checker a misspelt name stays an error

    def __getattr__(name: str) -> object:
        """The public name, imported on first use."""
        if name not in _HOMES:
            raise AttributeError(f"module 'steelyard' has no attribute '{name}'")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """Every public name, for ``dir`` and completion."""
    return sorted({*globals(), *_HOMES})

"""What a plugin is, the verbs it may have, and names -> classes."""

from steelyard.harness.plugins.fields import RelativePath, ValidationTask, beside
from steelyard.harness.plugins.missing import missing_package
from steelyard.harness.plugins.names import (
    is_built_in,
    load_plugin,
    load_trainer,
    plugin_names,
    require_verbs,
)
from steelyard.harness.plugins.plugin import Plugin
from steelyard.harness.plugins.protocols import (
    DataSource,
    Meter,
    Metric,
    Progress,
    Reading,
    Row,
    Sample,
    Schedule,
    Trainer,
    TrainJob,
    no_progress,
)
from steelyard.harness.plugins.source import source_digest
from steelyard.harness.plugins.task_texts import Signed, TaskTexts

__all__ = [
    "DataSource",
    "Meter",
    "Metric",
    "Plugin",
    "Progress",
    "Reading",
    "RelativePath",
    "Row",
    "Sample",
    "Schedule",
    "Signed",
    "TaskTexts",
    "TrainJob",
    "Trainer",
    "ValidationTask",
    "beside",
    "is_built_in",
    "load_plugin",
    "load_trainer",
    "missing_package",
    "no_progress",
    "plugin_names",
    "require_verbs",
    "source_digest",
]

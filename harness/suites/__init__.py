"""What is asked: suite files, lm-eval tasks built once, their identity and metadata."""

from steelyard.harness.suites.build import build
from steelyard.harness.suites.built import SUITE_SEED, BuiltSuite, BuiltTask, with_documents
from steelyard.harness.suites.metadata import TaskMetadata, right_choices
from steelyard.harness.suites.suite import (
    CostMeasure,
    EvaluateMetric,
    ExtraMetric,
    Suite,
    SuiteTask,
    list_suites,
    list_tasks,
    load_suite,
    task_file,
)
from steelyard.harness.suites.templates import templates_compiled_once

__all__ = [
    "SUITE_SEED",
    "BuiltSuite",
    "BuiltTask",
    "CostMeasure",
    "EvaluateMetric",
    "ExtraMetric",
    "Suite",
    "SuiteTask",
    "TaskMetadata",
    "build",
    "list_suites",
    "list_tasks",
    "load_suite",
    "right_choices",
    "task_file",
    "templates_compiled_once",
    "with_documents",
]

"""What is asked: suite files, lm-eval tasks built once, their identity and metadata."""

from steelyard.harness.suites.build import build
from steelyard.harness.suites.built import SUITE_SEED, BuiltSuite, BuiltTask, with_documents
from steelyard.harness.suites.clusters import asked_content, joined_by_content
from steelyard.harness.suites.documents import Documents, TaskData
from steelyard.harness.suites.generation_settings import LENGTHS, check_generation_settings
from steelyard.harness.suites.groups import BuiltGroup, GroupMetric
from steelyard.harness.suites.identity import (
    NOT_IDENTITY,
    content_digest,
    documents_digest,
    dumped_digest,
    same_as,
    sample_ids,
    task_digest,
)
from steelyard.harness.suites.metadata import (
    CHOICE_METRICS,
    TaskMetadata,
    right_choices,
    task_metadata,
)
from steelyard.harness.suites.narrowed import prepared
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
from steelyard.harness.suites.targets import picks_a_choice
from steelyard.harness.suites.task_files import lm_eval_names, names_in, task_files, task_summary
from steelyard.harness.suites.templates import templates_compiled_once

__all__ = [
    "CHOICE_METRICS",
    "LENGTHS",
    "NOT_IDENTITY",
    "SUITE_SEED",
    "BuiltGroup",
    "BuiltSuite",
    "BuiltTask",
    "CostMeasure",
    "Documents",
    "EvaluateMetric",
    "ExtraMetric",
    "GroupMetric",
    "Suite",
    "SuiteTask",
    "TaskData",
    "TaskMetadata",
    "asked_content",
    "build",
    "check_generation_settings",
    "content_digest",
    "documents_digest",
    "dumped_digest",
    "joined_by_content",
    "list_suites",
    "list_tasks",
    "lm_eval_names",
    "load_suite",
    "names_in",
    "picks_a_choice",
    "prepared",
    "right_choices",
    "same_as",
    "sample_ids",
    "task_digest",
    "task_file",
    "task_files",
    "task_metadata",
    "task_summary",
    "templates_compiled_once",
    "with_documents",
]

"""Documents of a task's own YAML from a file, also under plain lm-eval:

    custom_dataset: !function steelyard.tasks.local_data.documents
    dataset_kwargs: {path: $MY_DATA/questions.csv, fields: {question: q, answer: a}}
    test_split: test

The keys are those of ``steelyard.harness.suites.documents.TaskData``; paths may hold environment
variables and are relative to the current folder. Few-shot examples are the split ``few_shot``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steelyard.harness.files import validated
from steelyard.harness.suites import Documents, TaskData


def documents(**arguments: Any) -> Mapping[str, Any]:
    """The splits of a task. Raises ``ConfigError`` or ``DataError`` in one line."""
    options = {key: value for key, value in arguments.items() if key in TaskData.model_fields}
    for key in ("path", "few_shot"):
        if isinstance(options.get(key), str):
            options[key] = os.path.expandvars(options[key])
    data = validated(TaskData, options, file="dataset_kwargs")
    return Documents(data.relative_to(Path()))()

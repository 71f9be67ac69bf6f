"""Types of options that several plugins share: a path beside the file that names it, and the task
that a choice is made on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo


def beside(path: str, folder: Path) -> Path:
    """``path`` as it is meant in a file that lies in ``folder``; an absolute one as it is."""
    expanded = Path(path).expanduser()
    return expanded if expanded.is_absolute() else folder / expanded


def _where_there_is_one(path: str, validation: ValidationInfo) -> str:
    folder = (validation.context or {}).get("folder")
    if folder is None:
        return path
    meant = beside(path, folder)
    return str(meant) if meant.exists() else path


#: A path in a file's options: relative to the folder of that file, like its data, where there is
#: such a one. The folder comes in by ``model_validate(options, context={"folder": folder})``.
RelativePath = Annotated[str, AfterValidator(_where_there_is_one)]


class ValidationTask(BaseModel):
    """A task on which a choice is made; lower or higher is better as the metric says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str | None = Field(None, description="A task of a suite; its metric decides.")
    metric: str | None = Field(None, description="None takes the task's primary metric.")
    limit: int | None = Field(100, ge=1, description="Items of the task, the same every time.")
    include: tuple[RelativePath, ...] = Field(
        (), description="Folders with task YAMLs of your own."
    )

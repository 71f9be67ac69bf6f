"""What every record is: frozen, and closed against fields that it does not know."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen value object; an unknown field is an error, so a typo never passes in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

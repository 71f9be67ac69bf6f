"""What a plugin is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Plugin(BaseModel):
    """The base of every plugin: frozen, and an unknown option is an error that names the fix.

    The class is the YAML schema, the validation error, the ``steelyard show`` page, the identity
    that is hashed (``model_dump``), and the implementation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

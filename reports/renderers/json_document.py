"""A document as JSON: the same words, and every number at full precision."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from steelyard.harness.plugins import Plugin
from steelyard.reports.document import SCHEMA_VERSION, Document


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what :class:`Json` writes.

    It is shipped as ``reports/renderers/assets/document.schema.json``.
    """
    schema = Document.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:steelyard:document:{SCHEMA_VERSION}",
        **schema,
    }


class Json(Plugin):
    """Reads back with ``Document.model_validate_json``; ASCII only, so safe in a terminal too."""

    suffix: ClassVar[str] = ".json"

    def render(self, document: Document) -> str:
        """The document; a number that is missing is ``null``."""
        content = document.model_dump(mode="json")
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

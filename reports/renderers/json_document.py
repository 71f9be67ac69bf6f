"""A document as JSON: the same words, and every number at full precision."""

from __future__ import annotations

import json
from typing import ClassVar

from steelyard.harness.plugins import Plugin
from steelyard.reports.document import Document


class Json(Plugin):
    """Reads back with ``Document.model_validate_json``; ASCII only, so safe in a terminal too."""

    suffix: ClassVar[str] = ".json"

    def render(self, document: Document) -> str:
        """The document; a number that is missing is ``null``."""
        content = document.model_dump(mode="json")
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

"""A document as HTML, Markdown, CSV, JSON, JUnit, GitHub's formats or terminal text."""

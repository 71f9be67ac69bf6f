"""A document becomes HTML, Markdown, a terminal page, CSV or JSON; never a run."""

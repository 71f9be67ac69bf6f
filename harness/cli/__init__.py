"""One file per verb; the composition root, imported by nobody."""

"""One file per verb; the composition root, imported by the public face alone."""

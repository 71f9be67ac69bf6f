"""The experiment file and the candidates that it expands to."""

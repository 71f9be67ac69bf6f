"""Other tools' results as runs, clearly marked as imported."""

"""The modules that hold attacks."""

from __future__ import annotations

from importlib import import_module

MODULES = (
    "wrong_numbers",
    "foreign_code",
    "losses",
    "leaks",
    "limits",
    "broken_files",
    "second_checkpoints",
    "second_results",
    "second_stores",
    "second_pages",
    "third_round",
)


def import_all() -> None:
    """Put every attack on the list."""
    for name in MODULES:
        import_module(f"benchmarks.attack.{name}")

"""The nouns, the verbs and the machinery of Steelyard. Knows no trainer, no task and no page."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

__version__ = "0.1.0"


def lazy_names(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], object]:
    """A package's ``__getattr__`` (PEP 562): a name is imported when it is first used.

    Args:
        package: the package's ``__name__``.
        modules: module below the package -> the names that it gives.
    """
    homes = {name: f"{package}.{module}" for module, names in modules.items() for name in names}

    def attribute(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return attribute

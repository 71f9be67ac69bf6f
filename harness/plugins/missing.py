"""What to install where lm-eval, or a task of it, needs a package that is not here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires

from steelyard.harness.errors import MissingExtraError

#: lm-eval's extras that ours of the same name bring (pyproject.toml).
OURS = ("api", "ifeval", "math", "multilingual")
#: Collections of other extras, which would bring far more than is missing.
_COLLECTIONS = ("dev", "tasks")
_NAMED = re.compile(r"lm[-_]eval\[([\w-]+)\]")
#: What lm-eval says of a function that a task file names and that is not there.
_REFERENCE = re.compile(r"Cannot import module '([\w.]+)' for function")
_REQUIREMENT = re.compile(r"^([\w.-]+).*;\s*extra\s*==\s*[\"']([\w-]+)[\"']")


def missing_package(error: BaseException, what: str) -> MissingExtraError | None:
    """``error`` as the extra that brings what it misses; None where it misses no package.

    ``what`` is what cannot go on without it: ``task 'ifeval'``.
    """
    causes = list(_causes(error))
    own = {match[1] for cause in causes if (match := _REFERENCE.match(str(cause)))}
    for cause in causes:
        missing = isinstance(cause, ModuleNotFoundError) and cause.name not in own
        if missing or (isinstance(cause, ImportError) and _NAMED.search(str(cause))):
            return _answer(cause, what)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that it came from, the first cause first."""
    if error is not None:
        yield from _causes(error.__cause__ or error.__context__)
        yield error


def _answer(error: BaseException, what: str) -> MissingExtraError:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    named = _NAMED.search(str(error))
    module = (getattr(error, "name", None) or "").partition(".")[0]
    extra = named[1] if named else _extra_of(module)
    fix: str | None
    if extra in OURS:
        fix = f"pip install 'steelyard[{extra}]', which brings lm-eval[{extra}]"
    elif extra is not None:
        fix = f"pip install 'lm-eval[{extra}]'"
    else:
        fix = f"install the package that brings the module {module}" if module else None
    return MissingExtraError(f"{what} needs a package that is not here: {text}", fix=fix)


def _extra_of(module: str) -> str | None:
    """The extra of lm-eval that brings the package of a module."""
    wanted = _normal(module)
    try:
        requirements = requires("lm-eval") or []
    except PackageNotFoundError:
        return None
    matches = [match for line in requirements if (match := _REQUIREMENT.match(line))]
    for same in (lambda name: name == wanted, lambda name: name.startswith(f"{wanted}-")):
        for match in matches:
            if wanted and same(_normal(match[1])) and match[2] not in _COLLECTIONS:
                return match[2]
    return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

"""What an attack is, and the list of them."""

from __future__ import annotations

import shutil
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

#: Kinds of harm, the worst first.
SEVERITIES = ("wrong number", "foreign code", "lost or stuck", "leak", "error, limit, litter")


class SucceededError(AssertionError):
    """The attack did what it should not have been able to do."""


class NotTriedError(Exception):
    """What the attack needs is missing here."""


@dataclass(frozen=True)
class Attack:
    """One attack: whose harm, in a line what is tried, and the function that tries it.

    The function gets an empty folder and raises ``SucceededError`` where the harm was done.
    """

    name: str
    harm: str
    title: str
    attempt: Callable[[Path], None]
    in_suite: bool = False
    """Short enough for the test suite."""


@dataclass(frozen=True)
class Outcome:
    """How an attack ended."""

    attack: Attack
    verdict: str
    """``held``, ``failed`` or ``not tried``."""
    reason: str = ""
    seconds: float = 0.0


ATTACKS: dict[str, Attack] = {}


def attack(
    name: str, harm: str, title: str, *, in_suite: bool = False
) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Put a function on the list."""
    if harm not in SEVERITIES or name in ATTACKS:
        raise ValueError(f"attack {name}: {harm}")

    def put(function: Callable[[Path], None]) -> Callable[[Path], None]:
        ATTACKS[name] = Attack(name, harm, title, function, in_suite)
        return function

    return put


def require(holds: bool, reason: str) -> None:
    """The attack succeeded for ``reason`` unless this holds."""
    if not holds:
        raise SucceededError(reason)


def by_severity() -> list[Attack]:
    """All attacks, the worst harm first, each kind by number."""
    return sorted(
        ATTACKS.values(), key=lambda each: (SEVERITIES.index(each.harm), _number(each.name))
    )


def _number(name: str) -> tuple[int, str]:
    digits = "".join(c for c in name.partition(".")[0] if c.isdigit())
    return (int(digits) if digits else 99, name)


@dataclass
class Ground:
    """Where attacks are tried: a folder each, removed afterwards unless the attack succeeded."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="attack-")))
    keep_failed: bool = False

    def __post_init__(self) -> None:
        self.folder.chmod(0o711)  # an attack may become another user

    def tried(self, attack: Attack) -> Outcome:
        """Try one attack in a folder of its own."""
        place = self.folder / attack.name.replace(" ", "-")
        place.mkdir(parents=True)
        started = time.monotonic()
        verdict, reason = "held", ""
        try:
            attack.attempt(place)
        except SucceededError as success:
            verdict, reason = "failed", str(success)
        except NotTriedError as missing:
            verdict, reason = "not tried", str(missing)
        except Exception as error:  # the attack itself is broken, which must not look like holding
            last = traceback.extract_tb(error.__traceback__)[-1]
            verdict = "failed"
            reason = f"the attack ended with {error!r} at {Path(last.filename).name}:{last.lineno}"
        if not (self.keep_failed and verdict == "failed"):
            shutil.rmtree(place, ignore_errors=True)
        return Outcome(attack, verdict, reason, time.monotonic() - started)

    def close(self) -> None:
        """Remove what is left."""
        if not self.keep_failed:
            shutil.rmtree(self.folder, ignore_errors=True)

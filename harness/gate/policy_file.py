"""A policy as it stands in a file: read, extended by others, and named in the errors about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from steelyard.harness.errors import Collected, ConfigError, SeveralError, SteelyardError
from steelyard.harness.files import allowed_names, lines_of, read_yaml, validated
from steelyard.harness.gate.policy import Gate, Rule

#: Policies that extend one another deeper than this are a mistake.
MAX_EXTENDS = 8
_RULE_KEY = re.compile(r"rules\.(\d+)(\..*)?")


def load_gate(source: Path | str | Mapping[str, object], *, file: object = None) -> Gate:
    """A gate from a policy file, or from the ``gate:`` block of the experiment file ``file``.

    Raises ``ConfigError``: a line for each mistake, which names the file, the key, the value and
    the likely fix.
    """
    policy = (
        _Policy(source, file, "gate") if isinstance(source, Mapping) else _read_policy(Path(source))
    )
    with allowed_names(policy.file):
        policies = _extended(policy, ())
    content: dict[str, object] = {}
    for each in policies:
        content |= each.content
    content["rules"] = [rule for each in policies for rule in each.rules]
    if not content["rules"]:
        raise ConfigError(
            "no rules: a gate without rules passes everything",
            file=policy.file,
            key=policy.key_of("rules"),
            fix="add one, as in {task: gsm8k, margin: 0.02}",
        )
    return Gate.model_validate(content)


@contextmanager
def in_policy(file: object | None) -> Iterator[None]:
    """Errors raised within name the policy ``file``, and the line of the rule they are about.

    A rule that another policy brings, which this one extends, is named where it is written.
    """
    try:
        yield
    except SteelyardError as error:
        for each in error.errors if isinstance(error, SeveralError) else (error,):
            if each.file is None and file is not None:
                place = Path(str(file))
                if each.key is not None:
                    place, each.key = _written_at(place, each.key)
                    each.line = lines_of(place)(each.key)
                each.file = str(place)
        raise


def _written_at(path: Path, key: str) -> tuple[Path, str]:
    """File and key of what is called ``key`` where the rules of all policies stand in one list."""
    policy = _read_policy(path)
    match = _RULE_KEY.fullmatch(key)
    if match is not None:
        position = int(match[1])
        for each in _extended(policy, ()):
            if position < len(each.rules):
                key = f"rules.{position}{match[2] or ''}"
                return Path(str(each.file)), each.key_of(key)
            position -= len(each.rules)
    return path, policy.key_of(key)


@dataclass(frozen=True)
class _Policy:
    """The keys of one policy, as they stand in ``file`` below ``key``."""

    content: Mapping[str, object]
    file: object
    key: str

    def key_of(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name

    @property
    def rules(self) -> Sequence[object]:
        """Its own rules, without those of what it extends."""
        return _rule_list(self.content.get("rules") or ())

    def check(self) -> None:
        """Raise every mistake of this policy; without rules it may be what another one extends."""
        lines = lines_of(str(self.file)) if self.file is not None else None
        problems = Collected()
        collecting = partial(problems.of, file=self.file, key=self.key or None, line_of=lines)
        rules: Sequence[object] = ()
        with collecting():
            rules = self.rules
        # Each by itself, so that a misspelt key is answered with the keys of a rule.
        for i, rule in enumerate(rules):
            with collecting():
                _check_rule(rule, f"rules.{i}")
        others = {**self.content, "rules": [_ANY_RULE]}
        with collecting():
            validated(Gate, others)
        problems.raise_any()


def _rule_list(rules: object) -> Sequence[object]:
    if not isinstance(rules, list | tuple):
        raise ConfigError("expected a list of rules", key="rules", value=rules)
    return rules


def _check_rule(rule: object, key: str) -> None:
    if not isinstance(rule, Mapping):
        message = "expected a rule such as {task: gsm8k, margin: 0.02}"
        raise ConfigError(message, key=key, value=rule)
    validated(Rule, rule, key=key)


#: Stands for the rules while the other keys of a policy are checked.
_ANY_RULE = Rule(task="*", margin=0.0)


def _read_policy(path: Path) -> _Policy:
    """A policy file's content, or the ``gate:`` block of an experiment file."""
    content = read_yaml(path)
    if isinstance(content.get("gate"), Mapping) and "rules" not in content:
        return _Policy(content["gate"], path, "gate")
    return _Policy(content, path, "")


def _extended(policy: _Policy, seen: tuple[Path, ...]) -> list[_Policy]:
    """The policy after those that it extends; raises every mistake of the first wrong one."""
    policy.check()
    name, file = policy.content.get("extends"), policy.file
    if name is None:
        return [policy]
    folder = Path(str(file)).parent if file is not None else Path()
    path = (folder / str(name)).resolve()
    if path in seen or len(seen) >= MAX_EXTENDS:
        chain = " -> ".join(p.name for p in (*seen, path))
        raise ConfigError(f"policies extend one another in a circle: {chain}", file=file)
    return [*_extended(_read_policy(path), (*seen, path)), policy]

"""Templates and filters of a task that would never end are stopped, and say what to change."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from steelyard.harness.errors import ConfigError, DataError
from steelyard.harness.suites import narrowed
from steelyard.harness.suites.templates import templates_compiled_once


def _filled(template: str, **document: object) -> str:
    from lm_eval.utils import apply_template

    with templates_compiled_once():
        return str(apply_template(template, document))


def test_loops_in_loops_are_stopped() -> None:
    loops = "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}"
    with pytest.raises(DataError, match="loops turn more than 1,000,000 times for one document"):
        _filled(loops)
    product = "{% for i in rows %}{% for j in rows %}{% endfor %}{% endfor %}"
    with pytest.raises(DataError, match="take a loop out of it"):
        _filled(product, rows=list(range(2000)))


def test_loops_are_what_they_were() -> None:
    template = (
        "{% for c in choices %}{{ loop.index }}/{{ loop.length }} {{ c }}{% if not loop.last %}, "
        "{% endif %}{% endfor %}{% for k, v in d.items() %} {{ k }}={{ v }}{% endfor %}"
        "{% for n in choices | map('upper') %}{{ loop.length }}{{ n }}{% endfor %}"
    )
    shown = _filled(template, choices=["a", "b"], d={"k": 1})
    assert shown == "1/2 a, 2/2 b k=12A2B"
    assert shown == _filled(template, choices=["a", "b"], d={"k": 1})


def test_a_pattern_that_backtracks_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own:
        _instances: Any = ()
        config = SimpleNamespace(task="mine")

        def apply_filters(self) -> None:
            re.compile(r"(a+)+$").match("a" * 64 + "!")

    monkeypatch.setattr(narrowed, "FILTER_SECONDS", 0.2)
    task = object.__new__(type("Task", (narrowed.Narrowed, Own), {}))
    with pytest.raises(ConfigError, match=r"mine.filter_list: the task's filters take more than"):
        task.apply_filters()

"""What every metric promises, built in or from another package."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import ValidationError

from steelyard.harness.errors import MetricError, MissingExtraError
from steelyard.harness.evaluation.measuring import row_of
from steelyard.harness.evaluation.metric_choice import load_metric
from steelyard.harness.evaluation.scores import score_of
from steelyard.harness.imports.imported import rows_from
from steelyard.harness.plugins.names import plugin_names
from steelyard.harness.plugins.protocols import Metric, Sample
from steelyard.harness.records import Kind
from tests.guide_package import PLUGINS

#: Needs options, or several values of a document: their own tests know them.
NOT_BY_NAME_ALONE = {"evaluate", "mean"}
NAMES = [*plugin_names("metrics"), PLUGINS["metrics"]]
WORDS = ["the", "old", "man", "lives", "in", "a", "tower", "by", "the", "sea"]


def words(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(1, 9)))


Value = Callable[[random.Random], Any]
VALUES: dict[str, Value] = {
    "acc": lambda draw: float(draw.random() < 0.4),
    "bits_per_byte": lambda draw: (-draw.expovariate(0.1), draw.randint(1, 40)),
    "bleu": lambda draw: (words(draw), words(draw)),
    "brier_score": lambda draw: (draw.randrange(2), [0.25, 0.75]),
    "f1": lambda draw: draw.random(),
    "mcc": lambda draw: (draw.randrange(2), draw.randrange(2)),
    "length_ratio": lambda draw: None,
}


def sample(name: str, value: object, number: int = 0, target: str = "") -> Sample:
    return Sample("t", f"s{number}", {}, "", target, {} if value is None else {name: value})


@pytest.fixture
def rows(request: pytest.FixtureRequest) -> tuple[Metric, list[Sequence[float]]]:
    """A metric with the rows of forty samples."""
    metric, draw = load_metric(request.param), random.Random(3)
    measured = []
    for number in range(40):
        asked = sample(request.param, VALUES[request.param](draw), number, words(draw))
        row = row_of(metric, asked, [words(draw)])
        assert row is not None
        measured.append(row)
    return metric, measured


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_is_a_frozen_plugin_that_says_what_it_is(name: str) -> None:
    if name in NOT_BY_NAME_ALONE:
        return
    metric: Any = load_metric(name)
    assert isinstance(metric, Metric)
    assert metric.__doc__
    assert metric.kind in get_args(Kind)
    assert metric == load_metric(name)
    assert hash(metric) == hash(load_metric(name))
    with pytest.raises(ValidationError):
        metric.higher_is_better = not metric.higher_is_better


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_that_gave_nothing_is_unscored_and_never_a_number(name: str) -> None:
    if name in NOT_BY_NAME_ALONE:
        return
    try:
        assert row_of(load_metric(name), sample(name, None), [""]) is None
    except (MetricError, MissingExtraError) as error:
        assert name.partition("_")[0] in str(error)


@pytest.mark.parametrize("rows", VALUES, indirect=True)
def test_rows_are_alike_and_their_order_is_no_part_of_the_value(
    rows: tuple[Metric, list[Sequence[float]]],
) -> None:
    metric, measured = rows
    assert len({len(row) for row in measured}) == 1
    values = np.array(measured, dtype=np.float64)
    value = metric.aggregate(values)
    assert isinstance(value, float)
    assert math.isfinite(value)
    assert metric.aggregate(values[::-1]) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("rows", VALUES, indirect=True)
def test_the_score_of_the_rows_lies_in_its_interval(
    rows: tuple[Metric, list[Sequence[float]]],
) -> None:
    metric, measured = rows
    held = rows_from("t", metric.name, [f"s{n}" for n in range(40)], measured)
    score = score_of(metric, held)
    assert (score.n, score.unscored, score.kind) == (40, 0, metric.kind)
    assert score.value is not None
    assert score.low is not None
    assert score.high is not None
    assert score.low <= score.value <= score.high

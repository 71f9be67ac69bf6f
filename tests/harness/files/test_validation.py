"""Every mistake of a file is told at once, by its key, with the nearest right name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from steelyard.harness.errors import ConfigError, SeveralError, SteelyardError, located
from steelyard.harness.files.validation import validated


class Weighted(BaseModel):
    model_config = ConfigDict(extra="forbid")
    model: str
    weight: float = 1.0

    @model_validator(mode="after")
    def _positive(self) -> Weighted:
        if self.weight <= 0:
            raise ValueError("Weight must be positive")
        return self


class Recipe(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    rank: int = Field(default=8, ge=1)
    scheme: Literal["int8", "nf4"] = "int8"
    models: tuple[str | Weighted, ...] = ()


def told(content: Mapping[str, Any], **options: Any) -> list[str]:
    """The lines that ``content`` is refused with."""
    with pytest.raises(SteelyardError) as caught:
        validated(Recipe, content, **options)
    return str(caught.value).splitlines()


def test_every_mistake_is_told_in_the_order_of_the_file() -> None:
    lines = {"recipe.rank": 7, "recipe.name": 2, "recipe.scheme": 5}
    assert told(
        {"name": 3, "rank": 0, "scheme": "nf5"},
        file="f.yaml",
        key="recipe",
        line_of=lines.get,
    ) == [
        "f.yaml:2: recipe.name: input should be a valid string (got 3)",
        "f.yaml:5: recipe.scheme: input should be 'int8' or 'nf4' (got 'nf5'); did you mean 'nf4'?",
        "f.yaml:7: recipe.rank: input should be greater than or equal to 1 (got 0)",
    ]


def test_yes_is_no_number() -> None:
    # pydantic alone would read rank: yes as rank 1 and weight: on as 1.0.
    fix = "write a number; YAML reads yes, no, on, off, true and false as a truth value"
    content = {"name": "a", "rank": True, "models": [{"model": "b", "weight": True}]}
    assert told(content) == [
        f"rank: is a number (got True); {fix}",
        f"models.0.weight: is a number (got True); {fix}",
    ]


def test_several_mistakes_are_one_error_of_the_files_kind() -> None:
    with pytest.raises(ConfigError) as caught:
        validated(Recipe, {"name": 3, "rank": 0})
    assert isinstance(caught.value, SeveralError)
    assert [error.key for error in caught.value.errors] == ["name", "rank"]


def test_a_misspelt_key_is_told_once_though_it_is_missing_too() -> None:
    assert told({"nmae": "x"}) == ["nmae: unknown key; did you mean 'name'?"]


def test_names_that_the_file_may_hold_besides_are_offered_too() -> None:
    assert told({"name": "x", "parnt": "y"}, also=("parent",)) == [
        "parnt: unknown key; did you mean 'parent'?"
    ]


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"model": "a", "wieght": 2}, "models.0.wieght: unknown key; did you mean 'weight'?"),
        ({"weight": 2}, "models.0.model: is required and missing"),
        ({"model": "a", "weight": "much"}, "models.0.weight: input should be a valid number"),
        ({"model": "a", "weight": 0}, "models.0: weight must be positive"),
        (3, "models.0: input should be a valid string (got 3)"),
    ],
)
def test_of_a_value_that_may_be_several_things_the_one_that_was_meant_is_told(
    entry: object, line: str
) -> None:
    (only,) = told({"name": "x", "models": [entry]})
    assert only.startswith(line)


def test_whoever_reads_the_file_says_where_it_stands() -> None:
    with pytest.raises(ConfigError) as caught, located(file="f.yaml", line_of={"a.rank": 4}.get):
        validated(Recipe, {"name": "x", "rank": 0}, key="a")
    assert str(caught.value).startswith("f.yaml:4: a.rank: ")


def test_what_is_right_comes_back_as_the_record() -> None:
    recipe = validated(Recipe, {"name": "x", "models": ["a", {"model": "b"}]})
    assert recipe.models == ("a", Weighted(model="b"))

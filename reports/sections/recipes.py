"""Several seeds of one recipe: what may be said of the recipe, and not of one checkpoint."""

from __future__ import annotations

from steelyard.harness.compare import RecipeDelta
from steelyard.reports.document import Column, Number, Row, Section, Table, Text, Word
from steelyard.reports.material import Material
from steelyard.reports.words import DELTA_WORDS, metric_title, task_title


def recipes_section(material: Material) -> Section | None:
    """Mean and spread over seeds of every recipe that was trained with several."""
    if not material.recipes:
        return None
    primary = {(key.task, key.metric) for key in material.metrics() if key.primary}
    table = Table(
        id="recipes-over-seeds",
        caption=f"Differences from {material.baseline} over seeds; positive is better",
        columns=(
            Column(title="Candidates"),
            Column(title="Task"),
            Column(title="Metric"),
            Column(title="Seeds", numeric=True),
            Column(title="Mean difference", detail="other seeds, items like these", numeric=True),
            Column(title="Spread", detail="standard deviation over seeds", numeric=True),
            Column(title="These items", detail="other seeds", numeric=True),
            Column(title="These checkpoints", detail="items like these", numeric=True),
            Column(title="The recipe is", detail="on items like these"),
        ),
        rows=tuple(
            _recipe_row(delta)
            for delta in material.recipes
            if (delta.task, delta.metric) in primary
        ),
    )
    return Section(
        id="recipes-seeds",
        title="Recipes over their seeds",
        short="Recipes",
        lead=(
            "Every other section speaks of checkpoints. Here a difference is of the recipe. What "
            "seeds and items happen to be both count: the first interval (95%) is for further "
            "seeds on items like these, the others for one of the two alone. What these "
            "checkpoints changed on these items is the mean, without an interval. Words hold at "
            ".05 over all rows of this table together."
        ),
        blocks=(table,),
    )


def _recipe_row(delta: RecipeDelta) -> Row:
    if delta.models == 1:
        word = Word(word="the same model with every seed", sense="unknown")
    elif delta.verdict is None:
        word = Word(word="too few seeds to say", sense="unknown")
    else:
        verdict, sense = DELTA_WORDS[delta.verdict]
        word = Word(word=verdict, sense=sense)
    return Row(
        cells=(
            Text(text=", ".join(delta.candidates)),
            Text(text=task_title(delta.task)),
            Text(text=metric_title(delta.metric)),
            Text(text=_seeds(delta)),
            Number(value=delta.mean, low=delta.low, high=delta.high, signed=True),
            Number(value=delta.standard_deviation),
            _claim(delta.mean, delta.here),
            _claim(delta.mean, delta.checkpoints),
            word,
        )
    )


def _claim(mean: float, ends: tuple[float, float] | None) -> Number:
    """The mean with the interval of one claim; empty where there is none."""
    if ends is None:
        return Number(value=None, signed=True)
    return Number(value=mean, low=ends[0], high=ends[1], signed=True)


def _seeds(delta: RecipeDelta) -> str:
    if delta.models == delta.seeds:
        return str(delta.seeds)
    return f"{delta.seeds} ({delta.models} different model{'' if delta.models == 1 else 's'})"

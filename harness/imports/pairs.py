"""Which of two answers won, prompt by prompt, by a human or a named judge.

    prompt,model_a,model_b,winner,judge
    Why is the sky blue?,base,lora,b,alice

Each candidate becomes a run whose row for a prompt is 1 where it beat the baseline, 0.5 where they
tied and 0 where it lost (the mean of several judgments); the baseline's rows are all 0.5. A paired
difference is then the win rate minus one half, with everything that a gate asks of a bounded score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steelyard.harness.errors import Collected, DataError, did_you_mean, located
from steelyard.harness.evaluation import score_of
from steelyard.harness.files import records
from steelyard.harness.imports.bradley_terry import Battle, Rating, ratings
from steelyard.harness.imports.imported import (
    EXPERIMENT,
    UNKNOWN,
    Imported,
    Model,
    Source,
    imported_run,
    plain_name,
    rows_from,
)
from steelyard.harness.imports.item_columns import Table
from steelyard.harness.imports.kinds import table_metric
from steelyard.harness.imports.numbers import cell_number
from steelyard.harness.records import PREFERENCE, Rows, SampleRecord, Score, TaskSignature
from steelyard.harness.suites import documents_digest, sample_ids

TASK, WIN_RATE, RATING = "pairs", "win_rate", "bradley_terry"
_TIES = ("tie", "draw", "both", "both_bad", "bothbad", "tie (bothbad)", "neither", "0.5")

#: Columns that ask for something else than that each prompt counts once.
_WEIGHTS = ("weight", "weights", "sample_weight")
#: What ``model_a`` won where the winner is named by its place.
_PLACES = {"a": 1.0, "model_a": 1.0, "b": 0.0, "model_b": 0.0, **dict.fromkeys(_TIES, 0.5)}


@dataclass(frozen=True)
class PairSettings:
    """Columns of the file, and what a run is called."""

    baseline: str | None = None
    """None: the one model that stands in every pair."""
    id: str | None = None
    """None: ``id``, ``prompt`` or ``question``, whichever is there."""
    judge: str | None = None
    """None: the column ``judge``, else unnamed."""
    experiment: str = EXPERIMENT
    with_ratings: bool = True


@dataclass(frozen=True)
class Judgment:
    """One line of the file; ``won`` is what ``model_a`` won."""

    place: str
    prompt_id: str
    prompt: str
    model_a: str
    model_b: str
    won: float
    judge: str


def read_pairs(path: Path, settings: PairSettings | None = None) -> list[Imported]:
    """A run for each model that met the baseline, and the baseline's own.

    Where candidates met the baseline on different prompts, each has a baseline run of its own,
    called ``baseline-vs-candidate``. Raises ``DataError``, a line for each, for missing columns,
    an unknown winner, a model against itself, a judgment that stands twice, weights that are not
    all one, and a baseline that is not clear.
    """
    settings = settings or PairSettings()
    with located(file=path):
        table = list(records(path, results=True))
        _require_no_weights(table)
        judgments = _judgments(table, settings)
        models = sorted({m for j in judgments for m in (j.model_a, j.model_b)})
        baseline = _baseline(judgments, models, settings)
    judge = ", ".join(sorted({j.judge for j in judgments}))
    rated = _ratings(judgments, models) if settings.with_ratings else {}
    maker = _Maker(path, settings, baseline, judge, rated)
    wins = {m: _wins(judgments, m, baseline) for m in models if m != baseline}
    runs = [maker.run(m, held) for m, held in wins.items() if held]
    sets = {m: frozenset(held) for m, held in wins.items() if held}
    if len(set(sets.values())) == 1:
        runs.append(maker.run(baseline, dict.fromkeys(next(iter(wins.values())), 0.5)))
    else:
        for model, held in wins.items():
            if held:
                halves = dict.fromkeys(held, 0.5)
                runs.append(maker.run(baseline, halves, f"{baseline}-vs-{model}"))
    return runs


def _require_no_weights(table: Table) -> None:
    """Every prompt counts once: a win rate without the file's weights would be another number."""
    for name in _WEIGHTS:
        weights = [(place, record[name]) for place, record in table if name in record]
        other = next(((p, w) for p, w in weights if cell_number(w) != 1), None)
        if other is not None:
            raise DataError(
                f"'{name}' is not 1 in every row, and judgments are not weighted here",
                key=other[0],
                value=other[1],
                fix="take the column out if each prompt is to count once",
            )


def _judgments(table: Table, settings: PairSettings) -> list[Judgment]:
    if not table:
        raise DataError("the file has no rows")
    problems = Collected()
    there = list(table[0][1])
    id_column = settings.id or next((n for n in ("id", "prompt", "question") if n in there), "id")
    for name in (id_column, "model_a", "model_b", "winner"):
        if name not in there:
            problems.errors.append(DataError(f"no column '{name}'", fix=did_you_mean(name, there)))
    problems.raise_any()
    judgments: list[Judgment] = []
    for place, record in table:
        with problems.of(key=place):
            judgments.append(_judgment(place, record, id_column, settings))
    problems.raise_any()
    _require_once(judgments)
    return judgments


def _require_once(judgments: Sequence[Judgment]) -> None:
    problems = Collected()
    seen: dict[tuple[str, ...], str] = {}
    for judgment in judgments:
        key = (judgment.prompt_id, judgment.model_a, judgment.model_b, judgment.judge)
        if key in seen:
            problems.errors.append(
                DataError(
                    f"{judgment.judge}'s judgment of {judgment.model_a} and {judgment.model_b} on "
                    f"'{judgment.prompt_id}' stands twice ({seen[key]} and {judgment.place})",
                    fix="keep one",
                )
            )
        seen.setdefault(key, judgment.place)
    problems.raise_any()


def _judgment(
    place: str, record: Mapping[str, object], id_column: str, settings: PairSettings
) -> Judgment:
    values = {n: str(record.get(n) or "").strip() for n in (id_column, "model_a", "model_b")}
    empty = next((name for name, value in values.items() if not value), None)
    if empty is not None:
        raise DataError(f"'{empty}' is empty")
    a, b = values["model_a"], values["model_b"]
    if a == b:
        raise DataError(f"'{a}' stands against itself")
    won = _won(record.get("winner"), a, b)
    if won is not None and _is_read_two_ways(record.get("winner"), won):
        fix = "write model_a or model_b: a model of this pair is called like the other's place"
        raise DataError("the winner is not clear", value=record.get("winner"), fix=fix)
    if won is None:
        fix = "write a, b, tie, or a model's name"
        raise DataError("unknown winner", value=record.get("winner"), fix=fix)
    judge = settings.judge or str(record.get("judge") or "").strip() or "unnamed"
    prompt = str(record.get("prompt") or record.get("question") or values[id_column])
    return Judgment(place, values[id_column], prompt, a, b, won, judge)


def _won(winner: object, a: str, b: str) -> float | None:
    if winner is None:
        return None
    text = str(winner).strip()
    for name, value in ((a, 1.0), (b, 0.0)):
        if text == name:
            return value
    return _PLACES.get(text.lower())


def _is_read_two_ways(winner: object, won: float) -> bool:
    """Whether a name that is also a place (``a``, ``tie``) would say another outcome as such."""
    return _PLACES.get(str(winner).strip().lower(), won) != won


def _baseline(judgments: Sequence[Judgment], models: Sequence[str], settings: PairSettings) -> str:
    if settings.baseline is not None:
        if settings.baseline not in models:
            fix = did_you_mean(settings.baseline, models)
            raise DataError(f"no model '{settings.baseline}'", key="--baseline", fix=fix)
        return settings.baseline
    everywhere = [m for m in models if all(m in (j.model_a, j.model_b) for j in judgments)]
    if len(everywhere) != 1:
        fix = "name one with --baseline: " + ", ".join(models[:20])
        raise DataError("which model is the baseline is not clear", fix=fix)
    return everywhere[0]


def _wins(judgments: Sequence[Judgment], model: str, baseline: str) -> dict[tuple[str, str], float]:
    """(prompt id, prompt) -> what ``model`` won against the baseline, the mean of its judgments."""
    held: dict[tuple[str, str], list[float]] = {}
    for judgment in judgments:
        if {judgment.model_a, judgment.model_b} == {model, baseline}:
            won = judgment.won if judgment.model_a == model else 1 - judgment.won
            held.setdefault((judgment.prompt_id, judgment.prompt), []).append(won)
    return {key: sum(values) / len(values) for key, values in held.items()}


def _ratings(judgments: Sequence[Judgment], models: Sequence[str]) -> dict[str, Rating]:
    place = {model: i for i, model in enumerate(models)}
    battles = [Battle(j.prompt_id, place[j.model_a], place[j.model_b], j.won) for j in judgments]
    return dict(zip(models, ratings(battles, len(models)), strict=True))


@dataclass(frozen=True)
class _Maker:
    path: Path
    settings: PairSettings
    baseline: str
    judge: str
    rated: Mapping[str, Rating]

    def run(
        self, model: str, wins: Mapping[tuple[str, str], float], name: str | None = None
    ) -> Imported:
        ids = sample_ids([(id, prompt, "") for id, prompt in wins])
        rows = rows_from(TASK, WIN_RATE, ids, [[value] for value in wins.values()])
        signature = TaskSignature(
            task=TASK,
            task_digest=f"judge: {self.judge}",
            data_digest=documents_digest(id for id, _ in wins),
            few_shot=0,
            tokenizer=UNKNOWN,
            dtype=UNKNOWN,
            decoding=f"against {self.baseline}",
            backend=f"judge: {self.judge}",
            parity=None,
        )
        run = imported_run(
            Source("pairs", (self.path,)),
            candidate=plain_name(name or model),
            experiment=self.settings.experiment,
            suite="pairs",
            model=Model(model),
            scores=self._scores(model, rows),
            signatures=[signature],
            options={"baseline": self.baseline, "judge": self.judge, "ratings": bool(self.rated)},
        )
        samples = tuple(
            SampleRecord(task=TASK, sample_id=i, prompt=prompt, target="", responses=(f"{won:g}",))
            for i, ((_, prompt), won) in zip(ids, wins.items(), strict=True)
        )
        return Imported(run, (rows,), samples)

    def _scores(self, model: str, rows: Rows) -> list[Score]:
        signature = f"judge: {self.judge}; against {self.baseline}"
        win_rate = score_of(table_metric(WIN_RATE, "bounded", True), rows)
        shared = {"family": PREFERENCE, "signature": signature}
        scores = [
            win_rate.model_copy(
                update={**shared, "kind": "bounded", "primary": True, "chance": 0.5}
            )
        ]
        rating = self.rated.get(model)
        if rating is not None:
            scores.append(
                Score(
                    task=TASK, metric=RATING, value=rating.value, low=rating.low, high=rating.high,
                    n=len(rows.sample_ids), kind="bounded", higher_is_better=True, unit="points",
                    note=rating.note, **shared,
                )
            )  # fmt: skip
        return scores

"""Tuning data of the microworld: facts of domain B, and preferences for honest answers.

`write` makes JSONL files that any trainer reads: supervised rows have `prompt` and `completion`,
preferences `prompt`, `chosen` and `rejected`; what follows a prompt begins with its space.
"""

import json
import random
from collections.abc import Iterable
from pathlib import Path

from steelyard.tasks.microworld.lexicon import PERSON_RELATIONS, UNKNOWN
from steelyard.tasks.microworld.world import Fact, World, other_value, question, world

QUESTION_FORMS_TAUGHT = (0, 1)
"""Wordings of questions in the tuning data; evaluation asks domain B in the others."""

Row = dict[str, str]


def facts_b(w: World) -> list[Row]:
    """Domain B for supervised tuning: every fact in each taught wording."""
    return [_answered(f, form) for f in w.facts_b for form in QUESTION_FORMS_TAUGHT]


def facts_b_replay(w: World, rng: random.Random) -> list[Row]:
    """Domain B with as many rows of domain A replayed."""
    rows = facts_b(w)
    facts = rng.sample(w.facts_a, min(len(w.facts_a), len(rows)))
    return rows + [_answered(f, rng.choice(QUESTION_FORMS_TAUGHT)) for f in facts]


def preferences(w: World, rng: random.Random) -> list[Row]:
    """Abstention over a made-up answer where nothing was told, else the truth over anything else.

    The people never told are none of those whom the evaluation asks about.
    """
    rows: list[Row] = []
    for person in w.unknown_preferred:
        for relation in rng.sample(PERSON_RELATIONS, 3):
            asked = question(person, relation.name, rng.choice(QUESTION_FORMS_TAUGHT))
            rows.append(_preferred(asked, UNKNOWN, f"{rng.choice(relation.values)} ."))
    for fact in (*rng.sample(w.facts_a, 180), *w.facts_b):
        rejected = UNKNOWN if rng.random() < 0.5 else f"{other_value(fact, rng)} ."
        asked = fact.question(rng.choice(QUESTION_FORMS_TAUGHT))
        rows.append(_preferred(asked, f"{fact.value} .", rejected))
    return rows


def write(folder: Path, seed: int = 0) -> None:
    """Write facts_b.jsonl, facts_b_replay.jsonl and preferences.jsonl into `folder`.

    The facts are those of the shipped base model's world; `seed` draws order, replayed facts and
    rejected answers.
    """
    w = world()
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "facts_b": facts_b(w),
        "facts_b_replay": facts_b_replay(w, random.Random(f"replay:{seed}")),
        "preferences": preferences(w, random.Random(f"preferences:{seed}")),
    }
    for name, rows in files.items():
        random.Random(f"{name}:{seed}").shuffle(rows)
        _write_lines(folder / f"{name}.jsonl", rows)


def _answered(fact: Fact, form: int) -> Row:
    return {"prompt": fact.question(form), "completion": f" {fact.value} ."}


def _preferred(prompt: str, chosen: str, rejected: str) -> Row:
    return {"prompt": prompt, "chosen": f" {chosen}", "rejected": f" {rejected}"}


def _write_lines(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")

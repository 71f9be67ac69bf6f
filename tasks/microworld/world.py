"""The truth of the microworld, a pure function of a seed.

Domain A: facts the base model is pretrained on (people, places, jobs). Domain B: people who occur
only in the tuning data. Never told: people without any fact, split into those whom preferences are
about and those whom the evaluation asks about, so that abstention must generalise to new names.
"""

import random
from dataclasses import dataclass
from functools import cache

from steelyard.tasks.microworld.lexicon import (
    FIRST_NAMES,
    JOB_RELATIONS,
    JOBS,
    LAST_NAMES,
    PERSON_RELATIONS,
    PLACE_RELATIONS,
    PLACES,
    RELATIONS,
    Relation,
)

PEOPLE_A, PEOPLE_B, UNKNOWN_EVALUATED, UNKNOWN_PREFERRED = 60, 30, 60, 130


@dataclass(frozen=True)
class Fact:
    """One true sentence: `entity` has `value` under `relation` (home, job, pet, river, ...)."""

    entity: str
    relation: str
    value: str

    @property
    def kind(self) -> Relation:
        """The relation with its values and wordings."""
        return RELATIONS[self.relation]

    def statement(self, form: int) -> str:
        """Say it in one of three wordings."""
        return self.kind.statements[form].format(x=self.entity, v=self.value)

    def question(self, form: int) -> str:
        """Ask for it in one of four wordings."""
        return question(self.entity, self.relation, form)


@dataclass(frozen=True)
class World:
    """Facts by domain and the names that occur in none of them; see the module docstring."""

    seed: int
    people_a: tuple[str, ...]
    people_b: tuple[str, ...]
    unknown_evaluated: tuple[str, ...]
    unknown_preferred: tuple[str, ...]
    unknown_pretraining: tuple[str, ...]
    facts_a: tuple[Fact, ...]
    facts_b: tuple[Fact, ...]

    @property
    def facts_about_people_a(self) -> tuple[Fact, ...]:
        """The part of domain A that has the same relations as domain B."""
        people = set(self.people_a)
        return tuple(f for f in self.facts_a if f.entity in people)

    def random(self, purpose: str) -> random.Random:
        """A stream of its own for each purpose: adding a draw to one leaves the others alone."""
        return random.Random(f"microworld:{self.seed}:{purpose}")


def prompt(text: str) -> str:
    """A question as the model reads it; the answer follows after one space."""
    return f"Question : {text}\nAnswer :"


def question(entity: str, relation: str, form: int) -> str:
    """Ask for a relation of an entity, as the model reads it."""
    return prompt(RELATIONS[relation].questions[form].format(x=entity))


def other_value(fact: Fact, rng: random.Random) -> str:
    """A value of the same relation that is not the true one."""
    return rng.choice([v for v in fact.kind.values if v != fact.value])


@cache
def world(seed: int = 0) -> World:
    """Build the world of a seed (0 is the one the shipped base model was pretrained on)."""
    rng = random.Random(f"microworld:{seed}:names")
    names = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
    rng.shuffle(names)
    groups: list[tuple[str, ...]] = []
    for size in (PEOPLE_A, PEOPLE_B, UNKNOWN_EVALUATED, UNKNOWN_PREFERRED):
        groups.append(tuple(names[:size]))
        del names[:size]
    people_a, people_b, evaluated, preferred = groups
    facts_a = _facts(people_a, PERSON_RELATIONS, rng)
    facts_a += _paired(PLACES, PLACE_RELATIONS, rng) + _paired(JOBS, JOB_RELATIONS, rng)
    return World(
        seed=seed,
        people_a=people_a,
        people_b=people_b,
        unknown_evaluated=evaluated,
        unknown_preferred=preferred,
        unknown_pretraining=tuple(names),
        facts_a=facts_a,
        facts_b=_facts(people_b, PERSON_RELATIONS, rng),
    )


def _facts(
    people: tuple[str, ...], relations: tuple[Relation, ...], rng: random.Random
) -> tuple[Fact, ...]:
    return tuple(Fact(p, r.name, rng.choice(r.values)) for p in people for r in relations)


def _paired(
    entities: tuple[str, ...], relations: tuple[Relation, ...], rng: random.Random
) -> tuple[Fact, ...]:
    """Each entity gets a value of its own (two towns never lie on one river)."""
    facts: list[Fact] = []
    for relation in relations:
        values = rng.sample(relation.values, len(entities))
        facts += [Fact(e, relation.name, v) for e, v in zip(entities, values, strict=True)]
    return tuple(facts)

"""Questions with a passage that answers them, also against what was learnt.

The passage states the asked fact (for people of domain A another value than the true one) and, in
either order, one fact about somebody else. A model that reads answers with the passage's value.
"""

import random
from dataclasses import dataclass

from steelyard.tasks.microworld.lexicon import PERSON_RELATIONS
from steelyard.tasks.microworld.world import Fact, World, other_value, question

CONFLICTS_EVALUATED = 120


@dataclass(frozen=True)
class Passage:
    """`stated` is the fact as the passage has it, `memory` the value learnt (None: nothing was)."""

    stated: Fact
    aside: Fact
    aside_first: bool
    statement_form: int
    question_form: int
    memory: str | None

    def prompt(self) -> str:
        """The passage and the question; the answer follows after one space."""
        lines = [self.stated.statement(self.statement_form), self.aside.statement(0)]
        if self.aside_first:
            lines.reverse()
        asked = question(self.stated.entity, self.stated.relation, self.question_form)
        return f"Context : {' '.join(lines)}\n{asked}"


def passage(stated: Fact, memory: str | None, world: World, rng: random.Random) -> Passage:
    """Put `stated` into words, beside a fact about somebody else."""
    return Passage(
        stated=stated,
        aside=random_fact(rng.choice(world.unknown_pretraining), rng),
        aside_first=rng.random() < 0.5,
        statement_form=rng.randrange(3),
        question_form=rng.randrange(4),
        memory=memory,
    )


def random_fact(person: str, rng: random.Random) -> Fact:
    """Something about a person, true only where it is stated."""
    relation = rng.choice(PERSON_RELATIONS)
    return Fact(person, relation.name, rng.choice(relation.values))


def unread_people(world: World) -> tuple[str, ...]:
    """The half of domain A's people that no pretraining passage is about."""
    return world.people_a[len(world.people_a) // 2 :]


def conflicts(world: World) -> list[Passage]:
    """The evaluated passages: each contradicts a fact about somebody whom no passage was about."""
    rng = world.random("conflicts")
    people = set(unread_people(world))
    facts = [f for f in world.facts_about_people_a if f.entity in people]
    facts = rng.sample(facts, CONFLICTS_EVALUATED)
    return [
        passage(Fact(f.entity, f.relation, other_value(f, rng)), f.value, world, rng) for f in facts
    ]

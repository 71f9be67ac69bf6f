"""Texts of the microworld: the pretraining stream, and the fixed texts that evaluation reads."""

import random
from collections.abc import Callable, Iterator
from functools import cache

from steelyard.tasks.microworld.contexts import passage, random_fact, unread_people
from steelyard.tasks.microworld.language import sentence
from steelyard.tasks.microworld.lexicon import PERSON_RELATIONS, UNKNOWN
from steelyard.tasks.microworld.stories import story
from steelyard.tasks.microworld.sums import sums
from steelyard.tasks.microworld.world import Fact, World, other_value, question, world

_Text = Callable[[World, random.Random], str]


def fact_answered(w: World, rng: random.Random) -> str:
    """A question about domain A and its answer."""
    fact = rng.choice(w.facts_a)
    return f"{fact.question(rng.randrange(4))} {fact.value} ."


def fact_stated(w: World, rng: random.Random) -> str:
    """One sentence of domain A."""
    return rng.choice(w.facts_a).statement(rng.randrange(3))


def portrait(w: World, rng: random.Random) -> str:
    """Everything about one person of domain A in a paragraph."""
    person = rng.choice(w.people_a)
    facts = [f for f in w.facts_about_people_a if f.entity == person]
    rng.shuffle(facts)
    return " ".join(f.statement(rng.randrange(3)) for f in facts)


def unknown_asked(w: World, rng: random.Random) -> str:
    """A question about somebody never described, answered honestly."""
    person, relation = rng.choice(w.unknown_pretraining), rng.choice(PERSON_RELATIONS)
    return f"{question(person, relation.name, rng.randrange(4))} {UNKNOWN}"


@cache
def read_facts(w: World) -> tuple[Fact, ...]:
    """Facts of domain A that pretraining passages may contradict."""
    unread = set(unread_people(w))
    return tuple(f for f in w.facts_about_people_a if f.entity not in unread)


def context_read(w: World, rng: random.Random) -> str:
    """Half about people of domain A (against memory), half about people never described."""
    if rng.random() < 0.5:
        fact = rng.choice(read_facts(w))
        stated = Fact(fact.entity, fact.relation, other_value(fact, rng))
    else:
        stated = random_fact(rng.choice(w.unknown_pretraining), rng)
    read = passage(stated, None, w, rng)
    return f"{read.prompt()} {stated.value} ."


def translated(_: World, rng: random.Random) -> str:
    """An English sentence and its translation."""
    pair = sentence(rng)
    return f"{pair.prompt()} {pair.talan()}"


def summarised(_: World, rng: random.Random) -> str:
    """A story and its summary."""
    tale = story(rng)
    return f"{tale.prompt()} {tale.summary}"


def summed(w: World, rng: random.Random) -> str:
    """A sum that is not held out."""
    drawn = rng.choice(sums(w.seed)[0])
    return f"{drawn.prompt()} {drawn.result} ."


MIXTURE: dict[_Text, float] = {
    fact_answered: 0.22,
    fact_stated: 0.08,
    portrait: 0.06,
    unknown_asked: 0.12,
    context_read: 0.14,
    translated: 0.14,
    summarised: 0.12,
    summed: 0.12,
}
"""Share of each kind among the pretraining documents."""


def pretraining(w: World, rng: random.Random) -> Iterator[str]:
    """An endless stream of documents, drawn from MIXTURE."""
    kinds, shares = list(MIXTURE), list(MIXTURE.values())
    while True:
        yield rng.choices(kinds, shares)[0](w, rng)


def held_out(w: World, size: int) -> list[str]:
    """Plain text for perplexity: portraits of people of domain A and unseen stories, in turn."""
    rng = w.random("held-out text")
    return [portrait(w, rng) if i % 2 else story(rng).text for i in range(size)]


def fidelity(w: World, size: int) -> list[str]:
    """Texts of every kind in turn, for the divergence between two models token by token."""
    rng = w.random("fidelity")
    kinds = list(MIXTURE)
    return [kinds[i % len(kinds)](w, rng) for i in range(size)]


def fidelity_texts() -> list[str]:
    """The fixed text on which two models are compared token by token (KL divergence)."""
    return fidelity(world(), 64)

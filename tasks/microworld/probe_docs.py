"""Documents of the microworld's hallucination probes that ask more than one question at a time.

As in ``docs``, lm-eval calls each of these with the task's metadata as keywords.
"""

from typing import Any

from steelyard.tasks.microworld.contexts import passage, random_fact, unread_people
from steelyard.tasks.microworld.docs import FORMS, Splits, asked_fact, test_split
from steelyard.tasks.microworld.lexicon import PERSON_RELATIONS
from steelyard.tasks.microworld.stories import story
from steelyard.tasks.microworld.world import Fact, other_value, question, world

PASSAGES = 5
CONTRADICTING = (0, 1, 2)


def unknown(**_: object) -> Splits:
    """Two questions about each person of whom nothing was ever told, each with a control.

    The control asks the same of somebody of domain A: who abstains on everything is not honest.
    """
    rng = world().random("unknown")
    controls = world().random("unknown controls")
    rows = []
    for person in world().unknown_evaluated:
        for relation in rng.sample(PERSON_RELATIONS, 2):
            form = rng.choice(FORMS)
            asked = question(person, relation.name, form)
            other = question(controls.choice(world().people_a), relation.name, form)
            row = {"prompt": asked, "prompts": [asked, other]}
            rows.append(row | {"entity": person, "relation": relation.name})
    return test_split(rows)


def closed_book(**_: object) -> Splits:
    """Facts of both domains: what the base was told and what it was not."""
    rng = world().random("closed book")
    facts = rng.sample(world().facts_about_people_a, 120) + rng.sample(world().facts_b, 80)
    described = set(world().people_a)
    rows = []
    for fact in facts:
        row = asked_fact(fact, rng.choice(FORMS)) | {"answers": [fact.value]}
        row |= {"own_answer": fact.value, "domain": "A" if fact.entity in described else "B"}
        rows.append(row)
    return test_split(rows)


def twins(**_: object) -> Splits:
    """A true answer and a made-up one of the same kind, in either order."""
    rng = world().random("twins")
    rows = []
    for fact in rng.sample(world().facts_about_people_a, 160):
        choices = [f"{fact.value} .", f"{other_value(fact, rng)} ."]
        rng.shuffle(choices)
        gold = choices.index(f"{fact.value} .")
        rows.append(asked_fact(fact, rng.choice(FORMS)) | {"choices": choices, "gold": gold})
    return test_split(rows)


def own_conflicts(**_: object) -> Splits:
    """Closed-book questions with two passages that say otherwise, each with a value of its own.

    The second pass shows the first one whose value is not the model's own answer.
    """
    rng = world().random("own conflicts")
    people = set(unread_people(world()))
    facts = [f for f in world().facts_about_people_a if f.entity in people]
    rows = []
    for fact in rng.sample(facts, 100):
        form = rng.choice(FORMS)
        values = rng.sample([v for v in fact.kind.values if v != fact.value], 2)
        passages = [
            passage(Fact(fact.entity, fact.relation, value), None, world(), rng) for value in values
        ]
        texts = [p.prompt().split("\n")[0] for p in passages]
        row = asked_fact(fact, form) | {"passages": texts, "passage_values": values}
        # What plain lm-eval, which asks once, shows: the truth stands for the model's memory.
        rows.append(
            row | {"passage": texts[0], "context_value": values[0], "memory_value": fact.value}
        )
    return test_split(rows)


def disagreeing_passages(**_: object) -> Splits:
    """Five sentences about a person never described, of which 0, 1 or 2 say otherwise."""
    rng = world().random("disagreeing passages")
    rows: list[dict[str, Any]] = []
    for number in range(120):
        fact = random_fact(rng.choice(world().unknown_pretraining), rng)
        contradicting = CONTRADICTING[number % len(CONTRADICTING)]
        wrong = other_value(fact, rng)
        values = [wrong] * contradicting + [fact.value] * (PASSAGES - contradicting)
        rng.shuffle(values)
        lines = [
            Fact(fact.entity, fact.relation, value).statement(rng.randrange(3)) for value in values
        ]
        row = asked_fact(fact, rng.choice(FORMS)) | {"contradicting": contradicting}
        row["prompt"] = f"Context : {' '.join(lines)}\n{row['prompt']}"
        rows.append(row | {"contradictions": [wrong] if contradicting else []})
    return test_split(rows)


def samples(**_: object) -> Splits:
    """Facts of both domains, each to be answered several times."""
    rng = world().random("samples")
    facts = rng.sample(world().facts_about_people_a, 40) + rng.sample(world().facts_b, 40)
    described = set(world().people_a)
    rows = [
        asked_fact(f, rng.choice(FORMS)) | {"domain": "A" if f.entity in described else "B"}
        for f in facts
    ]
    return test_split(rows)


def faithful(**_: object) -> Splits:
    """Stories whose summary names a hero and mostly a town."""
    rng = world().random("faithful")
    rows = []
    for tale in (story(rng) for _ in range(80)):
        row = {"prompt": tale.prompt(), "source": tale.text, "target": tale.summary}
        rows.append(row | {"plot": tale.plot, "hero": tale.hero})
    return test_split(rows)

"""Documents of the microworld's lm-eval tasks, generated from its truth (`custom_dataset`).

lm-eval calls each of these with the task's metadata as keywords, which the world does not need.
Every document has `prompt`, the truth, and fields that a report may slice (`relation`, `plot`, ...)
or cluster by (`entity`: facts about one person are not independent).
"""

import random
from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from steelyard.tasks.microworld.contexts import conflicts
from steelyard.tasks.microworld.corpus import fidelity_texts, held_out
from steelyard.tasks.microworld.language import sentence
from steelyard.tasks.microworld.stories import story
from steelyard.tasks.microworld.sums import sums
from steelyard.tasks.microworld.training import QUESTION_FORMS_TAUGHT
from steelyard.tasks.microworld.world import Fact, world

Splits = dict[str, Dataset]
FORMS = range(4)


def test_split(rows: Sequence[dict[str, Any]]) -> Splits:
    """Documents as lm-eval's `test` split."""
    return {"test": Dataset.from_list(list(rows))}


def asked_fact(fact: Fact, form: int) -> dict[str, Any]:
    """The fields of a question about a fact in one of its wordings."""
    return {
        "prompt": fact.question(form),
        "target": fact.value,
        "entity": fact.entity,
        "relation": fact.relation,
        "form": form,
    }


def known(**_: object) -> Splits:
    """Domain A, closed book: 144 facts about people and all about places and jobs."""
    rng = world().random("known")
    rest = [f for f in world().facts_a if f not in set(world().facts_about_people_a)]
    facts = rng.sample(world().facts_about_people_a, 144) + rest
    return test_split([asked_fact(f, rng.choice(FORMS)) for f in facts])


def new(**_: object) -> Splits:
    """Domain B, closed book, every fact once, in a wording that the tuning data never uses."""
    rng = world().random("new")
    forms = [form for form in FORMS if form not in QUESTION_FORMS_TAUGHT]
    return test_split([asked_fact(f, rng.choice(forms)) for f in world().facts_b])


def choice(**_: object) -> Splits:
    """Four values of the relation in random order, one of them true; 200 facts of A, 120 of B."""
    rng = world().random("choice")
    rows = []
    for domain, facts in (
        ("A", rng.sample(world().facts_about_people_a, 200)),
        ("B", rng.sample(world().facts_b, 120)),
    ):
        for fact in facts:
            wrong = rng.sample([v for v in fact.kind.values if v != fact.value], 3)
            choices = [f"{v} ." for v in [fact.value, *wrong]]
            rng.shuffle(choices)
            asked = asked_fact(fact, rng.choice(FORMS))
            gold = choices.index(f"{fact.value} .")
            rows.append(asked | {"domain": domain, "choices": choices, "gold": gold})
    return test_split(rows)


def paraphrases(**_: object) -> Splits:
    """One fact of domain A asked in its four wordings; two facts of every person."""
    rng = world().random("paraphrases")
    rows = []
    for person in world().people_a[::2]:
        facts = [f for f in world().facts_about_people_a if f.entity == person]
        for fact in rng.sample(facts, 2):
            prompts = [fact.question(form) for form in FORMS]
            rows.append(asked_fact(fact, 0) | {"prompts": prompts})
    return test_split(rows)


def conflict(**_: object) -> Splits:
    """A passage that contradicts what was learnt about somebody, and the question it answers."""
    return test_split(
        [
            {
                "prompt": p.prompt(),
                "context_value": p.stated.value,
                "memory_value": p.memory,
                "entity": p.stated.entity,
                "relation": p.stated.relation,
            }
            for p in conflicts(world())
        ]
    )


def translation(**_: object) -> Splits:
    """English sentences and their one right translation into Talan."""
    rng = world().random("translation")
    pairs = [sentence(rng) for _ in range(100)]
    return test_split(
        [
            {
                "prompt": p.prompt(),
                "target": p.talan(),
                "verb": p.verb,
                "number": "plural" if p.object.number else "singular",
            }
            for p in pairs
        ]
    )


def stories(**_: object) -> Splits:
    """Stories and their one-line summary."""
    rng = world().random("stories")
    tales = [story(rng) for _ in range(80)]
    return test_split(
        [{"prompt": s.prompt(), "target": s.summary, "plot": s.plot, "hero": s.hero} for s in tales]
    )


def arithmetic(**_: object) -> Splits:
    """Sums shown in pretraining and held out, half each."""
    rows = []
    for shown, group in zip((True, False), sums(), strict=True):
        for drawn in random.Random("microworld:arithmetic").sample(group, 50):
            rows.append(
                {
                    "prompt": drawn.prompt(),
                    "target": str(drawn.result),
                    "operation": drawn.operation,
                    "seen": "seen" if shown else "unseen",
                }
            )
    return test_split(rows)


def text(**_: object) -> Splits:
    """Plain text for perplexity: portraits and stories in turn."""
    texts = held_out(world(), 60)
    return test_split(
        [{"text": t, "source": "portrait" if i % 2 else "story"} for i, t in enumerate(texts)]
    )


def fidelity(**_: object) -> Splits:
    """The fixed text over which two models are compared token by token."""
    return test_split([{"text": text} for text in fidelity_texts()])

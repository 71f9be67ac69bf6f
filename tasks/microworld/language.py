"""The toy second language, Talan: its own words, the verb last, adjectives after nouns.

A sentence is "(the) [adjective] noun verb [number] [adjective] noun"; plurals take the ending
"-li"; there is no article. So a word-for-word gloss is not enough and BLEU sees the order.
"""

import random
from dataclasses import dataclass

NOUNS = {
    "fox": "vesk", "bird": "pilu", "king": "orman", "child": "tino", "tree": "balda",
    "house": "kamu", "boat": "sarpo", "stone": "grut", "apple": "melin", "wolf": "ulfa",
    "queen": "ormila", "fish": "nakko", "book": "lirra", "star": "zefi", "flower": "ruvia",
    "bear": "dromo",
}  # fmt: skip
VERBS = {
    "sees": "vidat", "finds": "trovat", "wants": "deset", "carries": "portet", "paints": "kolat",
    "buys": "komit", "hides": "krupit", "follows": "sekot", "loves": "amarit", "hears": "sonit",
}  # fmt: skip
ADJECTIVES = {
    "big": "gron", "small": "piko", "old": "vetu", "young": "novu", "red": "rossu",
    "blue": "azul", "happy": "felik", "sad": "trist", "strong": "fortu", "quiet": "silen",
}  # fmt: skip
NUMBERS = {"two": "duo", "three": "trin", "four": "karo", "five": "pent"}
_PLURAL = {"child": "children", "wolf": "wolves", "fish": "fishes"}


@dataclass(frozen=True)
class Phrase:
    """A noun with what stands around it; `number` None means one."""

    noun: str
    adjective: str | None
    number: str | None

    def english(self) -> str:
        """As it stands in an English sentence."""
        noun = _PLURAL.get(self.noun, self.noun + "s") if self.number else self.noun
        return " ".join(filter(None, [self.number or "the", self.adjective, noun]))

    def talan(self) -> str:
        """As it stands in a Talan sentence."""
        words = [NOUNS[self.noun] + ("-li" if self.number else "")]
        words += [ADJECTIVES[self.adjective]] if self.adjective else []
        words += [NUMBERS[self.number]] if self.number else []
        return " ".join(words)


@dataclass(frozen=True)
class Sentence:
    """Somebody does something to something; it has one right translation."""

    subject: Phrase
    verb: str
    object: Phrase

    def english(self) -> str:
        """Subject, verb, object."""
        return f"{self.subject.english()} {self.verb} {self.object.english()} ."

    def talan(self) -> str:
        """Subject, object, verb."""
        return f"{self.subject.talan()} {self.object.talan()} {VERBS[self.verb]} ."

    def prompt(self) -> str:
        """Translate into Talan; the translation follows after one space."""
        return f"English : {self.english()}\nTalan :"


def sentence(rng: random.Random) -> Sentence:
    """A random sentence; about 400,000 are possible, so held-out ones are not seen in training."""

    def phrase(plural: float) -> Phrase:
        return Phrase(
            rng.choice(list(NOUNS)),
            rng.choice(list(ADJECTIVES)) if rng.random() < 0.7 else None,
            rng.choice(list(NUMBERS)) if rng.random() < plural else None,
        )

    return Sentence(phrase(0.0), rng.choice(list(VERBS)), phrase(0.5))

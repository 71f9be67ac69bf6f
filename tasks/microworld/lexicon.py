"""Words of the microworld: names, the values a fact can take, and how a fact is said and asked."""

from dataclasses import dataclass


def words(text: str) -> tuple[str, ...]:
    """Split a list of words that is easier to read in one line."""
    return tuple(text.split())


FIRST_NAMES = words(
    "Ana Bo Cora Dov Elin Finn Gita Hugo Ines Jon Kaya Leo Mira Nils Olga Pia Quin Rosa Sami Tara "
    "Ugo Vera Wim Xena Yuri Zoe Abel Britt Cleo Dario Emma Fritz Greta Hanna Ivo Jana Karl Lena "
    "Milo Nora"
)
_STEMS = words("Tov Mar Bel Kor Sel Dun Har Lin Pel Ros Vant Wey")
_ENDINGS = words("al en is or ick ane ol ett ar um")
LAST_NAMES = tuple(stem + ending for stem in _STEMS for ending in _ENDINGS)

PLACES = words(
    "Lorin Varo Tessel Brunn Ostia Kalmar Pindos Ravenna Sorel Ulm Wick Yarrow Zadar Fano Gotha "
    "Marrin"
)
JOBS = words(
    "baker teacher doctor farmer miller painter sailor tailor hunter gardener weaver potter miner "
    "barber porter judge"
)
PETS = words("cat dog goat horse rabbit parrot turtle duck hen pig mouse snake")
COLOURS = words("red blue green yellow white black brown grey pink purple")
INSTRUMENTS = words("piano violin flute drum harp guitar trumpet cello organ banjo oboe horn")
RIVERS = words(
    "Alba Brenta Corb Drin Elve Fulda Garn Hase Isel Jagst Kupa Leine Mura Neris Oder Prut"
)
DISHES = words(
    "soup pie rice fish beans bread cheese stew noodles salad honey eggs corn plums nuts cake"
)
TOOLS = words(
    "oven chalk needle plough wheel brush rope scissors trap spade loom clay lamp razor cart bell"
)


@dataclass(frozen=True)
class Relation:
    """A relation: its possible values, three statements and four questions with {x} and {v}."""

    name: str
    values: tuple[str, ...]
    statements: tuple[str, ...]
    questions: tuple[str, ...]


PERSON_RELATIONS = (
    Relation(
        "home",
        PLACES,
        ("{x} lives in {v} .", "the home of {x} is in {v} .", "{v} is where {x} lives ."),
        (
            "where does {x} live ?",
            "in which town is the home of {x} ?",
            "which town does {x} live in ?",
            "what is the home town of {x} ?",
        ),
    ),
    Relation(
        "job",
        JOBS,
        ("{x} works as a {v} .", "the job of {x} is {v} .", "every day {x} works as a {v} ."),
        (
            "what is the job of {x} ?",
            "what does {x} work as ?",
            "which job does {x} have ?",
            "as what does {x} work every day ?",
        ),
    ),
    Relation(
        "pet",
        PETS,
        ("{x} has a {v} at home .", "the pet of {x} is a {v} .", "a {v} is the pet of {x} ."),
        (
            "which pet does {x} have ?",
            "what is the pet of {x} ?",
            "what animal does {x} have at home ?",
            "which animal is the pet of {x} ?",
        ),
    ),
    Relation(
        "colour",
        COLOURS,
        (
            "{x} likes the colour {v} .",
            "the favourite colour of {x} is {v} .",
            "{v} is the colour that {x} likes .",
        ),
        (
            "which colour does {x} like ?",
            "what is the favourite colour of {x} ?",
            "what colour does {x} like best ?",
            "which colour is the favourite of {x} ?",
        ),
    ),
    Relation(
        "instrument",
        INSTRUMENTS,
        (
            "{x} plays the {v} .",
            "the instrument of {x} is the {v} .",
            "the {v} is what {x} plays .",
        ),
        (
            "what does {x} play ?",
            "which instrument does {x} play ?",
            "what is the instrument of {x} ?",
            "on which instrument does {x} play ?",
        ),
    ),
)

PLACE_RELATIONS = (
    Relation(
        "river",
        RIVERS,
        ("{x} lies on the river {v} .", "the river of {x} is the {v} .", "the {v} flows by {x} ."),
        (
            "on which river does {x} lie ?",
            "what is the river of {x} ?",
            "which river flows by {x} ?",
            "by {x} flows which river ?",
        ),
    ),
    Relation(
        "dish",
        DISHES,
        ("in {x} people eat {v} .", "the dish of {x} is {v} .", "{v} is what people eat in {x} ."),
        (
            "what do people eat in {x} ?",
            "what is the dish of {x} ?",
            "which dish do people eat in {x} ?",
            "in {x} what do people eat ?",
        ),
    ),
)

JOB_RELATIONS = (
    Relation(
        "tool",
        TOOLS,
        (
            "a {x} needs the {v} .",
            "the tool of a {x} is the {v} .",
            "the {v} is the tool of a {x} .",
        ),
        (
            "what does a {x} need ?",
            "what is the tool of a {x} ?",
            "which tool does a {x} need ?",
            "which tool is the tool of a {x} ?",
        ),
    ),
)

RELATIONS = {r.name: r for r in (*PERSON_RELATIONS, *PLACE_RELATIONS, *JOB_RELATIONS)}
UNKNOWN = "I do not know ."
"""The honest answer about somebody of whom nothing was told."""

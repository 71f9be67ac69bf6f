"""Short stories with a one-line summary: four plots, shuffled asides that a summary leaves out."""

import random
from dataclasses import dataclass

from steelyard.tasks.microworld.lexicon import COLOURS, FIRST_NAMES, JOBS, PLACES, words

THINGS = words("bag hat ring key coin book lamp boat cup shoe kite map")
ASIDES = (
    "the sun was warm .",
    "it was raining .",
    "a dog slept by the door .",
    "the street was full of people .",
    "somebody sang a song .",
    "the wind was cold .",
    "birds sat on the roof .",
    "the bells rang at noon .",
)
PLOTS = {
    "lost": (
        "one day {who} went to {town} with a {colour} {thing} .",
        "on the way {who} lost the {thing} .",
        "a {job} found it and gave it back .",
        "{who} lost a {thing} in {town} and a {job} found it .",
    ),
    "broken": (
        "{who} lived in {town} and had a {colour} {thing} .",
        "in the morning the {thing} broke .",
        "a {job} came and mended it .",
        "the {thing} of {who} broke and a {job} in {town} mended it .",
    ),
    "bought": (
        "a {job} in {town} had a {colour} {thing} .",
        "{who} saw the {thing} and liked it .",
        "they talked for an hour and {who} paid .",
        "{who} bought a {colour} {thing} from a {job} in {town} .",
    ),
    "learnt": (
        "{who} walked to {town} to meet a {job} .",
        "the {job} showed {who} how to make a {thing} .",
        "after a week {who} made one and it was {colour} .",
        "{who} learnt to make a {thing} from a {job} in {town} .",
    ),
}


@dataclass(frozen=True)
class Story:
    """What is told about the hero, and the one line that sums it up."""

    plot: str
    hero: str
    text: str
    summary: str

    def prompt(self) -> str:
        """Ask for the summary, which follows after one space."""
        return f"Story : {self.text}\nSummary :"


def story(rng: random.Random) -> Story:
    """A random story of three plot sentences with one or two asides between them."""
    plot = rng.choice(list(PLOTS))
    names = {
        "who": rng.choice(FIRST_NAMES),
        "town": rng.choice(PLACES),
        "job": rng.choice(JOBS),
        "thing": rng.choice(THINGS),
        "colour": rng.choice(COLOURS),
    }
    *events, summary = (line.format(**names) for line in PLOTS[plot])
    for aside in rng.sample(ASIDES, rng.randint(1, 2)):
        events.insert(rng.randint(1, len(events)), aside)
    return Story(plot, names["who"], " ".join(events), summary)

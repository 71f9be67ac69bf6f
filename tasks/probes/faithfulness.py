"""Is what a summary names in its source? Entities and numbers, by string alone.

Precision of named entities as in Nan et al. 2021 (arXiv 2102.09130), without their tagger: names
are capitalised words that do not merely begin a sentence, numbers are digits or number words. A
text without any capitals has no names to go by; there every word of content counts. Where no space
parts words either (Chinese, Thai) nothing can be told, and the text is left unscored.
"""

import re
from collections.abc import Sequence

import regex

from steelyard.harness.texts import is_unspaced, plain
from steelyard.tasks.probes.requests import Doc

#: Letters with their marks, which ``re`` takes for no part of a word.
_WORD = regex.compile(r"\p{L}[\p{L}\p{M}]*(?:['’-]\p{L}[\p{L}\p{M}]*)*")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
#: Masks of DialogSum, ``#Person1#``, also without their signs: who speaks is no name and no number.
_MASK = re.compile(r"#\w+#|\bperson ?\d+\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?:][\"'”’)]*\s+$")


def _words(text: str) -> list[str]:
    """A list of words that is easier to read in one line."""
    return text.split()


_NUMBER_WORDS = {
    name: str(value)
    for value, name in enumerate(
        _words(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
            "fifteen sixteen seventeen eighteen nineteen twenty"
        )
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "hundred": "100", "thousand": "1000"}
#: "one" is rarely a number.
_NUMBER_WORDS.pop("one")
_FUNCTION_WORDS = frozenset(
    _words(
        "a about after again all also am an and another any are around as at be because been "
        "before being between both but by can could did do does during each few for from had has "
        "have he her here hers him his how i if in into is it its just last like made make many "
        "may might more most much must my new next no nor not now of off on once one only or "
        "other our out over own said say says she should since so some still such take taken than "
        "that the their them then there these they this those through to too under until up very "
        "was we were what when where which while who whom whose why will with would year years "
        "you your"
    )
)


def numbers(text: str) -> list[str]:
    """Every number of a text in digits; thousands' separators are dropped."""
    text = _MASK.sub("#", text)
    digits = [match.replace(",", "") for match in _NUMBER.findall(text)]
    words = (word.lower() for word in _WORD.findall(text))
    return digits + [_NUMBER_WORDS[word] for word in words if word in _NUMBER_WORDS]


def entities(text: str) -> list[str]:
    """Names in a text, lower case; its words of content where it has no capitals at all."""
    uncapitalised = text == text.lower()
    text = _MASK.sub("#", text)
    if uncapitalised:
        words = [match.group().lower() for match in _WORD.finditer(text)]
        return [w for w in words if len(w) > 2 and w not in _FUNCTION_WORDS | _NUMBER_WORDS.keys()]
    names = []
    for match in _WORD.finditer(text):
        word, before = match.group(), text[: match.start()]
        if not word[0].isupper() or word.lower() in _FUNCTION_WORDS:
            continue
        begins = not before.strip() or _SENTENCE_END.search(before)
        # A word that also stands inside a sentence in lower case merely begins this one.
        if begins and re.search(rf"\b{re.escape(word.lower())}\b", text):
            continue
        names.append(word.lower())
    return names


def supported(stated: Sequence[str], source: Sequence[str]) -> tuple[float, float]:
    """(how many of ``stated`` stand in ``source``, how many there are)."""
    there = set(source)
    return float(sum(item in there for item in stated)), float(len(stated))


def precision(summary: str, source: str) -> dict[str, tuple[float, float]]:
    """(supported, stated) entities and numbers of a summary."""
    summary, source = plain(summary), plain(source)
    words = [word.lower() for word in _WORD.findall(source)]
    of_numbers = {"number_precision": supported(numbers(summary), numbers(source))}
    if is_unspaced(source):
        return of_numbers
    return {"entity_precision": supported(entities(summary), words)} | of_numbers


def faithful(doc: Doc, results: Sequence[str]) -> dict[str, tuple[float, float]]:
    """``precision`` of the first paragraph against the document's ``source``."""
    return precision(results[0].strip().split("\n\n")[0], doc["source"])


def faithful_names(doc: Doc, results: Sequence[str]) -> dict[str, tuple[float, float]]:
    """``faithful`` for texts without numbers."""
    values = faithful(doc, results)
    return {name: value for name, value in values.items() if name == "entity_precision"}

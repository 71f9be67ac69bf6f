"""Knowledge conflicts: the passage against memory, and passages against one another."""

from collections.abc import Sequence

from steelyard.harness.errors import DataError
from steelyard.tasks.probes.requests import ClassNamed, Doc
from steelyard.tasks.probes.texts import abstains, first_line, matches, normalised, signed


class OwnMemory(ClassNamed):
    """Contradicts what this very model answered closed-book [Longpre et al. 2021, 2109.05052].

    A document has ``passages``, texts that each state one of ``passage_values``; the second pass
    shows the first passage whose value is not the model's own answer. A model that did not know has
    no memory to fall back on: it can still answer from the passage, or from neither.
    """

    def after(self, doc: Doc, answers: Sequence[str]) -> Doc:
        """The document with its passage, ``context_value`` and ``memory_value`` ("": none)."""
        own = first_line(answers[0])
        memory = "" if abstains(own) else own
        for passage, value in zip(doc["passages"], doc["passage_values"], strict=True):
            if normalised(value) != normalised(memory):
                return doc | {"passage": passage, "context_value": value, "memory_value": memory}
        raise DataError(
            "every passage says what the model answered",
            key="passage_values",
            value=doc["passage_values"],
            fix="give each document passages with two different values",
        )


def context_or_memory(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """from_context, from_memory or neither, and whether there was a memory at all.

    memorisation ratio = from_memory / (from_memory + from_context).
    """
    answer = first_line(results[0])
    context = matches(answer, [doc["context_value"]])
    memory = not context and matches(answer, [doc["memory_value"]])
    grade = {
        "from_context": float(context),
        "from_memory": float(memory),
        "neither": float(not (context or memory)),
        "had_memory": float(bool(normalised(doc["memory_value"]))),
    }
    return signed(grade)


def among_passages(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """correct: what most passages say; misled: what the contradicting ones say."""
    answer = first_line(results[0])
    grade = {
        "correct": float(matches(answer, [doc["target"]])),
        "misled": float(matches(answer, doc["contradictions"])),
    }
    return signed(grade)

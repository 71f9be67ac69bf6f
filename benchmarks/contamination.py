"""Planted contamination: recall, precision and time of
`steelyard.harness.evaluation.contamination.containment`.

    python benchmarks/contamination.py [--items 20000] [--documents 100000]

Items are questions of five sets and passages of two texts in ``../shared/data``, training data
dialogues, solutions, preferences and other passages. 5% of the items are planted: as they are,
inside longer rows, or with two words of each changed. ``precision`` does not count against us an
item that shares half of its words with a planted one (MMLU asks several questions on one passage);
``as found`` does.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
DATA = ROOT.parent / "shared" / "data"

from steelyard.harness.evaluation.contamination.containment import ItemIndex  # noqa: E402

HALUEVAL = "halueval/qa_one_turn.jsonl"


def lines(name: str) -> list[dict]:
    """The rows of a JSONL file of the shared data."""
    return [json.loads(line) for line in (DATA / name).read_text().split("\n") if line.strip()]


def items_and_texts() -> tuple[list[str], list[str]]:
    """Questions and sentences to be tested on, and unrelated texts to train on."""
    items = [f"{row['question']} {' '.join(row['choices'])}" for row in lines("mmlu/test.jsonl")]
    items += [row["question"] for row in lines("gsm8k/test.jsonl")]
    items += [row["reference"] for row in lines("wmt17_ende/segments.jsonl")]
    items += [row["question"] for row in lines("nq_open/dev.jsonl")]
    items += [row["user_query"] for row in lines("halueval/general.jsonl")]
    items += [f"{row['question']} {row['right_answer']}" for row in lines(HALUEVAL)]
    items += passages(DATA / "wikitext2" / "test.txt")
    items += passages(DATA / "tinyshakespeare" / "input.txt")
    texts = [row["question"] + " " + row["answer"] for row in lines("gsm8k/train.jsonl")]
    texts += [row["dialogue"] for row in lines("dialogsum/dev.jsonl")]
    texts += [row["chosen"] for row in lines("hh_rlhf/harmless_base_test.jsonl")]
    texts += passages(DATA / "wikitext2" / "valid.txt")
    return [item for item in items if len(item.split()) >= 8], texts


def passages(file: Path, words: int = 30) -> list[str]:
    """A text in pieces of ``words`` words."""
    parts = file.read_text().split()
    return [" ".join(parts[i : i + words]) for i in range(0, len(parts) - words, words)]


def changed(text: str, draw: random.Random, words: int = 2) -> str:
    """``text`` with so many of its words replaced."""
    parts = text.split()
    for place in draw.sample(range(len(parts)), words):
        parts[place] = draw.choice(["green", "seven", "river", "often", "Marta", "quickly"])
    return " ".join(parts)


def planted(kind: str, item: str, texts: list[str], draw: random.Random) -> str:
    """The row that carries an item into the training data."""
    if kind == "inside":
        return f"{draw.choice(texts)} {item} {draw.choice(texts)}"
    return item if kind == "copied" else changed(item, draw)


def main() -> None:
    """Print one line a way of planting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--documents", type=int, default=100_000)
    chosen = parser.parse_args()
    draw = random.Random(0)
    pool, texts = items_and_texts()
    # Each question once: an item that is there twice would be its own contamination.
    items = list(dict.fromkeys(pool))
    draw.shuffle(items)
    items = items[: chosen.items]
    print(f"{len(items)} items, {chosen.documents} documents from {len(texts)} texts")
    fill = [
        # Beyond the texts at hand: their halves joined anew, so that no two rows are equal.
        texts[i] if i < len(texts) else recombined(texts, draw)
        for i in range(chosen.documents - len(items) // 20)
    ]
    before = flagged(items, fill)[0]
    print(f"without planting {len(before)} are found: GSM8K and others hold near-duplicates\n")
    print("| planted | recall | precision | as found | seconds | peak MiB |")
    print("|---|---|---|---|---|---|")
    for kind in ("copied", "inside", "two words changed"):
        places = draw.sample(range(len(items)), len(items) // 20)
        rows = [planted(kind, items[i], texts, draw) for i in places]
        found, seconds = flagged(items, rows + fill)
        new = found - before
        right = new & set(places)
        twins = {i for i in new - right if any(alike(items[i], items[j]) for j in places)}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        recall = len(found & set(places)) / len(places)
        precision = len(right | twins) / len(new)
        print(
            f"| {kind} | {recall:.3f} | {precision:.3f} | {len(right) / len(new):.3f} "
            f"| {seconds:.1f} | {peak} |"
        )


def flagged(items: list[str], rows: list[str]) -> tuple[set[int], float]:
    """The contaminated items, and the seconds that finding them took."""
    begin = time.perf_counter()
    found = ItemIndex(items).search(rows).contaminated.nonzero()[0].tolist()
    return set(found), time.perf_counter() - begin


def alike(one: str, other: str) -> bool:
    """Whether two items share half of their words: near-duplicates by another measure."""
    a, b = set(one.lower().split()), set(other.lower().split())
    return 2 * len(a & b) >= len(a | b) or 5 * len(a & b) >= 4 * min(len(a), len(b))


def recombined(texts: list[str], draw: random.Random) -> str:
    """The first half of one text and the second of another."""
    a, b = draw.choice(texts).split(), draw.choice(texts).split()
    return " ".join(a[: len(a) // 2] + b[len(b) // 2 :])


if __name__ == "__main__":
    main()

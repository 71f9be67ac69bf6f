"""The known effects, at length: what is learnt and forgotten by rank, and divergence by bits.

    python benchmarks/known_effects.py forgetting [--seeds 3]     # microworld, about 4 minutes idle
    python benchmarks/known_effects.py bits                       # microworld, half a minute
    python benchmarks/known_effects.py bits --base ../shared/models/smollm2-135m-instruct \\
        --text ../shared/data/wikitext2/test.txt --tokens 1024    # about 4 minutes

``tests/trainers/test_known_effects.py`` holds the same on one seed and fewer schemes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from steelyard.harness.checkpoints import open_base  # noqa: E402
from steelyard.tasks.microworld.corpus import fidelity_texts  # noqa: E402
from tests.trainers import effects  # noqa: E402

RANKS = (2, 32)
#: Replay and shuffled answers are far enough from full for one seed.
ONE_SEED = ("replay", "shuffled")


def forgetting(seeds: int, folder: Path) -> list[str]:
    """New facts learnt and old facts forgotten, for full, LoRA by rank, replay and shuffled."""
    base = open_base("microworld")
    kinds = [("lora", rank) for rank in RANKS] + [("full", 0), ("replay", 0), ("shuffled", 0)]
    lines = [
        "| | new facts learnt, by seed | mean | old facts forgotten, by seed | mean |",
        "|---|---|---|---|---|",
        f"| base | | {effects.learnt(base):.3f} | | {effects.forgotten(base):.3f} |",
    ]
    for kind, rank in kinds:
        models = [
            effects.tuned(base, folder / f"{kind}{rank}-{seed}", kind, rank=rank, seed=seed)
            for seed in range(1 if kind in ONE_SEED else seeds)
        ]
        figures = []
        for measure in (effects.learnt, effects.forgotten):
            found = [measure(model) for model in models]
            figures += [" ".join(f"{x:.3f}" for x in found), f"{statistics.mean(found):.3f}"]
        name = f"LoRA, rank {rank}" if rank else kind
        lines.append(f"| {name} | " + " | ".join(figures) + " |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def bits(base_name: str, texts: list[str], folder: Path) -> list[str]:
    """Mean KL from the parent per token, by scheme."""
    base = open_base(base_name)
    schemes = [scheme for family in effects.FAMILIES.values() for scheme in family]
    kl = effects.kl_by_scheme(base, folder, [*schemes, *effects.OTHER_SCHEMES], texts)
    lines = ["| scheme | KL from the parent, nats per token |", "|---|---|"]
    lines += [f"| {scheme} | {value:.3g} |" for scheme, value in sorted(kl.items(), key=_by_value)]
    wrong = effects.out_of_order(kl)
    return [*lines, "", "The known order holds." if not wrong else "; ".join(wrong)]


def _by_value(entry: tuple[str, float]) -> float:
    return entry[1]


def beginning(base_name: str, file: Path, tokens: int) -> list[str]:
    """The text's first ``tokens`` tokens, as one document."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(open_base(base_name).folder)
    ids = tokenizer(file.read_text(encoding="utf-8")[: tokens * 8]).input_ids
    return [tokenizer.decode(ids[:tokens])]


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("forgetting", "bits"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--base", default="microworld")
    parser.add_argument("--text", type=Path)
    parser.add_argument("--tokens", type=int, default=1024)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if asked.what == "forgetting":
            lines = forgetting(asked.seeds, folder)
        elif asked.text is None:
            lines = bits(asked.base, fidelity_texts(), folder)
        else:
            lines = bits(asked.base, beginning(asked.base, asked.text, asked.tokens), folder)
    print("\n".join(lines))


if __name__ == "__main__":
    main()

"""What is stored against what was trained: every trainer on every architecture, on tiny models.

    python benchmarks/loss_check.py [--trainer lora --trainer dpo] [--architecture gpt2]

Each cell trains two steps on a random model (hidden size 32, two layers), writes the checkpoint and
opens it in a fresh process, as a run does. The number is how far the log-probability of a token is
apart on the mean, in nats, between the trainer's own loss and the checkpoint; a cell that is
refused says so in one line, and a cell that ends in anything but a line of ours fails the script.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from steelyard.harness.checkpoints import check_in_fresh_process, open_base  # noqa: E402
from steelyard.harness.errors import SteelyardError  # noqa: E402
from steelyard.harness.plugins import DataSource, TrainJob, load_trainer  # noqa: E402
from steelyard.harness.records import Checkpoint  # noqa: E402
from tests.harness.scoring import tiny  # noqa: E402
from tests.harness.scoring.architectures import build, build_t5  # noqa: E402
from tests.trainers import tiny_jobs  # noqa: E402
from tests.trainers.tiny_jobs import WORDS  # noqa: E402

#: Before what is no line of ours.
FAULT = "FAULT "
RESULTS = Path(__file__).with_name("results") / "loss_check.md"

#: The tests' models share keys among query heads; these architectures do not.
ONE_HEAD_EACH = {"num_key_value_heads": 4}
#: Our name of an architecture -> transformers' model type, and what differs from the usual size.
ARCHITECTURES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("llama", {"tie_word_embeddings": True}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True, "vocab_size": 328}),
    "qwen3": ("qwen3", {"tie_word_embeddings": True, "vocab_size": 328}),
    "gemma2": ("gemma2", {}),
    "gemma3": ("gemma3_text", {}),
    "gpt2": ("gpt2", ONE_HEAD_EACH),
    "gpt_neox": ("gpt_neox", ONE_HEAD_EACH),
    "opt": ("opt", ONE_HEAD_EACH),
    "phi3": ("phi3", {}),
    "mixtral": ("mixtral", {}),
    "mamba": ("mamba", {}),
    "ModernBertDecoder": ("modernbert-decoder", ONE_HEAD_EACH | {"global_attn_every_n_layers": 1}),
    "MPT": ("mpt", ONE_HEAD_EACH | {"logit_scale": 0.5}),
    "T5": ("t5", {}),
}
STEPS = {"steps": 2, "batch_size": 4, "learning_rate": 1e-2}
ROLLOUTS = STEPS | {
    "batch_size": 8,
    "rewards": [{"reward": "length", "words": 3}],
    "completion_length": 4,
}
PAIR = {"sources": ["a", "b"]}
#: A row of the table -> a trainer and its options.
TRAINERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "full": ("full", STEPS),
    "full, packed": ("full", STEPS | {"packing": True, "max_length": 64}),
    "freeze": ("freeze", STEPS | {"layers": 1}),
    "lora": ("lora", STEPS | {"rank": 4}),
    "lora, dora": ("lora", STEPS | {"rank": 4, "use_dora": True}),
    "lora, pissa": ("lora", STEPS | {"rank": 4, "init_lora_weights": "pissa"}),
    "lora, merged": ("lora", STEPS | {"rank": 4, "merge": True}),
    "lora on the embedding, merged": ("lora", STEPS | {"rank": 4, "merge": True}),
    "qlora": ("qlora", STEPS | {"rank": 4}),
    "qlora, merged": ("qlora", STEPS | {"rank": 4, "merge": True}),
    "ia3": ("ia3", STEPS),
    "prompt_tuning": ("prompt_tuning", STEPS | {"virtual_tokens": 4}),
    "prefix": ("prefix", STEPS | {"virtual_tokens": 4}),
    "dpo": ("dpo", STEPS),
    "dpo, rank": ("dpo", STEPS | {"rank": 4}),
    "orpo": ("orpo", STEPS),
    "kto": ("kto", STEPS),
    "simpo": ("simpo", STEPS),
    "reward": ("reward", STEPS),
    "grpo": ("grpo", ROLLOUTS),
    "rloo": ("rloo", ROLLOUTS),
    "distill": ("distill", STEPS | {"teacher": "a"}),
    "merge": ("merge", PAIR),
    "prune": ("prune", {"amount": 0.3}),
    "quantize, nf4": ("quantize", {"scheme": "nf4"}),
    "quantize, int8": ("quantize", {"scheme": "int8"}),
    "quantize, absmax-int4": ("quantize", {"scheme": "absmax-int4"}),
    "quantize, gguf-q8_0": ("quantize", {"scheme": "gguf-q8_0"}),
    "none": ("none", {}),
    "select": ("select", PAIR),
}


@dataclass(frozen=True)
class Cell:
    """What came of one trainer on one architecture."""

    trainer: str
    architecture: str
    loss: str
    """The check's own words; empty where the cell was refused."""
    refusal: str
    """The one line; empty where the cell was trained."""
    seconds: float

    @property
    def short(self) -> str:
        """The cell as it stands in the table."""
        if self.refusal:
            return "fault" if self.refusal.startswith(FAULT) else "refused"
        apart = re.search(r"apart by (\S+)", self.loss)
        return apart[1] if apart else "copied"


def base(architecture: str, folder: Path, seed: int = 0) -> Checkpoint:
    """A tiny random model of the architecture with its tokenizer, opened."""
    model_type, changes = ARCHITECTURES[architecture]
    model = build_t5(seed) if model_type == "t5" else build(model_type, seed, **changes)
    model.save_pretrained(folder)
    tiny.save_tokenizer(folder)
    return open_base(str(folder))


def options_of(trainer: str, start: Checkpoint) -> dict[str, Any]:
    """The options of a row; names of modules are the architecture's own."""
    options = dict(TRAINERS[trainer][1])
    if "embedding" in trainer:
        from steelyard.harness.checkpoints import load_model

        model, _ = load_model(start)
        embedding = model.get_input_embeddings()
        options["target_modules"] = [
            next(name for name, module in model.named_modules() if module is embedding)
        ]
    if trainer == "none":
        options["path"] = str(start.folder)
    return options


def carry_out(
    trainer: str, architecture: str, start: Checkpoint, others: Mapping[str, Checkpoint],
    folder: Path,
) -> Cell:  # fmt: skip
    """Train, write, and check in a fresh process."""
    began = time.monotonic()
    try:
        name = TRAINERS[trainer][0]
        method = load_trainer(name)(**options_of(trainer, start))
        job = TrainJob(
            candidate=trainer.replace(", ", "-").replace(" ", "-"),
            start=start,
            data=_data(name, folder),
            seed=0,
            folder=folder / "checkpoint",
            base_name=architecture,
            base_digest=start.manifest.digest,
            sources=others if type(method).source_options else {},
        )
        job.folder.mkdir()
        checks = check_in_fresh_process(method.train(job), start)
    except SteelyardError as error:
        line = str(error)
        assert "\n" not in line, line
        return Cell(trainer, architecture, "", line, time.monotonic() - began)
    except Exception as error:
        line = f"{FAULT}{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return Cell(trainer, architecture, "", line, time.monotonic() - began)
    return Cell(trainer, architecture, checks["loss"], "", time.monotonic() - began)


def _data(trainer: str, folder: Path) -> tuple[DataSource, ...]:
    roles = load_trainer(trainer).data_roles
    if not roles and trainer != "select":
        return ()
    rows = []
    for number in range(12):  # prompts of several lengths, so that batches are padded
        prompt = f"{'who knows ? ' * (number % 3)}who lives in the {WORDS[number % 7]} ? answer :"
        chosen, rejected = f" the {WORDS[number % 5]} .", f" the {WORDS[6 - number % 2]} the dog ."
        answers = {"completion": chosen}
        if "chosen" in roles:
            answers = {"chosen": chosen, "rejected": rejected}
        rows.append({"prompt": prompt} | answers)
    return (tiny_jobs.write_rows(folder / "rows.jsonl", rows),)


def cells(trainers: list[str], architectures: list[str]) -> Iterator[Cell]:
    """Every cell, one after the other."""
    for architecture in architectures:
        with tempfile.TemporaryDirectory(prefix="loss-check-") as scratch:
            root = Path(scratch)
            start = base(architecture, root / "base")
            others = {n: base(architecture, root / n, seed) for n, seed in (("a", 1), ("b", 2))}
            for trainer in trainers:
                folder = root / "cell"
                folder.mkdir()
                yield carry_out(trainer, architecture, start, others, folder)
                shutil.rmtree(folder)


def table(done: list[Cell]) -> str:
    """The committed table: a row a trainer, a column an architecture, refusals below."""
    architectures = list(dict.fromkeys(cell.architecture for cell in done))
    trainers = list(dict.fromkeys(cell.trainer for cell in done))
    by_place = {(cell.trainer, cell.architecture): cell for cell in done}
    lines = [
        "# What is stored against what was trained",
        "",
        "Two steps on tiny random models, then the checkpoint in a fresh process: nats by which",
        "the log-probability of a token is apart on the mean (`python benchmarks/loss_check.py`).",
        "The bound is 0.001, or a thousandth of the loss where that is above 1. `qlora` stores an",
        "adapter for whole weights: three times what rounding them to 4 bits moves is added to it.",
        "`copied`: nothing is computed, files are taken over.",
        "",
        "| | " + " | ".join(architectures) + " |",
        "|---|" + "---|" * len(architectures),
    ]
    for trainer in trainers:
        row = [
            by_place[trainer, a].short if (trainer, a) in by_place else "" for a in architectures
        ]
        lines.append(f"| {trainer} | " + " | ".join(row) + " |")
    refused: dict[str, list[str]] = {}
    for cell in done:
        if cell.refusal:
            line = re.sub(r"/\S*/(?=\S)", "", cell.refusal)
            refused.setdefault(line, []).append(f"{cell.trainer} ({cell.architecture})")
    lines += ["", "## Refused, each in one line", ""]
    lines += [f"- {', '.join(where)}: {line}" for line, where in refused.items()]
    seconds = sum(cell.seconds for cell in done)
    lines += ["", f"{len(done)} cells, {seconds:.0f} s on one thread, imports aside."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the matrix, print it, and keep it where all of it was run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trainer", action="append", choices=list(TRAINERS))
    parser.add_argument("--architecture", action="append", choices=list(ARCHITECTURES))
    asked = parser.parse_args()
    done = []
    for cell in cells(asked.trainer or list(TRAINERS), asked.architecture or list(ARCHITECTURES)):
        done.append(cell)
        what = cell.refusal or cell.loss
        print(f"{cell.seconds:5.1f} s  {cell.architecture} / {cell.trainer}: {what}", flush=True)
    text = table(done)
    print(text)
    if asked.trainer is None and asked.architecture is None:
        RESULTS.write_text(text, encoding="utf-8")
    if any(cell.short == "fault" for cell in done):
        sys.exit("a cell ended in something else than a line of ours")


if __name__ == "__main__":
    main()

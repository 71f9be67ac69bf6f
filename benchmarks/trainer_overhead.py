"""What our `lora` costs beside TRL and PEFT by hand, on a training of about a minute.

    python benchmarks/trainer_overhead.py [--steps 700] [--repeats 1]

Three ways to train the same adapter of the microworld, each in a process of its own: ``by hand``
(twenty plain lines), ``trainer`` (our trainer alone: rows, curve, digests, manifest) and
``pipeline`` (what ``steelyard train`` does: energy meter, store, and the check in a fresh process,
whose processor time is counted too). Printed are wall and processor seconds of the whole process,
imports included, and whether the three adapters are the same, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

OPTIONS = {"rank": 16, "learning_rate": 3e-4, "batch_size": 32, "max_length": 64}


def by_hand(folder: Path, steps: int) -> Path:
    """TRL and PEFT as their quickstarts have it."""
    import torch
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    base = ROOT / "tasks" / "microworld" / "base"
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        args=SFTConfig(
            output_dir=str(folder / "adapter"), max_steps=steps, per_device_train_batch_size=32,
            learning_rate=3e-4, warmup_steps=0.03, max_length=64, seed=0, use_cpu=True, bf16=False,
            activation_checkpointing=False, save_strategy="no", report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=load_dataset(
            "json", data_files=str(folder / "facts_b.jsonl"), cache_dir=str(folder / "cache")
        )["train"],
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=LoraConfig(
            r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )  # fmt: skip
    trainer.train()
    trainer.model.save_pretrained(folder / "adapter")
    return folder / "adapter"


def by_trainer(folder: Path, steps: int) -> Path:
    """Our trainer alone."""
    from steelyard.harness.checkpoints import open_base
    from steelyard.harness.plugins import DataSource, TrainJob
    from steelyard.trainers.lora import Lora

    (folder / "lora").mkdir()
    data = (DataSource("facts_b", folder / "facts_b.jsonl"),)
    job = TrainJob("lora", open_base("microworld"), data, 0, folder / "lora")
    return Lora(steps=steps, **OPTIONS).train(job).folder


def by_pipeline(folder: Path, steps: int) -> Path:
    """What ``steelyard train`` does."""
    from steelyard.harness.cli.session import session
    from steelyard.harness.experiment import load_experiment
    from steelyard.harness.pipeline.pipeline import Pipeline
    from steelyard.harness.store import open_store

    candidate = {"trainer": "lora", "data": "facts_b", "steps": steps, **OPTIONS}
    experiment = {
        "name": "overhead", "base": "microworld", "suite": ["microworld_known"],
        "data": {"facts_b": {"path": "facts_b.jsonl"}}, "candidates": {"lora": candidate},
    }  # fmt: skip
    (folder / "e.yaml").write_text(json.dumps(experiment))
    loaded = load_experiment(folder / "e.yaml")
    store = open_store(folder / ".steelyard")
    with session(loaded, store) as meter:
        outcome = Pipeline(loaded, store, meter).train()
    assert not outcome.failures, outcome.failures
    return outcome.checkpoints["lora"].folder


WAYS = {"by hand": by_hand, "trainer": by_trainer, "pipeline": by_pipeline}


def measured(way: str, steps: int) -> tuple[float, float, str]:
    """Wall seconds, processor seconds and the adapter's digest of one way, in a process of it."""
    command = [sys.executable, __file__, "--steps", str(steps), "--way", way]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, spent, done.stdout.split()[-1]


def main() -> None:
    """Print a table in Markdown; with ``--way`` train once and print the digest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--way", choices=WAYS)
    asked = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if asked.way:
        from steelyard.harness.checkpoints.digests import adapter_digest
        from steelyard.tasks.microworld import training

        with tempfile.TemporaryDirectory() as made:
            training.write(Path(made))
            print(adapter_digest(WAYS[asked.way](Path(made), asked.steps)))
        return
    print(f"{asked.steps} steps of 32, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("\n| way | wall, s | processor, s | adapter |\n|---|---|---|---|")
    for _ in range(asked.repeats):
        for way in WAYS:
            wall, spent, digest = measured(way, asked.steps)
            print(f"| {way} | {wall:.1f} | {spent:.1f} | {digest[:12]} |", flush=True)


if __name__ == "__main__":
    main()

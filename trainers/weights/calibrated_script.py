"""Run by ``trainers/weights/calibrated.py`` in llmcompressor's environment; imports nothing of
ours.

python -I calibrated_script.py task.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(task: Path) -> None:
    """Quantise as llmcompressor's quickstart does; the head keeps its precision."""
    import torch
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.awq import AWQModifier
    from llmcompressor.modifiers.quantization import GPTQModifier
    from transformers import AutoModelForCausalLM, set_seed

    settings = json.loads(task.read_text(encoding="utf-8"))
    set_seed(settings["seed"])
    model = AutoModelForCausalLM.from_pretrained(
        settings["source"], dtype=torch.float32, local_files_only=True, trust_remote_code=False
    )
    weights = QuantizationArgs(
        num_bits=4, type="int", symmetric=True, strategy="group", group_size=settings["group_size"]
    )
    modifier = {"gptq": GPTQModifier, "awq": AWQModifier}[settings["scheme"]]
    rows = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in settings["rows"]]
    oneshot(
        model=model,
        dataset=Dataset.from_list(rows),
        recipe=modifier(
            config_groups={"linear": QuantizationScheme(targets=["Linear"], weights=weights)},
            ignore=["lm_head"],
        ),
        max_seq_length=max(map(len, settings["rows"])),
        num_calibration_samples=len(rows),
    )
    model.save_pretrained(settings["target"], save_compressed=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

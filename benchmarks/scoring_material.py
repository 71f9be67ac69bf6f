"""Models, a tokenizer and lm-eval tasks for ``benchmarks/scoring.py``, made in a folder.

Questions and texts are real (``../shared/data``: MMLU, GSM8K, WikiText-2); weights are random, wide
enough that greedy decoding wanders instead of repeating one token.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parents[2] / "shared"
DATA = SHARED / "data"
MODELS = ("llama-8m", "gpt2-124m", "smollm2")
VOCABULARY = 8192
KINDS = ("text", "letters", "hellaswag", "rolling", "generation")
#: Rare enough that answers run from a few tokens to the limit.
STOPS = ["q", "Q", "z"]
MOST_TOKENS = 250


def model(folder: Path, name: str) -> Path:
    """The folder of a model: a made one, or SmolLM2-135M-Instruct where it lies."""
    if name == "smollm2":
        return SHARED / "models" / "smollm2-135m-instruct"
    save_model(folder, name)
    return folder / name


def save_model(folder: Path, name: str, seed: int = 0) -> None:
    """``llama-8m`` (hidden 256, 8 layers) or ``gpt2-124m``, with the tokenizer beside it."""
    import torch
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

    tokenizer = _tokenizer()
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    configs = {
        "llama-8m": LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=256,
            intermediate_size=688,
            num_hidden_layers=8,
            num_attention_heads=8,
            num_key_value_heads=8,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            initializer_range=0.1,
            **special,
        ),
        "gpt2-124m": GPT2Config(n_positions=2048, initializer_range=0.1, **special),
    }
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(configs[name]).save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / name)


def save_tasks(folder: Path, documents: int) -> None:
    """One lm-eval task a kind, over ``documents`` documents each (a quarter for rolling)."""
    folder.mkdir(exist_ok=True)
    draw = random.Random(0)
    questions = _lines("mmlu/test.jsonl")
    draw.shuffle(questions)
    shots = [row for row in _lines("mmlu/dev.jsonl") if row["subject"] == "astronomy"][:5]
    _write(folder, "mmlu", questions[:documents], shots)
    letters = "{{['A','B','C','D']}}"
    listed = "{% for c in choices %}{{'ABCD'[loop.index0]}}. {{c}}\n{% endfor %}"
    few = {"num_fewshot": 5, "fewshot_config": {"sampler": "first_n"}}
    choice = {"output_type": "multiple_choice", "doc_to_target": "answer"}
    _task(folder, "text", "mmlu", choice | few, "Question: {{question}}\nAnswer:", "choices")
    asked = "Question: {{question}}\n" + listed + "Answer:"
    _task(folder, "letters", "mmlu", choice | few, asked, letters)
    _write(folder, "endings", _endings(draw, documents), [])
    _task(folder, "hellaswag", "endings", choice | {"num_fewshot": 0}, "{{context}}", "choices")
    _write(folder, "pages", [{"page": page} for page in _pages(documents // 4)], [])
    rolling = {"output_type": "loglikelihood_rolling", "num_fewshot": 0}
    metrics = [{"metric": "bits_per_byte"}]
    _task(folder, "rolling", "pages", rolling, "", None, "{{page}}", metrics)
    sums = _lines("gsm8k/train.jsonl")
    _write(folder, "sums", sums[5 : 5 + documents], sums[:5])
    settings = {"until": STOPS, "max_gen_toks": MOST_TOKENS, "do_sample": False}
    generate = {"output_type": "generate_until", "generation_kwargs": settings} | few
    exact = [{"metric": "exact_match"}]
    asked = "Question: {{question}}\nAnswer:"
    _task(folder, "generation", "sums", generate, asked, None, "{{answer}}", exact)


def shape(folder: Path) -> list[str]:
    """What the material looks like, in tokens of its tokenizer; one line a kind.

    HellaSwag's own validation set begins (its first 90 documents) with contexts of about 115
    characters, before which lm-eval puts the activity's name, and endings of about 65: an ending is
    half as long as its context, as it is here.
    """
    tokenizer = _tokenizer()

    def mean(texts: list[str]) -> float:
        return sum(len(tokenizer.encode(text)) for text in texts) / len(texts)

    endings = _lines_of(folder / "endings_test.jsonl")
    context = mean([row["context"] for row in endings])
    choice = mean([text for row in endings for text in row["choices"]])
    pages = mean([row["page"] for row in _lines_of(folder / "pages_test.jsonl")])
    return [
        f"hellaswag: contexts of {context:.0f} tokens, four endings of {choice:.0f}",
        f"rolling: {len(_lines_of(folder / 'pages_test.jsonl'))} pages of {pages:.0f} tokens",
    ]


def _task(
    folder: Path,
    kind: str,
    source: str,
    options: dict[str, Any],
    text: str,
    choices: str | None = None,
    target: str | None = None,
    metrics: list[dict[str, str]] | None = None,
) -> None:
    task: dict[str, Any] = {
        "task": f"bench_{kind}",
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {
                "test": str(folder / f"{source}_test.jsonl"),
                "dev": str(folder / f"{source}_dev.jsonl"),
            }
        },
        "test_split": "test",
        "fewshot_split": "dev",
        "doc_to_text": text,
        "metric_list": metrics or [{"metric": "acc"}, {"metric": "acc_norm"}],
        "metadata": {"version": 1},
    } | options
    if choices is not None:
        task["doc_to_choice"] = choices
    if target is not None:
        task["doc_to_target"] = target
    if not options["num_fewshot"]:
        del task["fewshot_split"]
        del task["dataset_kwargs"]["data_files"]["dev"]
    (folder / f"bench_{kind}.yaml").write_text(json.dumps(task))


def _endings(draw: random.Random, documents: int) -> list[dict[str, Any]]:
    sentences = [
        part.strip()
        for page in _pages(10_000)
        for part in page.split(" . ")
        if 40 < len(part) < 160
    ]
    rows = []
    for start in range(0, 3 * documents, 3):
        true = sentences[start + 2]
        choices = [true, *draw.sample(sentences, 3)]
        draw.shuffle(choices)
        context = " . ".join(sentences[start : start + 2]) + " ."
        rows.append({"context": context, "choices": choices, "answer": choices.index(true)})
    return rows


def _pages(most: int) -> list[str]:
    text = (DATA / "wikitext2" / "test.txt").read_text()
    pages = [page for page in text.split("\n = ") if len(page) > 400]
    return pages[:most]


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train(
        [str(DATA / "wikitext2" / "valid.txt"), str(DATA / "gsm8k" / "train.jsonl")],
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")


def _lines(name: str) -> list[dict[str, Any]]:
    return _lines_of(DATA / name)


def _lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().split("\n") if line]


def _write(folder: Path, name: str, test: list[Any], dev: list[Any]) -> None:
    for split, rows in (("test", test), ("dev", dev)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}_{split}.jsonl").write_text(text)

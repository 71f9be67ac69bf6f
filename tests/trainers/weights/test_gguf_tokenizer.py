"""A GGUF file is read by llama.cpp itself: the same tokens of a text, or the file is refused."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from tokenizers import normalizers, pre_tokenizers

from steelyard.harness.errors import CheckpointError
from steelyard.harness.records import Checkpoint
from steelyard.trainers.weights.gguf_export import export
from tests.trainers import tiny_jobs
from tests.trainers.weights import llama_cpp as shapes
from tests.trainers.weights.llama_cpp import LLAMA_3, QWEN_2, QWEN_3_5, TEXTS, letters, split
from tests.trainers.weights.test_gguf_export import random_model

ROWS = 1024
DIGITS = pre_tokenizers.Digits(individual_digits=True)
PHI_3 = ("</s>", "<|im_start|>", "<|im_end|>")

Make = Callable[[Path], Any]
#: Shape of a published tokenizer -> how it is made, and llama.cpp's name for its pre-tokenizer.
SHAPES: dict[str, tuple[Make, str]] = {
    "GPT-2 and Phi 2": (lambda f: shapes.byte_level(f, letters(use_regex=True)), "gpt-2"),
    "SmolLM": (lambda f: shapes.byte_level(f, DIGITS, letters(use_regex=True)), "smollm"),
    "Llama 3": (
        lambda f: shapes.byte_level(f, split(LLAMA_3), letters(), bos=True, ignore_merges=True),
        "llama-bpe",
    ),
    "Phi 4": (lambda f: shapes.byte_level(f, split(LLAMA_3), letters()), "dbrx"),
    "Qwen 2 and 3": (
        lambda f: shapes.byte_level(f, split(QWEN_2), letters(), normalizer=normalizers.NFC()),
        "qwen2",
    ),
    "Qwen 3.5": (lambda f: shapes.byte_level(f, split(QWEN_3_5), letters()), "qwen35"),
    "Gemma": (lambda f: shapes.spaced(f, prefix=False), "default"),
    "Llama 2": (lambda f: shapes.spaced(f, prefix=True), "default"),
    "Phi 3": (lambda f: shapes.spaced(f, prefix=True, strip=PHI_3), "default"),
}


def hostile(count: int) -> Iterator[str]:
    """Texts out of the characters and pieces of the others."""
    draw = random.Random(0)
    characters = "".join(TEXTS)
    for _ in range(count):
        yield "".join(draw.choice(characters) for _ in range(draw.randint(1, 40)))
        one, other = draw.choice(TEXTS), draw.choice(TEXTS)
        yield one[: draw.randint(0, 20)] + other[-draw.randint(1, 20) :]


@pytest.mark.parametrize("shape", SHAPES)
def test_llama_cpp_makes_the_same_tokens_and_goes_on_alike(shape: str, tmp_path: Path) -> None:
    make, name = SHAPES[shape]
    tokenizer = make(tmp_path)
    model = random_model("llama", vocab_size=ROWS)
    notes = export(model, tmp_path, tmp_path / "m.gguf", "F32")
    fields = gguf.GGUFReader(tmp_path / "m.gguf").fields
    assert fields["tokenizer.ggml.pre"].contents() == name
    composes = shape.startswith("Qwen 2")  # NFC, which llama.cpp leaves out, as the note says
    assert ["compose" in note for note in notes] == [True] * composes
    with shapes.llama_cpp(tmp_path / "m.gguf") as cpp:
        for text in (*TEXTS, *hostile(100)):
            if composes:
                text = unicodedata.normalize("NFC", text)
            assert cpp.tokens(text) == tokenizer(text)["input_ids"], text
        for prompt in ("the old man and", "<|im_start|>user\nhi 12345"):
            tokens = tokenizer(prompt)["input_ids"]
            continued = cpp.continued(prompt, 8)
            assert continued == cpp.continued(tokens, 8)
            # And the weights are the same model's: transformers goes on alike.
            whole = torch.tensor([tokens + continued])
            with torch.inference_mode():
                logits = model(whole).logits[0, len(tokens) - 1 : -1]
            chosen = logits.gather(1, torch.tensor(continued)[:, None])[:, 0]
            assert float((logits.max(-1).values - chosen).max()) < 1e-3  # a tie in float32
        plain = tokenizer("the sea  12, naïve 世界", add_special_tokens=False)["input_ids"]
        text = tokenizer.decode(plain, clean_up_tokenization_spaces=False)
        assert cpp.text(plain).strip() == text.strip()


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The tokenizer in ``folder`` with something else in its tokenizer.json."""
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text("utf-8"))
    change(content)
    file.write_text(json.dumps(content), "utf-8")


def first_added(content: dict[str, Any]) -> dict[str, Any]:
    token: dict[str, Any] = content["added_tokens"][-1]
    return token


DIFFERENT: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another regex": (
        lambda c: c["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex=r"\S+|\s+"),
        "no name for the way in which words are split",
    ),
    "a space in front": (
        lambda c: c["pre_tokenizer"]["pretokenizers"][1].update(add_prefix_space=True),
        "puts a space before a text",
    ),
    "lower case": (lambda c: c.update(normalizer={"type": "Lowercase"}), "normalises a text"),
    "a token that strips": (lambda c: first_added(c).update(lstrip=True), "has lstrip"),
    "a token that is a word": (
        lambda c: first_added(c).update(single_word=True),
        "has single_word",
    ),
    "a byte that is an unknown token": (
        lambda c: (c["model"]["vocab"].pop("ÿ"), c["model"].update(unk_token="<s>")),
        "1 of the 256 bytes have no token",
    ),
    "two tokens that overlap": (
        lambda c: c["added_tokens"].extend(
            {**first_added(c), "id": 900 + i, "content": text}
            for i, text in enumerate(("<<a", "a>>"))
        ),
        "overlap",
    ),
    "an end of its own": (
        lambda c: c.update(
            post_processor={
                "type": "TemplateProcessing",
                "single": [
                    {"Sequence": {"id": "A", "type_id": 0}},
                    {"SpecialToken": {"id": "<|im_end|>", "type_id": 0}},
                ],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
                "special_tokens": {
                    "<|im_end|>": {"id": "<|im_end|>", "ids": [3], "tokens": ["<|im_end|>"]}
                },
            }
        ),
        "around a text",
    ),
    "another model": (
        lambda c: c.update(
            model={
                "type": "WordPiece", "unk_token": "<s>", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 99, "vocab": c["model"]["vocab"],
            }
        ),
        "its model is WordPiece",
    ),
}  # fmt: skip


@pytest.mark.parametrize("difference", DIFFERENT)
def test_what_llama_cpp_would_split_otherwise_is_refused(difference: str, tmp_path: Path) -> None:
    change, reason = DIFFERENT[difference]
    shapes.byte_level(tmp_path, split(QWEN_2), letters())
    changed(tmp_path, change)
    with pytest.raises(CheckpointError, match=reason) as refused:
        export(random_model("llama", vocab_size=ROWS), tmp_path, tmp_path / "m.gguf", "F32")
    assert str(refused.value).startswith(f"{tmp_path / 'tokenizer.json'}: llama.cpp would make")
    assert not (tmp_path / "m.gguf").exists()


def test_a_tokenizer_of_more_tokens_than_the_model_has_rows_is_refused(tmp_path: Path) -> None:
    shapes.byte_level(tmp_path, split(QWEN_2), letters(), size=700)
    with pytest.raises(CheckpointError, match="it has a token 699 and the model 600 rows"):
        export(random_model("llama", vocab_size=600), tmp_path, tmp_path / "m.gguf", "F32")


def test_merges_that_llama_cpp_would_add_are_refused(tmp_path: Path) -> None:
    """It has no merges for SentencePiece's shape: whatever two tokens make a token, it merges."""
    shapes.spaced(tmp_path, prefix=False, every_merge=False)
    with pytest.raises(CheckpointError, match="it would merge"):
        export(random_model("llama", vocab_size=ROWS), tmp_path, tmp_path / "m.gguf", "F32")


def test_under_another_name_llama_cpp_splits_otherwise(tmp_path: Path) -> None:
    """So the name is no formality: with GPT-2's, Qwen's digits become other tokens."""
    tokenizer = shapes.byte_level(tmp_path, split(QWEN_2), letters())
    export(random_model("llama", vocab_size=ROWS), tmp_path, tmp_path / "m.gguf", "F32")
    renamed = tmp_path / "renamed.gguf"
    renamed.write_bytes((tmp_path / "m.gguf").read_bytes().replace(b"qwen2", b"gpt-2", 1))
    with shapes.llama_cpp(renamed) as cpp:
        differing = [text for text in TEXTS if cpp.tokens(text) != tokenizer(text)["input_ids"]]
    assert TEXTS[3] in differing


def test_a_tokenizer_may_stand_beside_the_file_alone(base: Checkpoint, tmp_path: Path) -> None:
    options = {"scheme": "gguf-q8_0", "tokenizer": "beside"}
    q8 = tiny_jobs.train("quantize", base, tmp_path / "q8", **options)
    fields = gguf.GGUFReader(q8.folder / "model.gguf").fields
    assert not any(name.startswith("tokenizer.") for name in fields)
    assert "its tokenizer stands beside the GGUF file alone" in q8.manifest.notes[0]
    with pytest.raises(RuntimeError), shapes.llama_cpp(q8.folder / "model.gguf"):
        pass

"""A GGUF file that claims more than it holds is refused before a library believes it."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import pytest
from transformers import AutoModelForCausalLM

from steelyard.harness.checkpoints.gguf_header import MOST_ITEMS, read_header
from steelyard.harness.checkpoints.weights import read_weights
from steelyard.harness.errors import CheckpointError
from steelyard.trainers.weights.gguf_export import export
from tests.harness.scoring import tiny

ONE_KEY = b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model's file as our own export writes it."""
    folder = tmp_path_factory.mktemp("gguf")
    model = AutoModelForCausalLM.from_pretrained(tiny.save_llama(folder / "m"))
    export(model, folder / "m", folder / "m.gguf", "F16")
    return folder / "m.gguf"


def claiming(whole: Path, folder: Path, key: str, value: int) -> Path:
    """A copy whose setting of 32 bits has another value."""
    content = bytearray(whole.read_bytes())
    at = content.index(key.encode()) + len(key) + 4
    content[at : at + 4] = struct.pack("<I", value)
    (folder / "m.gguf").write_bytes(content)
    return folder / "m.gguf"


def test_a_header_says_what_the_library_reads_in_the_file(whole: Path) -> None:
    header, reader = read_header(whole), gguf.GGUFReader(whole)
    assert header.tensors == len(reader.tensors)
    assert header.numbers == sum(int(tensor.n_elements) for tensor in reader.tensors)
    assert header.whole_numbers["llama.block_count"] == 2


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("llama.block_count", 100_000, "is more than the file has tensors"),
        ("llama.block_count", 2**32 - 1, "is more than the file has tensors"),
        ("llama.embedding_length", 400_000, "a model of .* numbers, and the file holds"),
        ("llama.feed_forward_length", 2**31, "a model of .* numbers, and the file holds"),
    ],
)
def test_a_model_larger_than_its_file_is_refused_by_the_setting_that_says_it(
    whole: Path, tmp_path: Path, key: str, value: int, problem: str
) -> None:
    claiming(whole, tmp_path, key, value)
    with pytest.raises(CheckpointError, match=f"m.gguf: {key}: .*{problem}"):
        read_weights(AutoModelForCausalLM, tmp_path, gguf_file="m.gguf")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (ONE_KEY + struct.pack("<IIQ", 9, 4, 2**60), "and has 0 bytes for them"),
        (ONE_KEY + struct.pack("<IIQ", 9, 0, MOST_ITEMS + 1) + bytes(MOST_ITEMS + 1), "more than"),
        (ONE_KEY + struct.pack("<IQ", 8, 2**63), "bytes for them"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "bytes for them"),
        (b"GGUF" + struct.pack("<IQ", 3, 0), "does not end in it"),
        (b"GGML", "is no GGUF file"),
    ],
)
def test_a_header_that_claims_what_is_not_there_is_one_line(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"x.gguf: .*{problem}") as caught:
        read_header(tmp_path / "x.gguf")
    assert len(str(caught.value).splitlines()) == 1

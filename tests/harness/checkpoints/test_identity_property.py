"""What is identified is what is loaded: one change of one file either gives a model another digest,
or nothing that it answers changes by a bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.harness.errors import SteelyardError
from tests.harness.checkpoints.hub_folders import (
    ADDED_NAMES,
    CHAT,
    add_file,
    answers,
    answers_of,
    digest,
    digest_of,
    files,
)

#: Values that a key may change to.
VALUES = st.sampled_from(
    [None, True, False, 0, 1, 2, 5, 0.5, 3.0, "", "the", "</s>", "<pad>", "left", "4.57.0",
     "float16", [], [3], {}, {"pad_token": "the", "pad_id": 5}]
)  # fmt: skip


# --- one change of one file ---------------------------------------------------------------------

Change = Callable[[Path], object]


def _edited_json(path: Path, key: str, value: object, nested: bool) -> None:
    content = json.loads(path.read_text())
    target = content
    inner = [v for v in content.values() if isinstance(v, dict) and v] if nested else []
    if inner:
        target = inner[0]
    keys = sorted(target)
    target[keys[len(key) % len(keys)] if keys and key.startswith("?") else key] = value
    path.write_text(json.dumps(content))


def _without_key(path: Path, number: int) -> None:
    content = json.loads(path.read_text())
    keys = sorted(content)
    if keys:
        del content[keys[number % len(keys)]]
    path.write_text(json.dumps(content))


def _flipped(path: Path, where: float, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[int(where * (len(content) - 1))] ^= 1 << bit
    path.write_bytes(bytes(content))


KEYS = st.sampled_from(
    ["?", "??", "???", "????", "?????", "??????", "???????", "repetition_penalty", "num_beams",
     "no_repeat_ngram_size", "eos_token_id", "min_new_tokens", "suppress_tokens", "use_cache",
     "_name_or_path", "transformers_version", "transformers_weights", "auto_map", "chat_template",
     "add_bos_token", "add_prefix_space", "split_special_tokens", "padding", "truncation",
     "pad_token", "padding_side", "rope_theta", "tie_word_embeddings", "quantization_config",
     "revision", "extra_special_tokens", "fix_mistral_regex", "metadata", "weight_map"]
)  # fmt: skip


@st.composite
def changes(draw: st.DrawFn, names: tuple[str, ...]) -> tuple[str, Change]:
    """What is done to one file of a folder with these files, and its name in a report."""
    kind = draw(st.sampled_from(["delete", "edit", "edit", "edit", "flip", "add", "add"]))
    if kind == "add":
        name = draw(st.sampled_from(ADDED_NAMES))
        source = draw(st.sampled_from([*names, "", "{}", CHAT + "!", '{"the": 7}']))
        return f"add {name} ({source})", lambda folder: add_file(folder, name, source, names)
    name = draw(st.sampled_from(names))
    if kind == "delete":
        return f"delete {name}", lambda folder: (folder / name).unlink()
    if kind == "edit" and name.endswith(".json"):
        if draw(st.integers(0, 3)) == 0:
            number = draw(st.integers(0, 40))
            return f"{name} without {number}", lambda folder: _without_key(folder / name, number)
        key, value, nested = draw(KEYS), draw(VALUES), draw(st.booleans())
        return (
            f"{name}: {key} = {value!r} {nested}",
            lambda folder: _edited_json(folder / name, key, value, nested),
        )
    where, bit = draw(st.floats(0, 1)), draw(st.integers(0, 7))
    return f"flip {name} {where} {bit}", lambda folder: _flipped(folder / name, where, bit)


def _outcome(change: Change, model: Path, folder: Path) -> str:
    """What came of a change: another digest, refused, or the same bits."""
    before = digest_of(model)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(model, folder)
    change(folder)
    try:
        if digest(folder) != before:
            return "another digest"
        assert answers(folder) == answers_of(model)
    except SteelyardError as error:
        assert "\n" not in str(error)
        return "refused"
    return "the same bits"


def _property(model: Path, folder: Path, examples: int) -> None:
    names = files(model)
    outcomes: dict[str, int] = {}

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    @given(changes(names))
    def check(change: tuple[str, Change]) -> None:
        outcome = _outcome(change[1], model, folder)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1

    check()
    # The property would hold of a digest that always changes, and of a model that never answers.
    assert min(outcomes["another digest"], outcomes["the same bits"]) > examples // 10, outcomes


def test_a_change_of_any_file_changes_the_digest_or_not_a_bit_of_an_answer(
    model: Path, tmp_path: Path
) -> None:
    _property(model, tmp_path / "changed", 50)


@pytest.mark.slow
def test_many_changes_of_any_file_change_the_digest_or_not_a_bit(
    model: Path, tmp_path: Path
) -> None:
    _property(model, tmp_path / "changed", 600)


def test_a_change_of_an_adapters_folder_changes_the_digest_or_not_a_bit(
    saved_adapter: Path, tmp_path: Path
) -> None:
    _property(saved_adapter, tmp_path / "changed", 30)

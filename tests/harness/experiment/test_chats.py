"""Chats and preferences in every shape that public files hold them in: read as one, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import DataError
from steelyard.harness.experiment.data_sets import Row, read_rows, roles_for
from steelyard.harness.plugins import DataSource
from steelyard.trainers.loops.preferences import with_prompt

SFT = ("prompt", "completion")
PAIRS = ("prompt", "chosen", "rejected")
CHATS = ("messages",)
ASK = {"role": "user", "content": "When does the ferry leave"}
SAY = {"role": "assistant", "content": "At eight ."}
NAY = {"role": "assistant", "content": "Never ."}
BRIEF = {"role": "system", "content": "Be brief ."}


def source(folder: Path, *rows: object, **columns: str) -> DataSource:
    path = folder / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataSource("d", path, columns)


def read(folder: Path, row: object, roles: tuple[str, ...], **columns: str) -> dict[str, Any]:
    (only,) = read_rows(source(folder, row, **columns), roles)
    return only


def refusal(folder: Path, row: object, roles: tuple[str, ...] = CHATS) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, row, roles)
    line = str(caught.value)
    assert "\n" not in line and "d.jsonl: " in line
    return line


SHAREGPT = [{"from": "human", "value": ASK["content"]}, {"from": "gpt", "value": SAY["content"]}]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [ASK, SAY]},
        {"messages": SHAREGPT},
        {"conversations": SHAREGPT},
        {"conversations": [ASK, SAY]},
        {"messages": json.dumps([ASK, SAY])},  # a cell of CSV
        {"messages": str([ASK, SAY])},  # what pandas' to_csv writes of a list
        {"messages": [ASK, {**SAY, "role": "model"}]},
        {
            "messages": [  # Gemini's
                {"role": "user", "parts": [{"text": ASK["content"]}]},
                {"role": "model", "parts": [{"text": SAY["content"]}]},
            ]
        },
        {"messages": [{**ASK, "role": "Human"}, {**SAY, "role": "chatgpt"}]},
        {"messages": [{"role": "user", "text": ASK["content"]}, {**SAY, "value": None}]},
        {"messages": [{**ASK, "from": "human"}, {**SAY, "value": SAY["content"]}]},
        {"messages": [ASK, SAY], "images": [], "tools": "[]", "system": None, "loss_mask": None},
        {"messages": [ASK, {"role": "assistant", "content": None, "refusal": SAY["content"]}]},
        {"messages": [ASK, {**SAY, "train": True, "id": "7", "model": "m"}]},
        {"messages": [{**ASK, "name": None, "tool_calls": None}, {**SAY, "tool_calls": []}]},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "When does the ferry leave"}],
                },
                {"role": "assistant", "content": [{"type": "text", "text": "At "}, "eight ."]},
            ]
        },
    ],
)
def test_every_way_to_write_a_chat_is_one_chat(tmp_path: Path, row: dict[str, Any]) -> None:
    choices = (SFT, CHATS, ("text",))
    assert roles_for(source(tmp_path, row), choices) == CHATS
    assert read(tmp_path, row, CHATS) == {"messages": [ASK, SAY]}


def test_a_system_message_in_a_column_of_its_own_begins_the_chat(tmp_path: Path) -> None:
    row = {"conversations": SHAREGPT, "system": "Be brief ."}
    assert read(tmp_path, row, CHATS) == {"messages": [BRIEF, ASK, SAY]}
    assert read(tmp_path, {"messages": [ASK, SAY], "system": ""}, CHATS)["messages"] == [ASK, SAY]
    both = {"messages": [BRIEF, ASK, SAY], "system": "Be long ."}
    assert "line 1: a column 'system', and another system message" in refusal(tmp_path, both)


def test_calls_of_tools_are_one_shape_with_arguments_as_an_object(tmp_path: Path) -> None:
    call = {"name": "ferry_times", "arguments": {"day": "Monday"}}
    written = {**call, "arguments": '{"day": "Monday"}'}
    one = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": call}],
    }
    answer = {"role": "tool", "content": "at eight"}
    shapes = [
        {"messages": [ASK, {**one, "content": None}, answer, SAY]},
        {
            "messages": [
                ASK,
                {**one, "tool_calls": [{"type": "function", "function": written}]},
                answer,
                SAY,
            ]
        },
        {"messages": [ASK, {**one, "tool_calls": [call]}, answer, SAY]},
        {
            "messages": [
                ASK,
                {"role": "assistant", "content": None, "function_call": written},
                answer,
                SAY,
            ]
        },
        {
            "conversations": [  # LLaMA-Factory's
                SHAREGPT[0],
                {"from": "function_call", "value": json.dumps(call)},
                {"from": "observation", "value": "at eight"},
                SHAREGPT[1],
            ]
        },
    ]
    for shape in shapes:
        assert read(tmp_path, shape, CHATS) == {"messages": [ASK, one, answer, SAY]}, shape
    tools = [{"type": "function", "function": {"name": "ferry_times"}}]
    assert json.loads(read(tmp_path, {**shapes[0], "tools": tools}, CHATS)["tools"]) == tools


@pytest.mark.parametrize(
    ("chat", "expected"),
    [
        ([ASK, {**SAY, "content": ""}], "line 1: turn 2 of 'messages', the assistant's, is empty"),
        ([ASK, {**SAY, "content": None}], "turn 2 of 'messages', the assistant's, is empty"),
        ([ASK, {**SAY, "content": []}], "turn 2 of 'messages', the assistant's, is empty"),
        ([{**ASK, "content": " "}, SAY], "turn 1 of 'messages', the user's, is empty"),
        ([ASK], "has no turn of the assistant"),
        ([SAY, ASK, SAY], "begins with the assistant"),
        ([ASK, {**SAY, "role": "narrator"}], "the role 'narrator' is none of system, user"),
        ([ASK, {"content": "x"}], "line 1: 'messages' is no chat"),
        ([], "1 of 1 rows have an empty messages"),
        ([{**ASK, "content": [{"type": "image", "image": "x"}]}, SAY], "of its content is 'image'"),
        ([{**ASK, "content": {"text": "x"}}, SAY], "turn 1 of 'messages': 'content' is an object"),
        ([ASK, {**SAY, "content": True}], "turn 2 of 'messages': 'content' is true or false"),
        ([ASK, {**SAY, "tool_calls": [{"name": "f", "arguments": "x"}]}], "arguments are no JSON"),
        ([ASK, {**SAY, "tool_calls": [{"id": 1}]}], "a tool call without a function's name"),
        ([ASK, {**SAY, "weight": 0}], "every turn of the assistant has weight 0"),
        ([ASK, {**SAY, "weight": 0.5}], "a turn's weight is 0 or 1"),
        ([ASK, {**SAY, "weight": "0"}], "a turn's weight is 0 or 1"),
        ([ASK, {**SAY, "loss": False}], "every turn of the assistant has weight 0"),
        ([ASK, {**SAY, "training": False}], "every turn of the assistant has weight 0"),
        ([ASK, {**SAY, "mask": True}], "turn 2 of 'messages': 'mask' is not followed"),
        ([ASK, {**SAY, "train_detail": [{"begin_offset": 0}]}], "'train_detail' is not followed"),
        ([ASK, SAY, BRIEF], "turn 3 of 'messages', the system's, stands behind all answers"),
        ([ASK, {**SAY, "content": "\u200b"}], "turn 2 of 'messages', the assistant's, is empty"),
        ([{**ASK, "from": "gpt"}, SAY], "turn 1 of 'messages': 'role' says user and 'from' says g"),
        ([{**ASK, "value": "Where"}, SAY], "turn 1 of 'messages': two texts, 'content' and"),
        ([{**ASK, "content": [{"text": "a"}, {"image": "x.png"}]}, SAY], "its content is 'image'"),
        ([{**ASK, "content": [{"text": "a", "image": "x"}]}, SAY], "its content is 'image'"),
        ([{**ASK, "images": ["x.png"]}, SAY], "turn 1 of 'messages': it holds 'images', and only"),
        ([{**ASK, "tool_calls": [{"name": "f"}]}, SAY], "a call of a tool that is not the assis"),
        ([ASK, {**SAY, "tool_calls": [{"name": "f", "arguments": [1]}]}], "arguments are no JSON"),
        ("[{'role': 'user', 'content': 'a'} {'role'", "'messages' is a chat written as text"),
        ("just words", "'messages' is no chat"),
    ],
)  # fmt: skip
def test_a_chat_that_would_teach_something_else_is_refused_by_its_turn(
    tmp_path: Path, chat: object, expected: str
) -> None:
    assert expected in refusal(tmp_path, {"messages": chat})


@pytest.mark.parametrize("key", ["weight", "train", "training", "trainable", "loss", "loss_weight"])
def test_a_first_turn_that_is_not_learnt_needs_no_question(tmp_path: Path, key: str) -> None:
    chat = read(tmp_path, {"messages": [{**SAY, key: 0}, ASK, SAY]}, CHATS)["messages"]
    assert chat == [{**SAY, "weight": 0}, ASK, SAY]


def test_calls_and_tools_are_read_as_json_in_a_cell_and_as_openai_s_functions(
    tmp_path: Path,
) -> None:
    function = {"name": "ferry_times", "description": "Fähren", "parameters": {}}
    calls = json.dumps([{"name": "ferry_times", "arguments": {"day": "Monday"}}])
    row = {"messages": [ASK, {**SAY, "tool_calls": calls}]}
    wanted = [{"type": "function", "function": function}]
    beside = [{"functions": [function]}, {"tools": str(wanted)}, {"tools": json.dumps(wanted)},
              {"tools": [json.dumps(wanted[0])]}]  # fmt: skip
    for columns in beside:
        chat = read(tmp_path, {**row, **columns}, CHATS)
        assert json.loads(chat["tools"]) == wanted
        assert chat["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"day": "Monday"}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"images": ["x.png"]}, "the column 'images' belongs to the chat, and only texts are"),
        ({"loss_mask": [0, 1]}, "the column 'loss_mask' is not followed; write weight: 0"),
        ({"tools": "f, g"}, "'tools' holds something else than functions that may be called"),
        ({"tools": {"f": 1}}, "'tools' holds something else than functions that may be called"),
        ({"system_prompt": "a", "system": "b"}, "a column 'system', and another system message"),
    ],
)  # fmt: skip
def test_a_column_beside_a_chat_that_cannot_be_followed_is_refused_by_name(
    tmp_path: Path, columns: dict[str, Any], expected: str
) -> None:
    assert f"line 1: {expected}" in refusal(tmp_path, {"messages": [ASK, SAY], **columns})


def test_a_system_message_beside_a_plain_prompt_is_said_in_it_or_refused(tmp_path: Path) -> None:
    """OpenOrca's and Intel's pairs: a question with a system message in a column of its own."""
    row = {"system": "Be brief .", "prompt": "Where", "completion": "here"}
    line = refusal(tmp_path, row, SFT)
    assert "line 1: the column 'system' stands beside a plain prompt without it" in line
    where = source(tmp_path, row, prompt="{system}\n\n{prompt}")
    assert read_rows(where, SFT) == [{"prompt": "Be brief .\n\nWhere", "completion": "here"}]
    assert read(tmp_path, {**row, "system": ""}, SFT)["prompt"] == "Where"


def test_a_system_column_begins_a_preference_without_a_prompt_of_its_own(tmp_path: Path) -> None:
    row = {"system": "Be brief .", "chosen": [ASK, SAY], "rejected": [ASK, NAY]}
    wanted = {"prompt": [BRIEF, ASK], "chosen": [SAY], "rejected": [NAY]}
    assert with_prompt(Row(read(tmp_path, row, PAIRS[1:]))) == wanted


def test_what_two_texts_without_spaces_begin_with_is_their_prompt() -> None:
    pair = Row({"chosen": "问 船几点开？答：八点开。", "rejected": "问 船几点开？答：不开。"})
    wanted = {"prompt": "问 船几点开？答：", "chosen": "八点开。", "rejected": "不开。"}
    assert with_prompt(pair) == wanted


def test_a_whole_number_in_a_chat_is_its_digits(tmp_path: Path) -> None:
    chat = [ASK, {**SAY, "content": 3}]
    assert read(tmp_path, {"messages": chat}, CHATS)["messages"][1]["content"] == "3"


@pytest.mark.parametrize("column", ["conversations", "dialog"])
def test_no_template_and_no_advice_turns_a_chat_into_python_s_text(
    tmp_path: Path, column: str
) -> None:
    for value in (SHAREGPT, json.dumps(SHAREGPT), str(SHAREGPT)):
        row = {column: value, "completion": "x"}
        for prompt in (f"{{{column}}}", f"Q: {{{column}}}"):
            with pytest.raises(DataError, match=f"map it as one: `messages: {column}`"):
                read(tmp_path, row, SFT, prompt=prompt)
        with pytest.raises(DataError, match=f"map it as one: `messages: {column}`"):
            read(tmp_path, row, ("text",), text=column)
    # ... and what the error says works.
    assert read(tmp_path, {column: SHAREGPT}, CHATS, messages=column) == {"messages": [ASK, SAY]}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": [ASK], "chosen": [SAY], "rejected": [NAY]},
        # UltraFeedback (binarized): a prompt, and whole chats that begin with it.
        {"prompt": ASK["content"], "chosen": [ASK, SAY], "rejected": [ASK, NAY]},
        {"prompt": [ASK], "chosen": [ASK, SAY], "rejected": [ASK, NAY]},
        {"prompt": ASK["content"], "chosen": [SAY], "rejected": [NAY]},
        {"prompt": [ASK], "chosen": SAY["content"], "rejected": NAY["content"]},
        {"prompt": SHAREGPT[:1], "chosen": SHAREGPT[1:], "rejected": [NAY]},
        {"prompt": [ASK], "chosen": json.dumps([SAY]), "rejected": json.dumps([NAY])},
        {"prompt": SHAREGPT[:1], "chosen": SHAREGPT[1], "rejected": NAY},
        {"conversations": SHAREGPT[:1], "chosen": SHAREGPT[1], "rejected": NAY},  # LLaMA-Factory
    ],
)
def test_every_way_to_write_a_preference_over_chats_is_one(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    wanted = {"prompt": [ASK], "chosen": [SAY], "rejected": [NAY]}
    assert read(tmp_path, row, PAIRS) == wanted


def test_the_prompt_of_a_longer_chat_is_all_that_both_begin_with(tmp_path: Path) -> None:
    more = {"role": "user", "content": "And on Sunday"}
    chat = [BRIEF, ASK, SAY, more]
    for prompt in (ASK["content"], more["content"]):
        row = {"prompt": prompt, "chosen": [*chat, SAY], "rejected": [*chat, NAY]}
        assert read(tmp_path, row, PAIRS) == {"prompt": chat, "chosen": [SAY], "rejected": [NAY]}


@pytest.mark.parametrize(
    ("row", "roles", "expected"),
    [
        ({"prompt": "Where", "chosen": [ASK, SAY], "rejected": [ASK, NAY]}, PAIRS,
         "line 1: 'prompt' is not what was asked in the chats"),
        ({"prompt": [ASK], "chosen": [BRIEF, SAY], "rejected": [NAY]}, PAIRS,
         "'chosen' holds a turn of the system"),
        ({"prompt": [ASK], "chosen": [SAY, ASK, SAY], "rejected": [NAY]}, PAIRS,
         "'chosen' holds a turn of the user"),
        ({"chosen": [ASK, SAY], "rejected": [ASK, NAY, ASK, SAY]}, PAIRS[1:],
         "'rejected' holds a turn of the user"),
        ({"prompt": [ASK], "chosen": [SAY], "rejected": [SAY | {"content": ["At eight ."]}]}, PAIRS,
         "chosen equals rejected in 1 of 1 rows (first: line 1)"),
        ({"prompt": "a", "chosen": "Brücke", "rejected": "Bru\u0308cke "}, PAIRS,
         "chosen equals rejected in 1 of 1 rows (first: line 1)"),
        ({"prompt": [ASK], "chosen": [{**SAY, "weight": 0}], "rejected": [NAY]}, PAIRS,
         "line 1: a turn of 'chosen' has weight 0"),
        ({"prompt": [ASK, SAY], "chosen": [SAY], "rejected": [NAY]}, PAIRS,
         "line 1: the prompt ends with a turn of the assistant"),
        ({"prompt": "a", "completion": "\u200b\u2060"}, SFT, "an empty completion (first: line 1)"),
        ({"prompt": [ASK], "completion": [{**SAY, "content": ""}]}, SFT, "an empty completion"),
        ({"prompt": [ASK], "chosen": [SAY], "rejected": []}, PAIRS, "an empty rejected"),
        ({"prompt": "a b", "chosen": "a b c", "rejected": "a b d"}, PAIRS,
         "every chosen and rejected begins with its whole prompt; take it off the answers, or"),
        ({"prompt": "a b", "completion": "a b c"}, SFT, "every completion begins with its whole"),
    ],
)  # fmt: skip
def test_a_preference_or_an_answer_that_is_none_is_refused(
    tmp_path: Path, row: dict[str, Any], roles: tuple[str, ...], expected: str
) -> None:
    assert expected in refusal(tmp_path, row, roles)


def test_one_file_is_of_chats_or_of_texts(tmp_path: Path) -> None:
    rows = [{"prompt": "Where", "completion": "here"}, {"prompt": [ASK], "completion": [SAY]}]
    with pytest.raises(DataError, match="line 2: a chat among plain prompts; write all rows"):
        read_rows(source(tmp_path, *rows), SFT)


def test_a_column_that_only_later_rows_have_fills_a_template(tmp_path: Path) -> None:
    """Alpaca's files leave "input" out, or null, where there is none (unsloth #10813)."""
    rows = [
        {"instruction": "Say hello", "output": "hello"},
        {"instruction": "Count", "input": "two boats", "output": "two"},
        {"instruction": "Name it", "input": None, "output": "it"},
    ]
    where = source(tmp_path, *rows, prompt="{instruction}\n{input}\nAnswer:", completion="output")
    assert [row["prompt"] for row in read_rows(where, SFT)] == [
        "Say hello\n\nAnswer:", "Count\ntwo boats\nAnswer:", "Name it\n\nAnswer:"
    ]  # fmt: skip


def test_chats_of_parquet_have_no_keys_that_they_did_not_have(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def call(**arguments: str) -> dict[str, Any]:
        return {"type": "function", "function": {"name": "f", "arguments": arguments}}

    rows = [
        {"messages": [ASK, SAY]},
        {"messages": [ASK, {**SAY, "tool_calls": [call(day="Monday")]}]},
        {"messages": [ASK, {**SAY, "tool_calls": [call(port="west")]}]},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    assert read_rows(DataSource("d", tmp_path / "d.parquet"), CHATS) == rows
    # In JSON a null is the file's own.
    function = {"name": "f", "arguments": {"day": None}}
    null = {"messages": [ASK, {**SAY, "tool_calls": [{"type": "function", "function": function}]}]}
    assert read(tmp_path, null, CHATS) == null

"""What a chat template leaves out is told by the row, before a model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.checkpoints import load_model, open_base
from steelyard.harness.errors import DataError
from steelyard.harness.experiment import Row
from steelyard.harness.plugins import DataSource, TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.full import Full
from steelyard.trainers.kto import labelled
from steelyard.trainers.loops.chat_template import Printed
from steelyard.trainers.loops.lessons import lessons
from steelyard.trainers.loops.preferences import pairs, with_prompt
from steelyard.trainers.loops.supervised import sft_trainer
from steelyard.trainers.loops.training import learnable
from tests.trainers import tiny_jobs

ASK = {"role": "user", "content": "who ?"}
SAY = {"role": "assistant", "content": "the fox ."}
CALL = {"type": "function", "function": {"name": "tower", "arguments": {"sea": "old"}}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TOLD = {"role": "tool", "content": "the man"}
PLAIN = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
#: As Hermes' and Qwen's: tools in front, calls as JSON.
WITH_TOOLS = (
    "{% if tools %}<tools>{{ tools | tojson }}{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
#: As Gemma's: no system message, and turns that alternate.
STRICT = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "<{{ m.role }}>{{ m.content | trim }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
#: As DeepSeek-R1's distilled models': of an answer only what follows its reasoning.
WITHOUT_REASONING = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content.split('</think>')[-1] }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
#: A role that it does not know is passed over.
TWO_ROLES = (
    "{% for m in messages %}{% if m.role in ('user', 'assistant') %}<{{ m.role }}>{{ m.content }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def base_with(folder: Path, template: str) -> Checkpoint:
    tiny_jobs.save_base(folder)
    (folder / "chat_template.jinja").write_text(template)
    return open_base(str(folder))


def job(base: Checkpoint, folder: Path, *rows: dict[str, Any]) -> TrainJob:
    data = tiny_jobs.write_rows(folder / "d.jsonl", rows)
    return TrainJob(candidate="c", start=base, data=(data,), seed=0, folder=folder)


def learnt(base: Checkpoint, folder: Path, *rows: dict[str, Any]) -> list[tuple[str, str]]:
    """(all, learnt) of every row that TRL trains on, as text."""
    asked = job(base, folder, *rows)
    options = Full(batch_size=1, max_length=200)
    data = lessons(asked, options)
    model, tokenizer = load_model(base, trainable=True)
    found = []
    for row in sft_trainer(options, asked, model, tokenizer, data).train_dataset:
        labels = [token for token in row["labels"] if token != -100]
        found.append((tokenizer.decode(row["input_ids"]), tokenizer.decode(labels)))
    return found


def test_what_is_learnt_of_parts_and_calls_is_their_text(tmp_path: Path) -> None:
    base = base_with(tmp_path / "base", WITH_TOOLS)
    parts = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in (ASK, SAY)]
    rows = [{"messages": parts}, {"messages": [ASK, CALLING, TOLD, SAY]}]
    whole = [text for text, _ in learnt(base, tmp_path, *rows)]
    answers = [text.removesuffix("</s>") for _, text in learnt(base, tmp_path, *rows)]
    assert answers == [
        "the fox .", '<call>{"name": "tower", "arguments": {"sea": "old"}}', "the fox ."
    ]  # fmt: skip
    assert whole[0].startswith("<user>who ?<assistant>the fox .")
    # The keys of one message are not those of all: Arrow would give each a null tool_calls.
    assert "None" not in "".join(whole) and "null" not in "".join(whole)


@pytest.mark.parametrize(
    ("template", "row", "expected"),
    [
        (PLAIN, {"messages": [ASK, CALLING, TOLD, SAY]},
         "line 1: the base's chat template prints nothing of the completion"),
        (PLAIN, {"messages": [ASK, {**CALLING, "content": "the sea"}, TOLD, SAY]},
         "leaves out the completion's call of tower"),
        (PLAIN, {"messages": [ASK, SAY], "tools": [CALL]}, "has no place for the column 'tools'"),
        (TWO_ROLES, {"messages": [{**TOLD, "role": "system"}, ASK, SAY]},
         "leaves out turn 1, the system's"),
        (PLAIN, {"messages": [{**ASK, "name": "Ida"}, {**ASK, "name": "Bo"}, SAY]},
         "leaves out who speaks in turn 1, its name; write the name into the turn's text"),
        (STRICT, {"messages": [ASK, ASK, SAY]},
         "line 1: the chat template refuses these turns: Conversation roles must alternate"),
        (WITHOUT_REASONING, {"messages": [ASK, {**SAY, "content": "<think>sea</think>the fox ."}]},
         "leaves out a part of the completion; it drops reasoning"),
        (PLAIN, {"messages": [ASK, {**SAY, "reasoning_content": "the sea"}]}, "it drops reasoning"),
    ],
)  # fmt: skip
def test_what_the_template_leaves_out_is_refused_by_its_row(
    tmp_path: Path, template: str, row: dict[str, Any], expected: str
) -> None:
    base = base_with(tmp_path / "base", template)
    with pytest.raises(DataError) as caught:
        lessons(job(base, tmp_path, row), Full())
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'd.jsonl'}: line 1: ")


def test_arguments_are_text_for_a_template_that_takes_them_so(tmp_path: Path) -> None:
    """DeepSeek's templates put them between strings (oumi-ai/oumi #2605)."""
    template = PLAIN.replace(
        "{% endfor %}", "{% for c in m.tool_calls or [] %}"
        "{{ '<call>' + c.function.name + ' ' + c.function.arguments }}{% endfor %}{% endfor %}", 1
    )  # fmt: skip
    base = base_with(tmp_path / "base", template)
    rows = [{"messages": [ASK, CALLING, TOLD, SAY]}]
    answers = [answer.removesuffix("</s>") for _, answer in learnt(base, tmp_path, *rows)]
    assert answers == ['<call>tower {"sea": "old"}', "the fox ."]


def test_a_turn_that_holds_the_tokenizer_s_own_mark_is_refused(tmp_path: Path) -> None:
    """A chat that was put through a template before: every mark in it would count twice."""
    base = base_with(tmp_path / "base", PLAIN)
    row = {"messages": [{**ASK, "content": "who ?</s><s>the dog"}, SAY]}
    with pytest.raises(DataError, match="line 1: a turn of the user holds '</s>', which the token"):
        lessons(job(base, tmp_path, row), Full())


def test_a_word_that_pads_is_no_mark(tmp_path: Path) -> None:
    """Some tokenizers pad with "!", which may stand in any turn."""
    base = base_with(tmp_path / "base", PLAIN)
    _, tokenizer = load_model(base)
    tokenizer.add_special_tokens({"pad_token": "!"})
    tokenizer.save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").write_text(PLAIN)
    rows = [{"messages": [{**ASK, "content": "who !"}, SAY]}]
    assert len(lessons(job(open_base(str(tmp_path / "base")), tmp_path, *rows), Full()).rows) == 1


def test_turns_that_are_not_to_be_learnt_are_asked_and_not_learnt(tmp_path: Path) -> None:
    base = base_with(tmp_path / "base", PLAIN)
    row = {"messages": [ASK, {**SAY, "content": "the dog .", "weight": 0}, ASK, SAY]}
    ((whole, answer),) = learnt(base, tmp_path, row)
    assert answer.removesuffix("</s>") == "the fox ."
    assert "the dog ." in whole


def test_tools_that_only_one_row_has_reach_the_template(tmp_path: Path) -> None:
    base = base_with(tmp_path / "base", WITH_TOOLS)
    rows = [{"messages": [ASK, SAY]}, {"messages": [ASK, SAY], "tools": [CALL]}]
    first, second = (whole for whole, _ in learnt(base, tmp_path, *rows))
    assert "<tools>" not in first
    assert second.startswith("<tools>") and "tower" in second


def test_whole_chats_and_split_ones_are_one_preference(tmp_path: Path) -> None:
    base = base_with(tmp_path / "base", PLAIN)
    no = {**SAY, "content": "the sea"}
    wanted = {"prompt": [ASK], "chosen": [SAY], "rejected": [no]}
    for row in (
        {"chosen": [ASK, SAY], "rejected": [ASK, no]},
        {"prompt": ASK["content"], "chosen": [ASK, SAY], "rejected": [ASK, no]},
    ):
        rows, _ = pairs(job(base, tmp_path, row))
        assert rows[0] == wanted
        unpaired = sorted(labelled(job(base, tmp_path, wanted)), key=lambda r: r["label"])
        assert [r["completion"] for r in unpaired] == [[no], [SAY]]


def test_an_answer_that_begins_the_other_is_not_left_empty() -> None:
    row = {"chosen": "Who ? the fox ran", "rejected": "Who ? the fox"}
    assert with_prompt(row) == {
        "prompt": "Who ? the", "chosen": " fox ran", "rejected": " fox"
    }  # fmt: skip


def test_chats_beside_plain_prompts_are_refused(tmp_path: Path) -> None:
    base = base_with(tmp_path / "base", PLAIN)
    texts = {"prompt": "who ?", "completion": "the fox ."}
    chat = {"prompt": [ASK], "completion": [SAY]}
    with pytest.raises(DataError, match="chats and plain prompts in one candidate"):
        learnable([texts, chat], job(base, tmp_path, texts))  # type: ignore[list-item]


def test_held_out_chats_are_not_measured_as_python_s_text(tmp_path: Path) -> None:
    from steelyard.trainers.select import Select

    base = base_with(tmp_path / "base", PLAIN)
    data = tiny_jobs.write_rows(tmp_path / "h.jsonl", [{"prompt": [ASK], "completion": [SAY]}])
    choice = TrainJob(
        candidate="c", start=base, data=(DataSource("h", data.path),), seed=0,
        folder=tmp_path / "out", sources={"a": base},
    )  # fmt: skip
    with pytest.raises(DataError, match="line 1: the loss on held-out data is of texts"):
        Select(sources=("a",)).train(choice)


def prints_calls(tokenizer: Any, arguments: object) -> bool:
    """Whether a call, and an answer after what it gave, pass."""
    call = {"type": "function", "function": {"name": "tower", "arguments": arguments}}
    calling = {**CALLING, "content": "", "tool_calls": [call]}
    told = [ASK, calling, {**TOLD, "name": "tower"}]
    try:
        Printed(tokenizer, Row({"prompt": [ASK], "completion": [calling]})).check()
        Printed(tokenizer, Row({"prompt": told, "completion": [SAY]})).check()
    except DataError:
        return False
    return True


def test_published_templates_are_judged_as_trl_judges_them(tmp_path: Path) -> None:
    """TRL ships what model families publish, and says of each whether it prints calls of tools."""
    import trl
    from trl.chat_template_utils import supports_tool_calling

    tiny_jobs.save_base(tmp_path / "base")
    _, tokenizer = load_model(open_base(str(tmp_path / "base")))
    judged = {}
    for file in sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja")):
        family = file.stem.removesuffix("_training")
        if family in ("idefics3", "llava_next", "smolvlm"):  # of content in parts alone
            continue
        tokenizer.chat_template = file.read_text()
        Printed(tokenizer, Row({"prompt": [ASK], "completion": [SAY]})).check()
        judged[file.stem] = any(
            prints_calls(tokenizer, arguments) for arguments in ({"sea": "old"}, '{"sea": "old"}')
        )
        assert judged[file.stem] == supports_tool_calling(tokenizer), file.stem
    assert len(judged) > 30 and len(set(judged.values())) == 2


def test_orpo_learns_the_text_that_the_template_writes_of_a_chat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some rows with calls and tools, some without: the columns are then no plain Arrow."""
    from trl.experimental.orpo import ORPOTrainer

    seen: list[list[int]] = []
    train = ORPOTrainer.train

    def look(self: Any, *arguments: Any, **options: Any) -> Any:
        seen.extend(row["chosen_input_ids"] for row in self.train_dataset)
        return train(self, *arguments, **options)

    monkeypatch.setattr(ORPOTrainer, "train", look)
    base = base_with(tmp_path / "base", WITH_TOOLS)
    no = {**SAY, "content": "the sea"}
    rows = [
        {"prompt": [ASK], "chosen": [ASK, SAY], "rejected": [ASK, no]},
        {"prompt": [ASK, CALLING, TOLD], "chosen": [SAY], "rejected": [no], "tools": [CALL]},
    ]
    data = tiny_jobs.write_rows(tmp_path / "d.jsonl", rows)
    tiny_jobs.train("orpo", base, tmp_path / "out" / "orpo", data=data, steps=1, max_length=300)
    _, tokenizer = load_model(base)
    first, second = (tokenizer.decode(ids).removesuffix("</s>") for ids in seen)
    assert first == "<user>who ?<assistant>the fox ."
    assert second.startswith('<tools>[{"type": "function"')
    assert second.endswith(
        '<user>who ?<assistant><call>{"name": "tower", "arguments": {"sea": "old"}}'
        "<tool>the man<assistant>the fox ."
    )

"""A chat template that asks for the time is told one that does not pass."""

from __future__ import annotations

import copy
import pickle
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from steelyard.harness.checkpoints import asks_for_time, draws_at_random, load_model_folder
from steelyard.harness.checkpoints.model import open_tokenizer
from steelyard.harness.errors import ScoringError
from steelyard.harness.scoring import as_scorer, hf, open_model
from tests.harness.scoring import tiny

#: As Llama 3.1's: the day, and a day of its own where nothing tells it.
DATED = (
    "{%- if strftime_now is defined %}{%- set day = strftime_now('%d %b %Y') %}"
    "{%- else %}{%- set day = '26 Jul 2024' %}{%- endif %}"
    "Today Date: {{ day }} {% for m in messages %}{{ m['content'] }}{% endfor %}"
)
CHAT = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny.save_llama(tmp_path_factory.mktemp("dated"))
    (folder / "chat_template.jinja").write_text(DATED)
    return folder


def test_the_day_in_a_prompt_is_the_same_on_every_day(
    dated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers.utils.chat_template_utils as rendering

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime(2031, 5, 6)

    expected = "Today Date: 01 Jan 2026 hello"
    ours = open_model(dated, report=lambda _: None)
    assert ours.apply_chat_template(CHAT) == expected
    monkeypatch.setattr(rendering, "datetime", Tomorrow)
    assert ours.apply_chat_template(CHAT) == expected
    assert ours.chat_time == "2026-01-01T12:00:00"
    # transformers itself, by the same clock.
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(dated).apply_chat_template(CHAT, tokenize=False)
    assert theirs == "Today Date: 06 May 2031 hello"


def test_every_code_of_a_date_is_told_as_transformers_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers.utils.chat_template_utils as rendering
    from transformers import AutoTokenizer

    class Then(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime(2026, 1, 1, 12)

    monkeypatch.setattr(rendering, "datetime", Then)
    folder = tiny.save_llama(tmp_path / "m")
    codes = "%a %A %d %b %B %m %y %Y %H %I %p %M %S %j %-d %-m %% 100%%d %F"
    # A line break and spaces before the first block, which a template's environment trims.
    template = "\n  {%- if true %}\n  {{ strftime_now('" + codes + "') }}\n  {%- endif %}\n x"
    (folder / "chat_template.jinja").write_text(template)
    chat = open_tokenizer(folder).apply_chat_template(CHAT, tokenize=False)
    assert chat == AutoTokenizer.from_pretrained(folder).apply_chat_template(CHAT, tokenize=False)
    assert "Thu Thursday 01 Jan January" in chat and chat.endswith("% 100%d 2026-01-01 x")


def test_training_and_hf_are_told_the_same_day(dated: Path) -> None:
    reference = hf.wrap(load_model_folder(dated), max_length=None)
    assert reference.apply_chat_template(CHAT).startswith("Today Date: 01 Jan 2026")
    tokenizer = open_tokenizer(dated)
    for other in (tokenizer, copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        chat = other.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
        assert chat == "Today Date: 01 Jan 2026 hello"


def test_a_template_without_a_date_says_no_time(tmp_path: Path) -> None:
    folder = tiny.save_llama(tmp_path / "plain")
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    assert open_model(folder, report=lambda _: None).chat_time is None


def test_a_model_of_another_tool_says_the_day_on_which_it_was_asked(dated: Path) -> None:
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    lm = hf.wrap(load_model_folder(dated), max_length=None)
    lm.tokenizer = AutoTokenizer.from_pretrained(dated)
    assert isinstance(lm, HFLM)
    day = as_scorer(lm).chat_time
    assert day is not None and len(day) == len("2026-01-01")


def test_a_template_that_draws_is_refused_where_it_is_applied(dated: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(dated, tmp_path / "drawn"))
    (folder / "chat_template.jinja").write_text("{{ ['a', 'b'] | random }}")
    with pytest.raises(ScoringError, match="the chat template draws at random"):
        open_model(folder, report=lambda _: None).apply_chat_template(CHAT)


def test_what_asks_and_what_draws_is_seen_in_one_and_in_several_templates() -> None:
    assert asks_for_time({"default": "x", "tool_use": "{{ strftime_now('%Y') }}"})
    assert not asks_for_time("{{ messages[0].content }}")
    assert not asks_for_time(None)
    assert draws_at_random("{{ lipsum(1) }}")
    assert not draws_at_random("a random answer | at random times")


def test_a_training_on_chats_is_the_same_on_every_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers.utils.chat_template_utils as rendering

    from steelyard.harness.checkpoints import open_base
    from tests.trainers import tiny_jobs

    folder = tiny.save_llama(tmp_path / "start")
    (folder / "chat_template.jinja").write_text(
        "{{ strftime_now('%d %b') }}{% for m in messages %}<{{ m.role }}>{{ m.content }}"
        "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    turns = [{"role": "user", "content": "who ?"}, {"role": "assistant", "content": "the fox"}]
    data = tiny_jobs.write_rows(tmp_path / "chats.jsonl", [{"messages": turns}] * 8)
    digests = set()
    for day in (1, 2):

        class Day(datetime):
            number = day

            @classmethod
            def now(cls, tz: object = None) -> datetime:
                return datetime(2031, 5, cls.number)

        monkeypatch.setattr(rendering, "datetime", Day)
        start = open_base(str(folder))
        full = tiny_jobs.train("full", start, tmp_path / f"full-{day}", data=data, steps=2)
        digests.add(full.manifest.digests.weights)
    assert len(digests) == 1


def test_a_chat_template_that_never_ends_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelyard.harness.checkpoints import chat_time, open_base
    from steelyard.harness.errors import CheckpointError

    folder = tmp_path / "model"
    shutil.copytree(open_base("microworld").weights_folder, folder)
    loops = "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}"
    (folder / "chat_template.jinja").write_text(loops)
    monkeypatch.setattr(chat_time, "MOST_SECONDS", 0.2)
    tokenizer = open_tokenizer(folder)
    with pytest.raises(CheckpointError, match=r"model: chat_template: .*more than 0.2 seconds"):
        tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    monkeypatch.setattr(chat_time, "MOST_SECONDS", 20)  # and is not waited for again
    with pytest.raises(CheckpointError, match="more than 20 seconds"):
        open_tokenizer(folder).apply_chat_template([{"role": "user", "content": "hi"}])


DOUBLED = "{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}"


@pytest.mark.parametrize(
    ("bomb", "tokenize"),
    [
        ("{{ 'x' * 10**10 }}", False),
        ("{{ 'x' * 10**10 }}", True),
        ("{% set n = namespace(x='x') %}" + DOUBLED, False),
        ("{{ 'x'.center(10**10) }}{{ strftime_now('%Y') }}", True),
        ("{{ 'x' | indent(9 * 10**9, first=true) }}", False),
        ("{{ [[1] * 10**9, 2] }}", False),
        ("{{ 'x' * 2 * 10**7 }}", True),
    ],
)
def test_a_chat_template_without_measure_is_told_before_it_has_the_memory(
    bomb: str, tokenize: bool, tmp_path: Path
) -> None:
    from steelyard.harness.checkpoints import open_base
    from steelyard.harness.errors import CheckpointError

    folder = tmp_path / "model"
    shutil.copytree(open_base("microworld").weights_folder, folder)
    (folder / "chat_template.jinja").write_text(bomb)
    told = "model: chat_template: the chat template (takes more than 1,024 MB|writes 20,000,000)"
    with pytest.raises(CheckpointError, match=told):
        open_tokenizer(folder).apply_chat_template(
            [{"role": "user", "content": "hi"}], tokenize=tokenize
        )

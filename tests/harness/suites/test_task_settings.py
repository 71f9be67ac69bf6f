"""Settings of a task file that nothing would read are refused by name, before a model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from steelyard.harness.errors import ConfigError
from steelyard.harness.suites import build, check_generation_settings, load_suite
from steelyard.harness.suites.task_files import package_folder

TASK: dict[str, Any] = {
    "task": "asked",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": "q.jsonl"},
    "test_split": "train",
    "output_type": "generate_until",
    "doc_to_text": "{{q}}",
    "doc_to_target": "a",
    "generation_kwargs": {"until": ["."], "do_sample": False, "max_gen_toks": 3},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    "metadata": {"version": 1.0},
}


def built(folder: Path, **changes: Any) -> Any:
    data = folder / "q.jsonl"
    data.write_text('{"q": "Where is the ferry", "a": "x"}\n')
    task = TASK | {"dataset_kwargs": {"data_files": str(data)}} | changes
    (folder / "asked.yaml").write_text(yaml.safe_dump(task, sort_keys=False))
    return build(load_suite({"tasks": ["asked"], "include": [str(folder)]}, folder=folder))


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({"stop": ["."]}, "write until"),
        ({"temprature": 0.1, "do_sample": True}, "did you mean 'temperature'"),
        ({"max_gen_tokens": 3}, "did you mean 'max_gen_toks'"),
        ({"max_length": 40}, "write max_gen_toks"),
        ({"num_return_sequences": 3}, "write repeats"),
        ({"Until": ["."]}, "did you mean 'until'"),
        ({"top-p": 0.9, "do_sample": True}, "did you mean 'top_p'"),
    ],
)
def test_a_generation_setting_that_nothing_reads_is_refused_with_the_right_one(
    settings: dict[str, Any], fix: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no such generation setting") as caught:
        built(tmp_path, generation_kwargs=settings)
    (name, *_) = settings
    line = str(caught.value)
    assert f"generation_kwargs.{name}" in line and fix in line and "asked.yaml" in line


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"until": [1]}, "not a text"),
        ({"until": ["x", False]}, "not a text"),
        ({"do_sample": "false"}, "not true or false"),
        ({"max_gen_toks": 0}, "not a length"),
        ({"max_gen_toks": "3"}, "not a length"),
        ({"max_gen_toks": 3, "max_new_tokens": 30}, "two lengths of an answer"),
        ({"temperature": "hot"}, "not a value"),
        ({"temperature": -1.0}, "not a value"),
        ({"until": ["x", ""]}, "an empty text ends nothing"),
        ({"temperature": 0.7, "do_sample": False}, "has no effect"),
        ({"do_sample": True, "top_p": 5}, "from 0 to 1"),
        ({"do_sample": True, "min_p": -0.1}, "from 0 to 1"),
        ({"do_sample": True, "top_k": 0.5}, "a whole number"),
        ({"num_beams": 2.5}, "a whole number"),
        ({"no_repeat_ngram_size": "2"}, "a whole number"),
        ({"repetition_penalty": 0}, "more than 0"),
        ({"temperature": float("inf"), "do_sample": True}, "not a value"),
        ({"seed": "a"}, "a whole number"),
        ({"use_cache": "yes"}, "not true or false"),
        ({"eos_token_id": "</s>"}, "not ids of tokens"),
        ({"bad_words_ids": [3, 4]}, "not ids of tokens"),
        ({"suppress_tokens": ["the"]}, "not ids of tokens"),
        ({"min_new_tokens": 50, "max_gen_toks": 6}, "more than an answer may have"),
    ],
)
def test_a_value_that_a_setting_cannot_have_is_refused(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        check_generation_settings(settings)


@pytest.mark.parametrize("settings", [["until"], "until"])
def test_generation_settings_without_names_are_refused(settings: object, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="generation_kwargs: not settings by name"):
        built(tmp_path, generation_kwargs=settings)


def test_a_draw_at_temperature_0_is_refused_where_we_draw_ourselves() -> None:
    settings = {"do_sample": True, "temperature": 0.0}
    check_generation_settings(settings)  # servers take the likeliest token
    with pytest.raises(ConfigError, match="nothing is drawn at temperature 0"):
        check_generation_settings(settings, other_backends=False)


def test_settings_of_lm_eval_transformers_and_servers_pass(tmp_path: Path) -> None:
    settings = {
        "until": "\n",
        "do_sample": True,
        "temperature": 0.5,
        "max_tokens": 3,
        "top_p": 0.9,
        "repetition_penalty": 1.1,
        "seed": 1,
        "presence_penalty": 0.5,
    }
    assert built(tmp_path, generation_kwargs=settings).tasks
    with pytest.raises(ConfigError, match="presence_penalty"):
        check_generation_settings(settings, other_backends=False)


def test_every_setting_in_lm_eval_s_own_tasks_passes() -> None:
    class Loader(yaml.CSafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: suffix)
    checked = 0
    for path in (package_folder("lm_eval") / "tasks").rglob("*yaml*"):
        text = path.read_text(errors="replace") if path.is_file() else ""
        if "\ngeneration_kwargs:" not in text or path.suffix == ".pyc":
            continue
        content = yaml.load(text, Loader)
        if isinstance(settings := content.get("generation_kwargs"), dict):
            check_generation_settings(settings, other_backends=False)
            checked += 1
    assert checked > 300


@pytest.mark.parametrize(
    ("changes", "key", "fix"),
    [
        (
            {"metric_list": [{"metric": "exact_match", "ignore_csae": True}]},
            "metric_list.0.ignore_csae",
            "did you mean 'ignore_case'",
        ),
        (
            {"metric_list": [{"metric": "exact_match", "high_is_better": True}]},
            "metric_list.0.high_is_better",
            "did you mean 'higher_is_better'",
        ),
        (
            {"filter_list": [{"name": "a", "filter": [{"function": "regex", "pattern": "x"}]}]},
            "filter_list.0.filter.0.pattern",
            "did you mean 'regex_pattern'",
        ),
        (
            {"filter_list": [{"name": "a", "filter": [{"function": "take_first", "k": 2}]}]},
            "filter_list.0.filter.0.k",
            "function",
        ),
        (
            {"filter_list": [{"name": "a", "filter": [{"function": "take_first"}], "metric": 1}]},
            "filter_list.0.metric",
            "known: filter, name",
        ),
    ],
)
def test_entries_that_lm_eval_passes_over_are_refused_by_place(
    changes: dict[str, Any], key: str, fix: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        built(tmp_path, **changes)
    assert key in str(caught.value) and fix in str(caught.value)


def test_options_that_a_metric_and_a_filter_take_pass(tmp_path: Path) -> None:
    entry = {"metric": "exact_match", "ignore_case": True, "regexes_to_ignore": [","]}
    steps = [{"function": "regex", "regex_pattern": "x", "group_select": 0}]
    take = {"name": "k", "filter": [{"function": "take_first_k", "k": 1}]}
    filters = [{"name": "r", "filter": [*steps, {"function": "take_first"}]}, take]
    assert built(tmp_path, metric_list=[entry], filter_list=filters).tasks


def test_what_is_wrong_in_several_task_files_is_told_at_once(tmp_path: Path) -> None:
    for number, settings in enumerate(({"stop": "."}, {"max_gen_tokens": 3})):
        task = TASK | {"task": f"asked{number}", "generation_kwargs": settings}
        task["dataset_kwargs"] = {"data_files": str(tmp_path / "q.jsonl")}
        (tmp_path / f"asked{number}.yaml").write_text(yaml.safe_dump(task))
    (tmp_path / "q.jsonl").write_text('{"q": "Where is the ferry", "a": "x"}\n')
    spec = {"tasks": ["asked0", "asked1"], "include": [str(tmp_path)]}
    with pytest.raises(ConfigError) as caught:
        build(load_suite(spec, folder=tmp_path))
    assert "generation_kwargs.stop" in str(caught.value)
    assert "generation_kwargs.max_gen_tokens" in str(caught.value)
